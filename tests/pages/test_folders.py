"""A folder is replaced as a whole, or stays as it is."""

import os

import pytest

from artjax.errors import WorkdirError
from artjax.pages import folders, replaced_folder


@pytest.fixture
def folder(tmp_path):
    """A folder with an older file."""
    path = tmp_path / "run" / "describe"
    path.mkdir(parents=True)
    (path / "old.txt").write_text("old")
    return path


def contents(folder):
    """Files of the folder, and what lies beside it."""
    files = {path.name: path.read_text() for path in folder.iterdir()}
    return files, [path.name for path in folder.parent.iterdir()]


def test_a_new_folder_takes_the_place_of_the_old_one(folder):
    with replaced_folder(folder) as new:
        (new / "new.txt").write_text("new")
        assert contents(folder)[0] == {"old.txt": "old"}  # until the block ends
    assert contents(folder) == ({"new.txt": "new"}, ["describe"])
    assert folder.stat().st_mode & 0o777 == 0o755


def test_the_folder_and_those_above_it_need_not_exist(tmp_path):
    with replaced_folder(tmp_path / "a" / "b") as new:
        (new / "new.txt").write_text("new")
    assert contents(tmp_path / "a" / "b") == ({"new.txt": "new"}, ["b"])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(folder, error):

    def fails():
        with replaced_folder(folder) as new:
            (new / "new.txt").write_text("new")
            raise error

    with pytest.raises(error):
        fails()
    assert contents(folder) == ({"old.txt": "old"}, ["describe"])


def test_if_the_new_folder_cannot_be_moved_the_old_one_comes_back(folder, monkeypatch):
    real, failed = os.replace, []

    def replace(source, target):
        if target == folder and not failed:
            failed.append(source)
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(folders.os, "replace", replace)
    with (
        pytest.raises(WorkdirError, match=r"^cannot write .*describe: No space left on device$"),
        replaced_folder(folder) as new,
    ):
        (new / "new.txt").write_text("new")
    assert len(failed) == 1
    assert contents(folder) == ({"old.txt": "old"}, ["describe"])


def test_a_file_in_its_place_is_left_alone(tmp_path):
    (tmp_path / "describe").write_text("mine")
    with (
        pytest.raises(WorkdirError, match=r"^cannot write .*describe: "),
        replaced_folder(tmp_path / "describe"),
    ):
        pass
    assert (tmp_path / "describe").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
