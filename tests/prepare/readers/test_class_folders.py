import os

import pytest
from PIL import Image

from artjax.errors import DataError
from artjax.prepare.readers.class_folders import read_class_folders
from artjax.prepare.readers.file_index import PictureFiles


@pytest.fixture
def folder(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg", "more/c é.jpg")
    return tmp_path


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)


def read(folder):
    return read_class_folders(PictureFiles(folder), "artist")


def test_names_that_differ_only_in_case_are_different_pictures(folder):
    make(folder, "more/C é.JPG")
    assert {work.file.name for work in read(folder).works} == {"c é.jpg", "C é.JPG"}


def test_names_that_are_not_utf8_on_disk_can_be_written(tmp_path):
    for number, raw in enumerate((b"b\xf6c/\xe9.jpg", b"ada/x.jpg")):
        path = os.path.join(os.fsencode(tmp_path), raw)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(file, "JPEG")
    works = read(tmp_path).works
    assert {w.file_name: w.labels["artist"] for w in works} == {
        "ada/x.jpg": "ada",
        "b\u00f6c/\u00e9.jpg": "b\u00f6c",
    }
    assert all(work.file.is_file() for work in works)


def test_class_folders(folder):
    (folder / "more" / "notes.txt").write_text("no picture")
    Image.new("RGB", (8, 8)).save(folder / "more" / ".hidden.jpg")
    (folder / "Ada" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "Ada" / "deep" / "d.png")
    works = read(folder).works
    assert {w.file_name: w.labels["artist"] for w in works} == {
        "Ada/deep/d.png": "Ada",
        "more/c é.jpg": "more",
    }


def test_files_that_are_passed_over_are_noted(folder):
    (folder / "more" / "notes.txt").write_text("no picture")
    notes = read(folder).notes
    assert notes == ["files that are no pictures of a class: 2 in no class folder, 1 .txt"]


def test_a_folder_without_classes_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"neither a works.csv nor sub-folders"):
        read(tmp_path)
