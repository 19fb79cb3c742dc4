"""The works of one or several lists of pictures, without the rows that cannot be used."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from artjax.data.reports import Skipped
from artjax.data.splits import SPLITS, split_named, split_of_folders
from artjax.prepare.catalogue import Catalogue, FileBelow, Work, class_names
from artjax.prepare.cells import Cells, SharedLabels
from artjax.prepare.dates import year_of
from artjax.prepare.readers.asked import ALL_ROWS
from artjax.prepare.readers.bad_rows import skipped_rows
from artjax.prepare.readers.filename_repair import readable_name
from artjax.prepare.readers.list_columns import SPLIT_COLUMNS, Meaning
from artjax.prepare.readers.similar_names import Found
from artjax.prepare.readers.tables import BadRow, Table, first_of_list, tidy

_OTHER_LABELS = "its picture is listed with other labels; a picture has one of each"
_ORDER = {split: place for place, split in enumerate(SPLITS)}


@dataclass(frozen=True)
class PictureList:
    """A table that lists pictures with labels.

    Attributes:
      table: its rows that count.
      split: the split in the name of its file or folder, or None.
      meaning: what its columns say.
      column: the one that names the pictures.
      found: for each row, the picture's path in the collection, or None.
      left_out: the number of rows that do not count.
    """

    table: Table
    split: str | None
    meaning: Meaning
    column: str
    found: Found
    left_out: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """By label, the column that holds it."""
        return self.meaning.labels


def split_in_stem(name: str) -> str | None:
    """The split in the name of a list: `trainLabels.csv`, `artist_test.csv`."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", PurePosixPath(name).stem)
    return next(filter(None, map(split_named, words)), None)


def catalogue_of(lists: Sequence[PictureList], folder: Path, max_bad_rows: float) -> Catalogue:
    """The works of some lists below a folder.

    Raises:
      DataError: one line, if more than the share `max_bad_rows` of the rows of a list is unusable.
    """
    gathered = _Gathered(folder)
    catalogue = Catalogue([], {})
    for item in lists:
        gathered.add(item, several=len(lists) > 1)
    for item in lists:
        table = item.table
        rows = len(table.rows) + len(table.bad)
        bad = [
            *gathered.bad[table.file],
            *((row.cells.get(item.column, ""), row) for row in table.bad),
        ]
        skipped, notes = skipped_rows(table.file, bad, rows, max_bad_rows)
        catalogue.skipped += [*skipped, *gathered.elsewhere[table.file]]
        catalogue.notes += [*table.encoding_notes(), *_notes(item, folder), *notes]
        catalogue.reading.append(_source(item, folder))
    if gathered.twice:
        catalogue.notes.append(
            f"{gathered.twice:,} rows list a picture again, with the same labels: kept once, in test or "
            "validation if one of the rows is there"
        )
    works = list(gathered.works.values())
    divided_by = " and ".join(sorted(gathered.divided_by)) or catalogue.divided_by
    return replace(catalogue, works=works, class_names=class_names(works), divided_by=divided_by)


def _source(item: PictureList, folder: Path) -> str:
    museum = f" ({item.meaning.museum.name})" if item.meaning.museum else ""
    return f"pictures and labels from {item.table.file.relative_to(folder)}{museum}"


def _notes(item: PictureList, folder: Path) -> list[str]:
    columns = "".join(f", {label} from '{column}'" for label, column in item.labels.items())
    notes = [
        f"read {item.table.file.relative_to(folder)}: {item.found.there:,} of {len(item.found):,} "
        f"pictures found by '{item.column}'{columns}"
    ]
    if item.left_out:
        notes.append(
            f"{item.left_out:,} rows do not count, since not {item.meaning.rows} "
            f'("rows": "{ALL_ROWS}" takes all)'
        )
    return notes + item.found.lines(nearest=not item.meaning.partial)


class _Gathered:
    """The works of one or several lists.

    Attributes:
      works: by file name.
      bad: by list, its rows that cannot be used, with what they call their picture.
      elsewhere: by list that may list far more than is here, its pictures that are not here.
      divided_by: what gave works their split.
      twice: the number of rows that list a picture again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.works: dict[str, Work] = {}
        self.bad: dict[Path, list[tuple[str, BadRow]]] = {}
        self.elsewhere: dict[Path, list[Skipped]] = {}
        self.divided_by: set[str] = set()
        self.twice = 0
        self._first: dict[str, tuple[Path, int]] = {}

    def add(self, item: PictureList, *, several: bool) -> None:
        """Adds the works of a list; `several`: whether it is one of several."""
        file = item.table.file
        self.bad[file], self.elsewhere[file] = [], []
        shared = SharedLabels()
        split_column = _split_column(item)
        lists_have = f"the {'names of the lists' if split_in_stem(file.name) else 'folders'} have"
        for (number, row), found in zip(item.table.rows, item.found.paths, strict=True):
            listed = row.get(item.column, "")
            if item.meaning.partial and found is None:
                reason = "no such file" if listed else "no picture is named"
                self.elsewhere[file].append(Skipped(listed, "", reason))
                continue
            if not listed:
                reason = f"the cell below '{item.column}' is empty"
                self.bad[file].append(("", BadRow(number, row, reason)))
                continue
            work = _work(item, row, found, self.folder, shared)
            split_by = (
                (f"the column '{split_column}' has", split_named(row.get(split_column, ""))),
                # One list alone divides nothing.
                (lists_have, item.split if several else None),
                ("the folders have", split_of_folders(work.file_name)),
            )
            by, split = next((found for found in split_by if found[1]), ("", None))
            if by:
                self.divided_by.add(by)
            self._add(replace(work, split=split), file, BadRow(number, row, ""))

    def _add(self, work: Work, file: Path, row: BadRow) -> None:
        name = work.file_name
        first = self.works.get(name)
        if name not in self._first:
            self.works[name] = work
            self._first[name] = (file, row.number)
        elif first is None or first.labels != work.labels:
            # Which of two labels is right, nobody knows but the user.
            of, number = self._first[name]
            self.works.pop(name, None)
            other = f"{of.name}, row {number}"
            self.bad[file].append((name, row._replace(reason=_OTHER_LABELS, other=other)))
            if first is not None:
                again = f"{file.name}, row {row.number}"
                self.bad[of].append((name, BadRow(number, {}, _OTHER_LABELS, again)))
        else:
            self.twice += 1
            self.works[name] = max(first, work, key=lambda w: _ORDER[w.split or "train"])


def _work(
    item: PictureList, row: Cells, found: str | None, root: Path, shared: SharedLabels
) -> Work:
    meaning, museum = item.meaning, item.meaning.museum
    listed = row[item.column].replace("\\", "/")
    folder = item.table.file.parent.relative_to(root).as_posix()
    name = readable_name(found or posixpath.normpath(posixpath.join(folder, listed)))
    years = museum.year if museum else ("year", "date")
    year, uncertainty = year_of(date := meaning.cell(row, "year", *years))
    return Work(
        file_name=name,
        labels=shared(
            {
                label: tidy(said)
                for label, column in item.labels.items()
                if (said := _said(meaning, column, row.get(column, "")))
            }
        ),
        picture=FileBelow(root, found) if found else None,
        title=meaning.cell(row, "title", museum.title if museum else "title"),
        year=year,
        year_uncertainty=uncertainty,
        date=date,
        work_id=meaning.cell(row, "work_id", "work_id") or name,
        columns=row.tidied(tidy),
    )


def _said(meaning: Meaning, column: str, cell: str) -> str:
    """What a cell says about a label; several values with `|` between them."""
    parts = cell.split(meaning.separator) if meaning.separator else [cell]
    before = meaning.museum.before.get(column, "") if meaning.museum else ""
    parts = [part.partition(before)[0] if before else part for part in parts]
    return "|".join(
        dict.fromkeys(part.strip() for part in map(first_of_list, parts) if part.strip())
    )


def _split_column(item: PictureList) -> str:
    for column in filter(None, (item.meaning.other.get("split"), *SPLIT_COLUMNS)):
        if any(split_named(row.get(column, "")) for _, row in item.table.rows):
            return column
    return ""
