"""A collection as its catalogue has it, and a museum's own catalogue: `works.csv`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from artjax.config import LABELS
from artjax.data.names import canonical_name
from artjax.data.picture_files import PictureFiles
from artjax.data.tables import read_table, tidy
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
      fractions: of the splits of works whose `split` is None; None leaves it to the builder.
      left_out_classes: by label: class name → number of works, for classes that are too small.
      notes: what the user should know, a line each.
      urls: by file_name, where a picture that is missing can be fetched, if anywhere.
    """

    works: list[Work]
    class_names: dict[str, tuple[str, ...]]
    official: tuple[str, ...] = ()
    fractions: tuple[tuple[str, float], ...] | None = None
    left_out_classes: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)


def read_works_csv(file: Path) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are passed over, with a note.

    Raises:
      DataError: one line, with the row, for everything that cannot be meant.
    """
    table = read_table(file)
    if "path" not in table.header:
        raise DataError(
            f"{file} has no column 'path' {table.found}; add it, with the pictures' paths"
        )
    labels = [label for label in LABELS if label in table.header]
    if not labels:
        raise DataError(
            f"{file} has no column with a label {table.found}; add one of {', '.join(LABELS)}"
        )
    table.check_once(COLUMNS)
    files = PictureFiles(file.parent)
    works: list[Work] = []
    first_row: dict[str, int] = {}
    for number, values in table.rows:
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
                labels={label: tidy(values[label]) for label in labels if values.get(label)},
                picture=picture,
                title=values.get("title", ""),
                year=year_of(values.get("year", "")),
                work_id=values.get("work_id") or path,
            )
        )
    if not works:
        raise DataError(f"{file} lists no works: there is no row below the header")
    if not any(work.picture for work in works):
        raise DataError(no_pictures(works, files))
    notes = []
    unknown = [name for name in table.header if name and name not in COLUMNS]
    if unknown:
        notes.append(f"columns of {file.name} that mean nothing here: {', '.join(unknown)}")
    return Catalogue(works, class_names(works), notes=notes)


def no_pictures(works: Sequence[Work], files: PictureFiles) -> str:
    """What is wrong where not one of the works has a picture among the files."""
    return (
        f"none of the {len(works):,} listed pictures is below {files.folder}: it holds {len(files):,} "
        f"files; expected are paths like {files.folder / works[0].file_name}"
    )


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
    ids = _ids_by_class(catalogue, usable)
    kept = {
        label: {name for name, works in classes.items() if len(works) >= min_works}
        for label, classes in ids.items()
    }
    small = {
        label: {name: len(works) for name, works in classes.items() if len(works) < min_works}
        for label, classes in ids.items()
    }
    return replace(
        _with_classes(catalogue, kept),
        left_out_classes={label: classes for label, classes in small.items() if classes},
    )


def only_most_frequent(catalogue: Catalogue, numbers: Mapping[str, int]) -> Catalogue:
    """Takes away all but the most frequent classes; works keep their other labels.

    Args:
      catalogue: what is listed. Works that have a picture count, those of one `work_id` once.
      numbers: by label, how many of its classes are kept; of classes with as many works, those whose
        names come first. The classes of other labels all are.
    """
    ids = _ids_by_class(catalogue, (work for work in catalogue.works if work.picture is not None))
    kept = {label: set(classes) for label, classes in ids.items()}
    notes = list(catalogue.notes)
    for label, number in numbers.items():
        by_frequency = sorted(ids[label], key=lambda name: (-len(ids[label][name]), name))
        kept[label] = set(by_frequency[:number])
        others = set().union(*(ids[label][name] for name in by_frequency[number:]))
        if others:
            notes.append(
                f"{label}: the {number} most frequent of {len(by_frequency):,} classes; "
                f"{len(others):,} works of the others keep their other labels"
            )
    return replace(_with_classes(catalogue, kept), notes=notes)


def _ids_by_class(catalogue: Catalogue, works: Iterable[Work]) -> dict[str, dict[str, set[str]]]:
    """For each class of each label, the `work_id`s of those of the works that are of it."""
    ids: dict[str, dict[str, set[str]]] = {
        label: {name: set() for name in names} for label, names in catalogue.class_names.items()
    }
    for work in works:
        for label, name in work.labels.items():
            ids[label][name].add(work.work_id)
    return ids


def _with_classes(catalogue: Catalogue, kept: Mapping[str, set[str]]) -> Catalogue:
    works = [
        replace(work, labels={k: v for k, v in work.labels.items() if v in kept[k]})
        for work in catalogue.works
    ]
    names = {
        label: tuple(name for name in classes if name in kept[label])
        for label, classes in catalogue.class_names.items()
    }
    return replace(catalogue, works=works, class_names=names)


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


def _relative(path: str, where: str) -> str:
    path = path.replace("\\", "/").removeprefix("./")
    if not path:
        raise DataError(f"{where}: the path is empty")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"^[A-Za-z]:", path):
        raise DataError(f"{where}: the path '{path}' leads out of the folder; give a relative one")
    return str(pure)
