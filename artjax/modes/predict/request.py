"""Which pictures `--mode predict` is asked for, and how its table names them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from artjax.errors import ConfigError, DataError
from artjax.prepare.picture_paths import files_of
from artjax.prepare.readers.asked import ALL_ROWS, Asked
from artjax.prepare.readers.file_index import PictureFiles
from artjax.prepare.readers.filename_repair import readable_name
from artjax.prepare.readers.folder_layouts import read_folder
from artjax.prepare.readers.works_csv import read_works_csv

# What spreadsheets take for the beginning of a formula, which may start programs (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Picture(NamedTuple):
    """A picture that is asked for.

    Attributes:
      file: as it was given, or as it is called below a folder that was given.
      name: in the table: relative to the folder that all are in, or absolute.
      named: whether the user has typed its path.
      work_id: of the catalogue; empty without one.
      title: of the catalogue; empty without one.
      reason: why it is not usable, where that is known without opening it.
    """

    file: Path
    name: str
    named: bool
    work_id: str = ""
    title: str = ""
    reason: str = ""


class Request(NamedTuple):
    """All pictures that are asked for, each once.

    Attributes:
      folder: that all are in, absolute; None if that is the root.
      pictures: by their names in the table, in the order in which they are predicted.
    """

    folder: Path | None
    pictures: dict[str, Picture]


def request_for(paths: Sequence[Path], catalogue: bool = False) -> Request:
    """What is asked for.

    Args:
      paths: files and folders; or one folder, if a catalogue shall be used.
      catalogue: whether to predict the works that the folder's works.csv, or another list of a kind that
        builds read, names.

    Raises:
      ConfigError: if a catalogue is to be used of anything else than one folder.
      DataError: if there is no catalogue, or it cannot be read.
    """
    if catalogue:
        if len(paths) != 1 or not paths[0].is_dir():
            raise ConfigError("--catalogue needs one folder after it, the one with the works.csv")
        return Request(_absolute(paths[0]), _by_name(_listed(paths[0])))
    found = files_of(paths)
    folder = _common_folder(paths)
    typed = set(paths)
    pictures = [
        Picture(path, table_name(path, folder), path in typed, reason=reason)
        for path, reason in (*found.missing, *((file, "") for file in found.files))
    ]
    return Request(folder, _by_name(pictures))


def table_name(path: Path, folder: Path | None) -> str:
    """How the table calls a file: relative to a folder, or absolute; never as a formula begins."""
    absolute = _absolute(path)
    name = readable_name(str(absolute if folder is None else absolute.relative_to(folder)))
    return f"./{name}" if name.startswith(_FORMULA) else name


def harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula: after an apostrophe, if it begins like one."""
    text = " ".join(cell.split("\n"))
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # without `..`; links keep their names


def _common_folder(paths: Sequence[Path]) -> Path | None:
    folders = [path if os.path.isdir(path) else path.parent for path in map(_absolute, paths)]
    common = Path(os.path.commonpath(folders))
    return None if common == Path(common.anchor) else common


def _by_name(pictures: Iterable[Picture]) -> dict[str, Picture]:
    found: dict[str, Picture] = {}
    for picture in pictures:
        name = picture.name
        if name in found and _absolute(found[name].file) != _absolute(picture.file):
            # Two spellings of one name in bytes: the second is written as what it is.
            name = os.fsencode(picture.file.name).decode("utf-8", "backslashreplace")
            name = str(Path(picture.name).with_name(name))
        found.setdefault(name, picture._replace(name=name))
    return found


def _listed(folder: Path) -> list[Picture]:
    """The works of a folder's list."""
    table = folder / "works.csv"
    if table.exists():
        catalogue = read_works_csv(table, needs_label=False)
    else:
        if not any(
            name.endswith((".csv", ".tsv", ".jsonl")) for name in PictureFiles(folder).names()
        ):
            raise DataError(
                f"--catalogue: no works.csv in {folder}; write one (columns path, and work_id and title "
                "where you have them), or leave --catalogue out: all files are predicted then"
            )
        catalogue = read_folder(folder, Asked(rows=ALL_ROWS, needs_label=False))
    listed = [
        Picture(
            work.file or folder / work.file_name,
            table_name(work.file or folder / work.file_name, _absolute(folder)),
            False,
            harmless(work.work_id),
            harmless(work.title),
            "" if work.picture else "no such file",
        )
        for work in catalogue.works
    ]
    bad_rows = [
        Picture(
            folder / row.file_name, harmless(row.file_name or row.reason), False, reason=row.reason
        )
        for row in catalogue.skipped
    ]
    return [*listed, *bad_rows]
