"""The picture files that a user's paths stand for: files, and all that is in folders."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from artjax.errors import DataError


class Found(NamedTuple):
    """What paths stand for.

    Attributes:
      files: in the order of the paths, those of a folder sorted.
      missing: (path, reason) for each path, or folder in a folder, of which there are none.
    """

    files: list[Path]
    missing: list[tuple[Path, str]]


def asked_for(paths: Sequence[Path], lines: TextIO) -> list[Path]:
    """The paths that words of a command line stand for.

    Args:
      paths: as they were typed. `-` stands for those in `lines`. One that does not exist and has `*`,
        `?` or `[` is a pattern, in which `**` means any folders: shells expand none in quotation marks,
        and what fits may be too much for a command line.
      lines: a path in each, or between them zero bytes, as `find -print0` writes them.

    Raises:
      DataError: if a pattern fits no file, or `-` is given and there are no lines.
    """
    found: list[Path] = []
    for path in paths:
        if str(path) == "-":
            text = lines.read()
            given = text.split("\0") if "\0" in text else text.splitlines()
            found += [Path(line) for line in given if line]
            if not text.strip("\0\n"):
                raise DataError("-: standard input names no file: write a path in each line")
        elif not os.path.lexists(path) and glob.has_magic(str(path)):
            fitting = sorted(glob.glob(str(path), recursive=True))
            if not fitting:
                raise DataError(f"{path}: no file fits this pattern")
            found += map(Path, fitting)
        else:
            found.append(path)
    return found


def files_of(paths: Sequence[Path]) -> Found:
    """The files to use, and the reason for each path that has none.

    Of folders all files in them and in their subfolders, but no hidden ones. Links to folders are
    followed, unless they lead to a folder that they lie in.
    """
    found = Found([], [])
    for path in paths:
        # Unlike Path.is_dir it raises nothing where a folder above is closed.
        if os.path.isdir(path):
            inside, unreadable = _files_below(path)
            if not inside and not unreadable:
                found.missing.append((path, "the folder has no files"))
            found.files.extend(inside)
            found.missing.extend(unreadable)
        elif reason := _why_missing(path):
            found.missing.append((path, reason))
        else:  # `clean` reports what is no regular file
            found.files.append(path)
    return found


def _why_missing(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "no such file or folder"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _files_below(folder: Path) -> Found:
    unreadable: list[tuple[Path, str]] = []

    def note(error: OSError) -> None:
        unreadable.append((Path(error.filename), f"cannot look into the folder: {error.strerror}"))

    files = []
    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        here = Path(parent)
        folders[:] = [
            name for name in folders if not (name.startswith(".") or leads_up(here / name))
        ]
        files += [here / name for name in names if not name.startswith(".")]
    return Found(sorted(files), unreadable)


def leads_up(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in: to follow it would have no end."""
    if not folder.is_symlink():
        return False
    return os.path.realpath(folder) in map(os.path.realpath, folder.absolute().parents)
