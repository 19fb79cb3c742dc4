"""Reading collections: a museum's `works.csv`, or a folder for each class."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from artjax.config import LABELS
from artjax.data.names import canonical_name
from artjax.errors import DataError

COLUMNS = ("path", *LABELS, "title", "year", "work_id")
PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".tif", ".tiff"),
        *(".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".ppm", ".pgm"),
    )
)
_YEAR = re.compile(r"(?<!\d)-?\d{1,4}(?!\d)")


@dataclass(frozen=True)
class Work:
    """One picture of a collection, as the catalogue has it.

    Attributes:
      file_name: the relative path with `/`: the unique key.
      labels: class names by label; a label that is unknown is not in it.
      picture: a file, or an object whose `draw()` returns uint8 RGB [H, W, 3]; None if it is missing.
      title: or an empty string.
      year: or -1.
      work_id: shared by details and second photographs of one work.
      split: where an official list decides it; otherwise None.
    """

    file_name: str
    labels: Mapping[str, str]
    picture: Any = None
    title: str = ""
    year: int = -1
    work_id: str = ""
    split: str | None = None


@dataclass
class Catalogue:
    """What a builder reads before any picture is opened.

    Attributes:
      works: all works listed.
      class_names: by label, in the order of the class indices.
      official: splits that are a published official list.
      left_out_classes: by label: class name → number of works, for classes that are too small.
      notes: what the user should know, a line each.
    """

    works: list[Work]
    class_names: dict[str, tuple[str, ...]]
    official: tuple[str, ...] = ()
    left_out_classes: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class PictureFiles:
    """The files below a folder, found by name even where an accent was mangled on the way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found = {canonical_name(name): name for name in sorted(_files_below(folder))}

    def __len__(self) -> int:
        return len(self._found)

    def names(self) -> list[str]:
        """Relative paths of all files, sorted."""
        return sorted(self._found.values())

    def find(self, name: str) -> Path | None:
        """The file that a catalogue calls `name`, or None."""
        found = self._found.get(canonical_name(name))
        return None if found is None else self.folder / found


def read_works_csv(file: Path) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are passed over, with a note.

    Raises:
      DataError: one line, with the row, for everything that cannot be meant.
    """
    text = _text(file)
    rows = list(csv.reader(io.StringIO(text), delimiter=_delimiter(text)))
    if not rows:
        raise DataError(f"{file} is empty; its first line names the columns: {', '.join(COLUMNS)}")
    header = [name.strip().lower() for name in rows[0]]
    found = ", ".join(name for name in header if name) or "none"
    if "path" not in header:
        raise DataError(
            f"{file} has no column 'path' (found: {found}); add it, with the pictures' paths"
        )
    labels = [label for label in LABELS if label in header]
    if not labels:
        raise DataError(
            f"{file} has no column with a label (found: {found}); add one of {', '.join(LABELS)}"
        )
    files = PictureFiles(file.parent)
    works: list[Work] = []
    first_row: dict[str, int] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        values = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
        path = _relative(values.get("path", ""), f"{file}, row {number}")
        key = canonical_name(path)
        if key in first_row:
            raise DataError(
                f"{file}, row {number}: the path '{path}' is in row {first_row[key]} already; "
                "keep one of them"
            )
        first_row[key] = number
        picture = files.find(path)
        if picture is not None and not picture.resolve().is_relative_to(file.parent.resolve()):
            raise DataError(
                f"{file}, row {number}: '{path}' is a link that leads out of the folder"
            )
        works.append(
            Work(
                file_name=path,
                labels={label: values[label] for label in labels if values.get(label)},
                picture=picture,
                title=values.get("title", ""),
                year=year_of(values.get("year", "")),
                work_id=values.get("work_id") or path,
            )
        )
    if not works:
        raise DataError(f"{file} lists no works: there is no row below the header")
    notes = []
    unknown = [name for name in header if name and name not in COLUMNS]
    if unknown:
        notes.append(f"columns of {file.name} that mean nothing here: {', '.join(unknown)}")
    return Catalogue(works, class_names(works), notes=notes)


def read_class_folders(folder: Path, label: str) -> Catalogue:
    """Reads a folder whose sub-folders are the classes of `label`, each with its pictures.

    Raises:
      DataError: if there are no such sub-folders.
    """
    works = []
    for name in PictureFiles(folder).names():
        path = PurePosixPath(name)
        if len(path.parts) > 1 and path.suffix.lower() in PICTURE_SUFFIXES:
            works.append(
                Work(
                    file_name=name,
                    labels={label: path.parts[0]},
                    picture=folder / name,
                    work_id=name,
                )
            )
    if not works:
        raise DataError(
            f"{folder} has neither a works.csv nor sub-folders with pictures; "
            f"make a folder for each {label}, or a works.csv with the columns path and {label}"
        )
    return Catalogue(works, class_names(works))


def class_names(works: Iterable[Work]) -> dict[str, tuple[str, ...]]:
    """The sorted class names that occur, for each of `LABELS` (none for a label that never does)."""
    occurring: dict[str, set[str]] = {label: set() for label in LABELS}
    for work in works:
        for label, name in work.labels.items():
            occurring[label].add(name)
    return {label: tuple(sorted(names)) for label, names in occurring.items()}


def year_of(text: str) -> int:
    """The first number of up to four digits in a text such as "c. 1480", or -1."""
    match = _YEAR.search(text)
    return int(match[0]) if match else -1


def _relative(path: str, where: str) -> str:
    path = path.replace("\\", "/").removeprefix("./")
    if not path:
        raise DataError(f"{where}: the path is empty")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"^[A-Za-z]:", path):
        raise DataError(f"{where}: the path '{path}' leads out of the folder; give a relative one")
    return str(pure)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from error


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _files_below(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(parent).relative_to(folder)
        for name in names:
            if not name.startswith("."):
                yield (relative / name).as_posix()
