import pytest
from PIL import Image

from artjax.errors import DataError
from artjax.prepare.readers import wikiart_lists

HEADER = "(Path to image),, (Groundtruth class) \r\n\r\n"
MOJIBAKE = "Impressionism/joaqu\u00e3\u00adn-sorolla_beach-1904.jpg"  # as in the official lists


def write(folder, train, test, classes=("Ada_Lind", "Bo_Ek")):
    lists = folder / "wikiart_csv"
    lists.mkdir()
    names = "\n".join(f"{i} {name}" for i, name in enumerate(classes))
    (lists / "artist_class.txt").write_text(names)
    (lists / "artist_train.csv").write_bytes((HEADER + "\r\n".join(train)).encode())
    (lists / "artist_val.csv").write_bytes((HEADER + "\r\n".join(test)).encode())


def picture(folder, name):
    path = folder / "wikiart" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_lists_are_read_as_they_are(tmp_path):
    train = [f"Realism/ada_t-{i}.jpg,,0" for i in range(200)]
    write(tmp_path, train, [f"{MOJIBAKE},,1", "Realism/bo_x-1890(1).jpg,,1"])
    picture(tmp_path, "Impressionism/joaqu\u00edn-sorolla_beach-1904.jpg")
    catalogue = wikiart_lists.read(tmp_path, "artist")
    by_split = {}
    for work in catalogue.works:
        by_split.setdefault(work.split, []).append(work)
    assert catalogue.class_names == {"artist": ("Ada_Lind", "Bo_Ek")}
    assert catalogue.official == ("test",)
    assert {w.file_name for w in by_split["test"]} == {MOJIBAKE, "Realism/bo_x-1890(1).jpg"}
    assert len(by_split[None]) == 200
    assert catalogue.divided_into == ("train", "validation")
    found = by_split["test"][0]
    assert found.file.is_file()
    assert (found.title, found.year, found.labels) == ("beach", 1904, {"artist": "Bo_Ek"})
    assert by_split[None][0].picture is None


def test_numbered_photographs_are_one_work():
    names = ["Cubism/a_b-1890.jpg", "Cubism/a_b-1890(1).jpg", "Realism/a_b-1890(12).jpg"]
    assert len({wikiart_lists.work_id_of(name) for name in names}) == 1


def test_rows_on_both_lists_stay_in_test(tmp_path):
    write(tmp_path, ["R/a_b.jpg,,0", "R/a_c.jpg,,1"], ["R/a_b.jpg,,0"])
    picture(tmp_path, "R/a_b.jpg")
    catalogue = wikiart_lists.read(tmp_path, "artist")
    assert [w.file_name for w in catalogue.works if w.split == "test"] == ["R/a_b.jpg"]
    assert len(catalogue.works) == 2
    assert catalogue.notes == ["1 rows of artist_train.csv are on the test list too: kept in test"]


def test_of_a_picture_listed_twice_the_first_row_counts(tmp_path):
    write(tmp_path, ["R/a_b.jpg,,1", "R/a_b.jpg,,0", "R/a_b.jpg,,1"], ["R/z_z.jpg,,0"])
    picture(tmp_path, "R/a_b.jpg")
    catalogue = wikiart_lists.read(tmp_path, "artist")
    assert [w.labels["artist"] for w in catalogue.works if w.file_name == "R/a_b.jpg"] == ["Bo_Ek"]
    assert catalogue.notes == [
        "artist_train.csv: 'R/a_b.jpg' is listed under two classes; the first is kept"
    ]


def test_numbered_photographs_of_test_works_stay_in_train_as_the_same_work(tmp_path):
    write(tmp_path, ["R/a_b-1890(1).jpg,,0", "R/a_c.jpg,,1"], ["R/a_b-1890.jpg,,0"])
    picture(tmp_path, "R/a_c.jpg")
    catalogue = wikiart_lists.read(tmp_path, "artist")
    assert [(w.file_name, w.work_id, w.split) for w in catalogue.works] == [
        ("R/a_b-1890.jpg", "a_b-1890", "test"),
        ("R/a_b-1890(1).jpg", "a_b-1890", None),
        ("R/a_c.jpg", "a_c", None),
    ]


def test_names_with_bytes_that_look_like_line_ends_are_one_row(tmp_path):
    mangled = "R/\u00c5ke_b.jpg".encode().decode("latin-1")
    assert len(mangled.splitlines()) == 2
    write(tmp_path, [f"{mangled},,0"], ["R/z_z.jpg,,1"])
    picture(tmp_path, "R/\u00c5ke_b.jpg")
    assert sum(w.picture is not None for w in wikiart_lists.read(tmp_path, "artist").works) == 1


def test_other_encodings_and_nameless_classes_are_one_line(tmp_path):
    write(tmp_path, ["R/a_b.jpg,,0"], ["R/z_z.jpg,,1"])
    train = tmp_path / "wikiart_csv" / "artist_train.csv"
    train.write_bytes("R/\u00e9.jpg,,0".encode("latin-1"))
    with pytest.raises(DataError, match=r"artist_train.csv, line 1: not UTF-8"):
        wikiart_lists.read(tmp_path, "artist")
    (tmp_path / "wikiart_csv" / "artist_class.txt").write_text("0 Ada_Lind\n1\n")
    with pytest.raises(DataError, match=r"artist_class.txt: its lines must be numbered"):
        wikiart_lists.read(tmp_path, "artist")


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (["R/a_b.jpg,,7"], "artist_train.csv, line 3: class 7 of only 2"),
        (["R/a_b.jpg,,0", "nonsense"], "line 4: not 'path,class': 'nonsense'"),
        ([], "has no rows"),
    ],
)
def test_damaged_lists_are_one_line(tmp_path, train, says):
    write(tmp_path, train, ["R/z_z.jpg,,0"])
    with pytest.raises(DataError) as caught:
        wikiart_lists.read(tmp_path, "artist")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_lists_and_pictures_say_where_they_belong(tmp_path):
    with pytest.raises(DataError, match=r"artist_class.txt.*cs-chan/ArtGAN"):
        wikiart_lists.read(tmp_path, "artist")
    write(tmp_path, ["R/a_b.jpg,,0"], ["R/z_z.jpg,,0"])
    with pytest.raises(DataError, match=r"none of the 2 listed pictures is below .*R/z_z.jpg"):
        wikiart_lists.read(tmp_path, "artist")
