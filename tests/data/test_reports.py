from artjax.data import reports
from artjax.data.reports import NearDuplicateRow

ROW = NearDuplicateRow("a.jpg", "train", "b.jpg", "test", 3, 0.97, "artist")


def test_the_reports_that_are_there_are_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in ("near_duplicates.csv", "skipped.csv", "other.csv"):
        (source / name).write_text(f"{name}\n")
    reports.copy_reports(source, target)
    copied = {path.name: path.read_text() for path in target.iterdir()}
    assert copied == {name: f"{name}\n" for name in ("near_duplicates.csv", "skipped.csv")}


def test_written_rows_are_read(tmp_path):
    file = tmp_path / "near_duplicates.csv"
    reports.write_csv(file, NearDuplicateRow._fields, [ROW])
    assert file.read_text() == (
        "file_name,split,near_duplicate,near_duplicate_split,distance,correlation,conflict,"
        "shared_points\na.jpg,train,b.jpg,test,3,0.97,artist,\n"
    )
    assert reports.read_near_duplicates(tmp_path) == [ROW]


def test_no_file_is_not_the_same_as_no_pairs(tmp_path):
    assert reports.read_near_duplicates(tmp_path) is None
    reports.write_csv(tmp_path / reports.NEAR_DUPLICATES_CSV, NearDuplicateRow._fields, [])
    assert reports.read_near_duplicates(tmp_path) == []
