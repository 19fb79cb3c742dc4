"""Reading collections: a museum's `works.csv`, or a folder for each class."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from artjax.config import LABELS
from artjax.data.names import canonical_name, readable_name
from artjax.data.picture_files import PICTURE_SUFFIXES, PictureFiles
from artjax.errors import DataError

COLUMNS = ("path", *LABELS, "title", "year", "work_id")
# "c. 1480", "1505-07", "1520s", but neither the day in "14 May 1880" nor "16th century".
_YEAR = re.compile(r"(?<!\d)\d{3,4}(?!\d)")


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


def read_works_csv(file: Path) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are passed over, with a note.

    Raises:
      DataError: one line, with the row, for everything that cannot be meant.
    """
    header, rows = _table(file)
    labels = [label for label in LABELS if label in header]
    files = PictureFiles(file.parent)
    works: list[Work] = []
    first_row: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{file}, row {number}: {len(row)} cells below a header of {len(header)}; a cell that "
                "contains the separator must be in quotation marks"
            )
        values = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
        path = _relative(values.get("path", ""), f"{file}, row {number}")
        picture = files.find(path)
        key = str(picture or canonical_name(path))
        if key in first_row:
            raise DataError(
                f"{file}, row {number}: the path '{path}' is in row {first_row[key]} already; "
                "keep one of them"
            )
        first_row[key] = number
        if picture is not None and not picture.resolve().is_relative_to(file.parent.resolve()):
            raise DataError(
                f"{file}, row {number}: '{path}' is a link that leads out of the folder"
            )
        works.append(
            Work(
                file_name=path,
                labels={label: _tidy(values[label]) for label in labels if values.get(label)},
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
    passed_over: Counter[str] = Counter()
    for name in PictureFiles(folder).names():
        path = PurePosixPath(readable_name(name))
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            passed_over[f"{path.suffix.lower() or 'without a suffix'}"] += 1
        elif len(path.parts) == 1:
            passed_over["in no sub-folder"] += 1
        else:
            works.append(
                Work(
                    file_name=str(path),
                    labels={label: _tidy(path.parts[0])},
                    picture=folder / name,
                    work_id=str(path),
                )
            )
    if not works:
        raise DataError(
            f"{folder} has neither a works.csv nor sub-folders with pictures; "
            f"make a folder for each {label}, or a works.csv with the columns path and {label}"
        )
    notes = []
    if passed_over:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in passed_over.most_common(5))
        notes.append(f"files that are no pictures of a class: {kinds}")
    return Catalogue(works, class_names(works), notes=notes)


def without_small_classes(
    catalogue: Catalogue, usable: Iterable[Work], min_works: int
) -> Catalogue:
    """Takes away the classes with fewer than `min_works` works; works keep their other labels.

    Args:
      catalogue: what is listed.
      usable: its works that have a picture; only these count, and details and second photographs of one
        work count once, since they all go to the same split.
      min_works: the smallest number of works of a class that is kept.
    """
    ids: dict[tuple[str, str], set[str]] = {}
    for work in usable:
        for item in work.labels.items():
            ids.setdefault(item, set()).add(work.work_id)
    counts = {
        label: {name: len(ids.get((label, name), ())) for name in names}
        for label, names in catalogue.class_names.items()
    }
    works = [
        replace(work, labels={k: v for k, v in work.labels.items() if counts[k][v] >= min_works})
        for work in catalogue.works
    ]
    kept = {
        label: tuple(name for name, count in classes.items() if count >= min_works)
        for label, classes in counts.items()
    }
    small = {
        label: {name: count for name, count in classes.items() if count < min_works}
        for label, classes in counts.items()
    }
    return replace(
        catalogue,
        works=works,
        class_names=kept,
        left_out_classes={label: classes for label, classes in small.items() if classes},
    )


def class_names(works: Iterable[Work]) -> dict[str, tuple[str, ...]]:
    """The sorted class names that occur, for each of `LABELS` (none for a label that never does)."""
    occurring: dict[str, set[str]] = {label: set() for label in LABELS}
    for work in works:
        for label, name in work.labels.items():
            occurring[label].add(name)
    return {label: tuple(sorted(names)) for label, names in occurring.items()}


def year_of(text: str) -> int:
    """A whole number of up to four digits, or the first of three or four in a text; otherwise -1."""
    if re.fullmatch(r"-?\d{1,4}", text):
        return int(text)
    match = _YEAR.search(text)
    return int(match[0]) if match else -1


def utf8_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
      DataError: with the line, if it is in another encoding; or if it cannot be read.
    """
    try:
        data = file.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error


def _table(file: Path) -> tuple[list[str], list[list[str]]]:
    """The checked header and the rows below it."""
    text = utf8_text(file)
    # Strict, because a quotation mark that is never closed would swallow all works below it.
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=_delimiter(text), strict=True)
    rows: list[list[str]] = []
    line = 1
    try:
        for row in reader:
            rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file}, line {line}: its quotation marks do not match ({error}); a cell that opens with "
            "one ends with one, and inside it each is written twice"
        ) from error
    if not rows:
        raise DataError(f"{file} is empty; its first line names the columns: {', '.join(COLUMNS)}")
    header = ["_".join(name.lower().split()) for name in rows[0]]
    found = ", ".join(name for name in header if name) or "none"
    if "path" not in header:
        raise DataError(
            f"{file} has no column 'path' (found: {found}); add it, with the pictures' paths"
        )
    if not set(LABELS) & set(header):
        raise DataError(
            f"{file} has no column with a label (found: {found}); add one of {', '.join(LABELS)}"
        )
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise DataError(f"{file} has the column '{twice[0]}' more than once; keep one of them")
    return header, rows[1:]


def _tidy(text: str) -> str:
    """One spelling for names that look the same: composed accents, single spaces, no line breaks."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _relative(path: str, where: str) -> str:
    path = path.replace("\\", "/").removeprefix("./")
    if not path:
        raise DataError(f"{where}: the path is empty")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"^[A-Za-z]:", path):
        raise DataError(f"{where}: the path '{path}' leads out of the folder; give a relative one")
    return str(pure)


def _delimiter(text: str) -> str:
    header = next(iter(text.splitlines()), "")
    return max(",;\t", key=header.count)
