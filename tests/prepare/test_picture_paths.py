"""Which files paths stand for."""

import os

import pytest

from artjax.prepare.picture_paths import files_of


def names(found, folder):
    return [path.relative_to(folder).as_posix() for path in found.files]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    shelf, other = tmp_path / "shelf", tmp_path / "other"
    for folder in (shelf / "deep", shelf / ".cache", other):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_text("")
    (shelf / ".hidden.jpg").write_text("")
    (shelf / "linked").symlink_to(other)
    (other / "back").symlink_to(shelf)
    (shelf / "deep" / "up").symlink_to(shelf)
    found = files_of([shelf])
    assert names(found, shelf) == ["deep/a.jpg", "linked/a.jpg"]
    assert found.missing == []


def test_what_is_not_there_has_a_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    found = files_of([tmp_path / "empty", tmp_path / "link.jpg", tmp_path / "no.jpg"])
    assert found.files == []
    assert [(path.name, reason) for path, reason in found.missing] == [
        ("empty", "the folder has no files"),
        ("link.jpg", "a link that leads nowhere"),
        ("no.jpg", "no such file or folder"),
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.jpg").write_text("")
    (tmp_path / "closed").chmod(0)
    found = files_of([tmp_path])
    assert names(found, tmp_path) == ["a.jpg"]
    assert found.missing == [
        (tmp_path / "closed", "cannot look into the folder: Permission denied")
    ]
