import os

import pytest
from PIL import Image

from artjax.data.collections import read_class_folders, read_works_csv, year_of
from artjax.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.jpg", "more/c é.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def read(folder, text, encoding="utf-8"):
    (folder / "works.csv").write_bytes(text.encode(encoding))
    return read_works_csv(folder / "works.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_works_csv_in_every_dialect(folder, delimiter, encoding, newline):
    rows = [
        ["Path ", "ARTIST", "title", "year", "work_id", "genre"],
        ["a.jpg", "Ada", '"Hills, and; a\tlake"', "c. 1480", "w1", ""],
        ["more\\c é.jpg", " Bö ", "", "", "", "portrait"],
        ["nowhere.jpg", "Ada", "", "n.d.", "w1", "portrait"],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    first, second, third = read(folder, text, encoding).works
    assert (first.file_name, first.title, first.year, first.work_id) == (
        *("a.jpg", "Hills, and; a\tlake", 1480, "w1"),
    )
    assert first.labels == {"artist": "Ada"}
    assert first.picture == folder / "a.jpg"
    assert (second.file_name, second.work_id, second.year) == ("more/c é.jpg", "more/c é.jpg", -1)
    assert second.labels == {"artist": "Bö", "genre": "portrait"}
    assert second.picture == folder / "more" / "c é.jpg"
    assert (third.picture, third.work_id) == (None, "w1")


def test_class_names_are_sorted_and_labels_without_column_have_none(folder):
    catalogue = read(folder, "path,artist\nb.jpg,Zoe\na.jpg,Ada\n")
    assert catalogue.class_names["artist"] == ("Ada", "Zoe")
    assert catalogue.class_names["genre"] == ()


def test_unknown_columns_are_noted(folder):
    notes = read(folder, "path,artist,price\na.jpg,Ada,3\n").notes
    assert notes == ["columns of works.csv that mean nothing here: price"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; its first line names the columns"),
        ("file,artist\na.jpg,Ada\n", "no column 'path' (found: file, artist)"),
        ("path,price\na.jpg,3\n", "no column with a label (found: path, price)"),
        ("path,artist\n", "lists no works"),
        (
            "path,artist\na.jpg,A\nb.jpg,B\n./a.jpg,C\n",
            "row 4: the path 'a.jpg' is in row 2 already",
        ),
        ("path,artist\n../a.jpg,A\n", "row 2: the path '../a.jpg' leads out of the folder"),
        ("path,artist\n/etc/a.jpg,A\n", "leads out of the folder"),
        ("path,artist\nC:\\a.jpg,A\n", "leads out of the folder"),
        ("path,artist\n,A\n", "row 2: the path is empty"),
    ],
)
def test_what_cannot_be_meant_is_one_line(folder, text, says):
    with pytest.raises(DataError) as caught:
        read(folder, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_encodings_are_named_with_the_line(folder):
    with pytest.raises(DataError, match=r"works.csv, line 3: not UTF-8"):
        read(folder, "path,artist\na.jpg,Ada\nb.jpg,Bö\n", "latin-1")


def test_links_out_of_the_folder_are_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    Image.new("RGB", (8, 8)).save(outside)
    os.symlink(outside, folder / "link.jpg")
    with pytest.raises(DataError, match="link that leads out"):
        read(folder, "path,artist\nlink.jpg,Ada\n")


def test_class_folders(folder):
    (folder / "more" / "notes.txt").write_text("no picture")
    Image.new("RGB", (8, 8)).save(folder / "more" / ".hidden.jpg")
    (folder / "Ada" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "Ada" / "deep" / "d.png")
    works = read_class_folders(folder, "artist").works
    assert {w.file_name: w.labels["artist"] for w in works} == {
        "Ada/deep/d.png": "Ada",
        "more/c é.jpg": "more",
    }


def test_a_folder_without_classes_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"neither a works.csv nor sub-folders"):
        read_class_folders(tmp_path, "artist")


@pytest.mark.parametrize(
    ("text", "year"),
    [("1505-07", 1505), ("c. 1480", 1480), ("", -1), ("unknown", -1), ("12345", -1)],
)
def test_years(text, year):
    assert year_of(text) == year
