import os

import pytest
from PIL import Image

from artjax.errors import DataError
from artjax.prepare.readers.works_csv import read_works_csv


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
    assert first.file == folder / "a.jpg"
    assert (second.file_name, second.work_id, second.year) == ("more/c é.jpg", "more/c é.jpg", -1)
    assert second.labels == {"artist": "Bö", "genre": "portrait"}
    assert second.file == folder / "more" / "c é.jpg"
    assert (third.file, third.work_id) == (None, "w1")


def test_names_that_differ_only_in_case_are_different_pictures(folder):
    Image.new("RGB", (8, 8)).save(folder / "A.JPG")
    works = read(folder, "path,artist\na.jpg,Ada\nA.JPG,Bo\n").works
    assert [work.file.name for work in works] == ["a.jpg", "A.JPG"]


def test_a_picture_that_is_only_spelt_alike_is_one_picture(folder):
    with pytest.raises(DataError, match=r"row 2, 'a.jpg': .* with other labels; .* \(see row 3\)"):
        read(folder, "path,artist\na.jpg,Ada\nA.jpg,Bo\n")
    Image.new("RGB", (8, 8)).save(folder / "A.JPG")
    works = read(folder, "path,artist\nA.jpg,Ada\na.jpg,Ada\n").works
    assert works[0].picture is None  # which of the two?
    assert works[1].file == folder / "a.jpg"


def test_no_picture_at_all_says_where_they_were_looked_for(folder):
    with pytest.raises(DataError) as caught:
        read(folder, "path,artist\nimages/1.jpg,Ada\nimages/2.jpg,Bo\n")
    said = str(caught.value)
    assert said.startswith(f"none of the 2 listed pictures is below {folder}: it holds ")
    assert said.endswith(f"expected are paths like {folder / 'images/1.jpg'}")


def test_class_names_that_look_the_same_are_the_same(folder):
    text = 'path,artist\na.jpg,Bo\u0308  Ek\nb.jpg,"B\u00f6\nEk"\n'
    assert read(folder, text).class_names["artist"] == ("B\u00f6 Ek",)


def test_old_mac_line_ends_and_spaced_column_names(folder):
    work = read(folder, "Path,Artist,Work ID\ra.jpg,Ada,w7\r").works[0]
    assert (work.labels, work.work_id) == ({"artist": "Ada"}, "w7")


def test_class_names_are_sorted_and_labels_without_column_have_none(folder):
    catalogue = read(folder, "path,artist\nb.jpg,Zoe\na.jpg,Ada\n")
    assert catalogue.class_names["artist"] == ("Ada", "Zoe")
    assert catalogue.class_names["genre"] == ()


def test_other_columns_are_labels_where_they_are_wanted(folder):
    read(folder, "path,artist,medium\na.jpg,Ada,oil\n")
    catalogue = read_works_csv(folder / "works.csv", wanted=["medium"])
    assert catalogue.works[0].labels == {"artist": "Ada", "medium": "oil"}
    assert catalogue.class_names["medium"] == ("oil",)


def test_other_columns_and_the_date_are_kept_for_the_choice_of_labels(folder):
    work = read(folder, "path,artist,Price in  EUR,date\na.jpg,Ada,3,c. 1480\n").works[0]
    assert (work.columns, work.date) == ({"price_in_eur": "3", "date": "c. 1480"}, "c. 1480")
    (folder / "works.csv").write_text("path,medium\na.jpg,oil\n")
    assert read_works_csv(folder / "works.csv", ["medium"]).works[0].columns == {"medium": "oil"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; its first line names the columns"),
        ("file,artist\na.jpg,Ada\n", "no column 'path' (found: file, artist)"),
        ("path,price\na.jpg,3\n", "no column with a label (found: path, price)"),
        ("path,artist\n", "lists no works"),
        ("path,artist,artist\na.jpg,A,B\n", "has the column 'artist' more than once"),
        (
            "path,title,artist\na.jpg,Hills, lake,Ada\n",
            "row 2, 'a.jpg': 4 cells below a header of 3; a cell that contains the separator",
        ),
        (
            'path,artist,title\na.jpg,A,"Hills\nb.jpg,B,Lake\n',
            "line 2: its quotation marks do not match",
        ),
        (
            "path,artist\na.jpg,A\nb.jpg,B\n./a.jpg,C\n",
            "row 2, 'a.jpg': its picture is listed with other labels; keep the right row (see row 4)",
        ),
        ("path,artist\n../a.jpg,A\n", "row 2, '../a.jpg': the path leads out of the folder"),
        ("path,artist\n/etc/a.jpg,A\n", "leads out of the folder"),
        ("path,artist\nC:\\a.jpg,A\n", "leads out of the folder"),
        ("path,artist\n,A\n", "row 2: the path is empty"),
    ],
)
def test_what_is_invalid_is_one_line(folder, text, says):
    with pytest.raises(DataError) as caught:
        read(folder, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "ISO-8859-1"), ("cp850", "CP850")])
def test_other_encodings_are_read_and_noted(folder, encoding, said):
    catalogue = read(folder, "path,artist\na.jpg,Ada\nb.jpg,Käthe\n", encoding)
    assert catalogue.class_names["artist"] == ("Ada", "Käthe")
    assert f"works.csv is not UTF-8, and was read as {said}" in catalogue.notes


def test_utf16_is_read_where_it_has_its_mark(folder):
    catalogue = read(folder, "path\tartist\r\na.jpg\tBö\r\n", "utf-16")
    assert catalogue.works[0].labels == {"artist": "Bö"}
    assert catalogue.notes == ["works.csv is not UTF-8, and was read as UTF-16"]
    with pytest.raises(DataError, match="unreadable encoding"):
        read(folder, "path,artist\na.jpg,Ada\n", "utf-16-le")


@pytest.mark.parametrize(
    ("begins", "says"),
    [(b"PK\x03\x04", "an .xlsx or .ods file"), (b"\xd0\xcf\x11\xe0", "an .xls file of Excel")],
)
def test_a_spreadsheet_called_csv_is_one_line(folder, begins, says):
    (folder / "works.csv").write_bytes(begins + b"\0" * 99)
    with pytest.raises(DataError, match=f"is no text: it is {says}.*save it as 'CSV UTF-8'"):
        read_works_csv(folder / "works.csv")


def test_excels_line_with_the_separator_is_no_header(folder):
    text = 'sep=;\npath;artist;title\na.jpg;Ada;"1,5 m, wide"\n'
    (work,) = read(folder, text).works
    assert (work.labels, work.title) == ({"artist": "Ada"}, "1,5 m, wide")
    with pytest.raises(DataError, match="row 4: the path is empty"):
        read(folder, f"{text};Bo;\n")


def test_bad_rows_are_named_and_the_rest_is_read(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    Image.new("RGB", (8, 8)).save(outside)
    os.symlink(outside, folder / "link.jpg")
    for i in range(40):
        Image.new("RGB", (8, 8)).save(folder / f"{i}.jpg")
    good = "".join(f"{i}.jpg,Ada\n" for i in range(40))
    bad = ",Ada\n../a.jpg,Ada\na.jpg,Ada,Bo\n\nb\0.jpg,Ada\n0.jpg,Ada\n1.jpg,Bo\nlink.jpg,Ada\n"
    catalogue = read(folder, f"path,artist\n{good}{bad}")
    labels = "its picture is listed with other labels; keep the right row"
    assert [(row.file_name, row.reason) for row in catalogue.skipped] == [
        ("1.jpg", f"{labels} (works.csv, row 3; row 48)"),
        ("", "the path is empty (works.csv, row 42)"),
        (
            "../a.jpg",
            "the path leads out of the folder; give a relative one (works.csv, row 43)",
        ),
        (
            "a.jpg",
            "3 cells below a header of 2; a cell that contains the separator must be in quotation marks "
            "(works.csv, row 44)",
        ),
        ("b.jpg", "a NUL byte (works.csv, row 46)"),
        ("0.jpg", "its picture is listed already; keep one of the rows (works.csv, row 47; row 2)"),
        ("1.jpg", f"{labels} (works.csv, row 48; row 3)"),
        ("link.jpg", "a link that leads out of the folder (works.csv, row 49)"),
    ]
    assert [work.file_name for work in catalogue.works] == [f"{i}.jpg" for i in range(40) if i != 1]
    (note,) = catalogue.notes
    assert note.startswith("8 of the 47 rows of works.csv cannot be used, and are in skipped.csv: ")
    assert note.endswith("(the first: row 3)")
    assert catalogue.skipped[1].kind == "the path is empty"
    assert catalogue.skipped[0].kind == catalogue.skipped[-2].kind == labels


def test_too_many_bad_rows_are_one_line_with_the_first(folder):
    text = "path,artist\na.jpg,Ada\n,Ada\nb.jpg,Bo\n,Bo\n"
    with pytest.raises(DataError) as caught:
        read(folder, text)
    assert str(caught.value) == (
        f"{folder / 'works.csv'}, row 3: the path is empty (the first of 2 bad rows, of 4); mend them, "
        'or let more than 20% be left out by "max_bad_rows"'
    )
    assert len(read_works_csv(folder / "works.csv", max_bad_rows=0.5).works) == 2
    with pytest.raises(DataError, match="row 3"):
        read_works_csv(folder / "works.csv", max_bad_rows=0.4)


def test_a_linked_folder_of_pictures_is_followed(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    Image.new("RGB", (8, 8)).save(store / "a.jpg")
    os.symlink(store, folder / "scans")
    os.symlink("a.jpg", store / "again.jpg")
    works = read(folder, "path,artist\nscans/a.jpg,Ada\nscans/again.jpg,Bo\n").works
    assert [work.file for work in works] == [folder / "scans/a.jpg", folder / "scans/again.jpg"]
