"""Lists and files that spell the same name otherwise."""

import unicodedata

import pytest
from PIL import Image

from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.folder_layouts import read_folder


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name, "JPEG")


def found(folder, paths, name="works.csv", column="path"):
    """{listed: file} of a list of these paths, and the notes."""
    rows = "".join(f'"{path}",{"AB"[i % 2]}\n' for i, path in enumerate(paths))
    (folder / name).write_text(f"{column},artist\n{rows}", encoding="utf-8")
    catalogue = read_folder(folder, Asked())
    listed = {
        work.columns.get(column, work.file_name): work.file
        and work.file.relative_to(folder).as_posix()
        for work in catalogue.works
    }
    return listed, catalogue.notes


@pytest.mark.parametrize(
    ("listed", "file"),
    [
        ("mona_lisa.jpg", "mona-lisa.jpg"),
        ("Mona Lisa.jpg", "mona_lisa.JPG"),
        ("mona%20lisa.jpg", "mona lisa.jpg"),
        ("mona_lisa", "mona-lisa.jpg"),
        ("mona-lisa.tif", "mona_lisa.jpg"),
        ("Cézanne_1.jpg", "cezanne-1.jpg"),
        (unicodedata.normalize("NFD", "Dürer 2.jpg"), "Dürer_2.jpg"),
        ("the artist\u2019s_wife.jpg", "the artist's wife.jpg"),
        ("1975.1.35", "1975-1-35.jpg"),
        ("123", "00123.jpg"),
        ("A00001", "A/A00/A00001_10.jpg"),
        ("29.100.113", "29.100.113_main view.jpg"),
        ("123.0", "123.jpg"),
        ("scans/a b.jpg", "scans/a_b.jpg"),
        ("a b.jpg", "scans/a_b.jpg"),
    ],
)
def test_one_file_that_is_spelt_alike_is_the_picture(tmp_path, listed, file):
    make(tmp_path, file, "other.jpg")
    pictures, notes = found(tmp_path, [listed, "other.jpg"])
    assert pictures[listed] == file
    assert notes[0] == (
        f"2 pictures: 1 by their path or name, 1 by a similar name (such as '{file}' for '{listed}')"
    )


@pytest.mark.parametrize(
    ("listed", "files"),
    [
        ("mona_lisa.jpg", ["mona-lisa.jpg", "mona lisa.jpg"]),
        ("mona_lisa", ["mona-lisa.jpg", "mona-lisa.png"]),
        ("123", ["0123.jpg", "00123.jpg"]),
        ("A00001", ["A00001_8.jpg", "A00001_10.jpg"]),
        ("A00001.jpg", ["A00001_back.jpg"]),
        ("1975", ["1975_35.jpg"]),  # the year of many works
        ("1975.1", ["1975_1_35.jpg"]),  # a set, of which this is one
        ("a_b.jpg", ["one/a b.jpg", "two/a-b.jpg"]),
        ("scans/a_b.jpg", ["other/a b.jpg"]),  # a works.csv says in which folder
        ("123.jpg", ["124.jpg"]),
    ],
)
def test_two_candidates_are_none(tmp_path, listed, files):
    make(tmp_path, *files, "other.jpg")
    pictures, notes = found(tmp_path, [listed, "other.jpg"])
    assert pictures[listed] is None
    assert not any("similar name" in note for note in notes)


def test_two_listed_names_do_not_share_a_file(tmp_path):
    make(tmp_path, "a-b.jpg", "c-d.jpg", "other.jpg")
    pictures, _ = found(tmp_path, ["a b.jpg", "a_b.jpg", "c-d.jpg", "c_d.jpg", "other.jpg"])
    assert pictures == {
        **{"a b.jpg": None, "a_b.jpg": None, "c-d.jpg": "c-d.jpg", "c_d.jpg": None},
        "other.jpg": "other.jpg",
    }


def test_what_is_near_a_missing_picture_is_named(tmp_path):
    make(tmp_path, "mona-lisa-1503.jpg", "other.jpg")
    listed = ["mona_liza_1503.jpg", "mona_lisa_1508.jpg", "other.jpg"]
    pictures, notes = found(tmp_path, listed)
    assert [pictures[name] for name in listed] == [None, None, "other.jpg"]
    assert notes == ["'mona_liza_1503.jpg' is not there; 'mona-lisa-1503.jpg' is"]


def test_a_published_list_finds_names_in_any_folder(tmp_path):
    make(tmp_path, "pictures/a_b.jpg", "pictures/c.jpg")
    pictures, notes = found(tmp_path, ["x/a b.jpg", "c.jpg"], "list.csv", "file_name")
    assert pictures["x/a b.jpg"] == "pictures/a_b.jpg"
    assert any("1 by a similar name" in note for note in notes)
