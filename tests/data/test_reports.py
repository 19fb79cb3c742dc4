import pytest

from artjax.data import reports
from artjax.data.reports import NearDuplicateRow

ROW = NearDuplicateRow("a.jpg", "train", "b.jpg", "test", 3, 0.97, "artist")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("near_duplicates.csv", ",".join(NearDuplicateRow._fields)),
        # As it was written before.
        ("twins.csv", "file_name,split,twin,twin_split,distance,correlation,conflict"),
    ],
)
def test_near_duplicates_are_read_and_copied_whatever_their_file_is_called(tmp_path, name, header):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / name).write_text(f"{header}\na.jpg,train,b.jpg,test,3,0.97,artist\n")
    reports.copy_reports(source, target)
    assert [path.name for path in target.iterdir()] == [name]
    for folder in (source, target):
        assert reports.read_near_duplicates(folder) == [ROW]


def test_written_rows_are_read(tmp_path):
    file = tmp_path / reports.NEAR_DUPLICATES_CSV
    reports.write_csv(file, NearDuplicateRow._fields, [ROW])
    assert reports.read_near_duplicates(tmp_path) == [ROW]


def test_no_file_is_not_the_same_as_no_pairs(tmp_path):
    assert reports.read_near_duplicates(tmp_path) is None
    reports.write_csv(tmp_path / reports.NEAR_DUPLICATES_CSV, NearDuplicateRow._fields, [])
    assert reports.read_near_duplicates(tmp_path) == []
