"""A museum's own catalogue: `works.csv`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from artjax.config import LABELS
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, FileBelow, Work, class_names
from artjax.prepare.cells import Cells, SharedLabels
from artjax.prepare.dates import year_of
from artjax.prepare.readers.bad_rows import MAX_SHARE, skipped_rows
from artjax.prepare.readers.file_index import ListedPictures, PictureFiles, no_pictures
from artjax.prepare.readers.filename_repair import canonical_name
from artjax.prepare.readers.tables import BadRow, Table, read_table, tidy

COLUMNS = ("path", *LABELS, "title", "year", "work_id")
_AGAIN = "its picture is listed already; keep one of the rows"
_OTHER_LABELS = "its picture is listed with other labels; keep the right row"

_Row = tuple[str, int, Cells]  # the path that is listed, the number, and the cells


def read_works_csv(
    file: Path,
    wanted: Collection[str] = (),
    max_bad_rows: float = MAX_SHARE,
    files: PictureFiles | None = None,
    *,
    needs_label: bool = True,
) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are in `Work.columns`. Rows that cannot
    be used are skipped and named. A file that is spelt alike is taken where it is the only one.

    Args:
      file: the list; its pictures are below its folder, or below a folder that a link there leads to.
      wanted: other columns that are labels.
      max_bad_rows: the share of the rows that may be skipped, in [0, 1].
      files: those of the folder, if they are known.
      needs_label: whether one of its columns has to be a label.

    Raises:
      DataError: one line, with the row, if something is invalid, or too many rows are.
    """
    table = read_table(file)
    if "path" not in table.header:
        raise DataError(
            f"{file} has no column 'path' {table.found}; add it, with the pictures' paths"
        )
    labels = [label for label in (*LABELS, *wanted) if label in table.header]
    if not labels and needs_label:
        raise DataError(
            f"{file} has no column with a label {table.found}; add one of {', '.join(LABELS)}, or "
            'name a column that is one: "labels": ["…"]'
        )
    table.check_once((*COLUMNS, *wanted))
    files = files or PictureFiles(file.parent)
    unknown = [name for name in table.header if name and name not in COLUMNS]
    rows, bad = _with_paths(table)
    notes, listed = table.encoding_notes(), len(table.rows) + len(table.bad)
    del table  # of half a million rows it is as much as the works
    found = ListedPictures(files).find(
        [path for path, _, _ in rows], PurePosixPath(), other_folders=False
    )
    gathered = _Gathered(files.folder)
    rows.reverse()
    places = {name: place for place, name in enumerate(unknown)}
    shared = SharedLabels()
    for name in found.paths:
        path, number, values = rows.pop()
        if name == path:
            path = name  # one object of the two
        year, uncertainty = year_of(date := values.get("year") or values.get("date"))
        work = Work(
            file_name=path,
            labels=shared({label: tidy(cell) for label in labels if (cell := values.get(label))}),
            picture=FileBelow(files.folder, name) if name else None,
            title=values.get("title", ""),
            year=year,
            year_uncertainty=uncertainty,
            date=date,
            work_id=values.get("work_id") or path,
            columns=Cells(places, [tidy(values.get(name)) for name in unknown]),
        )
        gathered.add(work, name, number)
    works, bad = list(gathered.works.values()), bad + gathered.bad
    skipped, of_bad = skipped_rows(file, bad, listed, max_bad_rows)
    if not works:
        raise DataError(f"{file} lists no works: there is no row below the header")
    if not any(work.picture for work in works):
        raise DataError(no_pictures(works, files))
    notes += [*found.lines(), *of_bad]
    return Catalogue(
        works,
        class_names(works),
        notes=notes,
        reading=[f"paths and labels from {file.name}"],
        skipped=skipped,
    )


class _Gathered:
    """The works of a list, by what their pictures are; and the rows that are none, with their paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: dict[str, int] = {}
        self.works: dict[str, Work] = {}
        self.bad: list[tuple[str, BadRow]] = []

    def add(self, work: Work, name: str | None, row: int) -> None:
        """Adds the work of a row, unless its file `name` is listed already or is none of the folder."""
        key = name or f"\0{canonical_name(work.file_name)}"  # of a file, or of none
        if name and _leads_out(self._folder, name):
            self._refuse(work, row, "a link that leads out of the folder")
        elif key in self._first:
            first = self.works.get(key)
            same = first is not None and first.labels == work.labels
            reason = _AGAIN if same else _OTHER_LABELS
            self._refuse(work, row, reason, other=self._first[key])
            # Which of two labels is right, nobody knows but the user.
            if first is not None and not same:
                del self.works[key]
                self._refuse(first, self._first[key], reason, other=row)
        else:
            self.works[key], self._first[key] = work, row

    def _refuse(self, work: Work, row: int, reason: str, other: int = 0) -> None:
        bad = BadRow(row, {}, reason, f"row {other}" if other else "")
        self.bad.append((work.file_name, bad))


def _with_paths(
    table: Table,
) -> tuple[list[_Row], list[tuple[str, BadRow]]]:
    """The rows with a path in the folder, as (path, number, cells); and the others, with their paths."""
    rows, bad = [], [(row.cells.get("path", ""), row) for row in table.bad]
    for number, values in table.rows:
        path, problem = _relative(values.get("path", ""))
        if problem:
            bad.append((path, BadRow(number, values, problem)))
        else:
            rows.append((path, number, values))
    return rows, bad


def _relative(path: str) -> tuple[str, str]:
    """A path as the folder has it, and what is wrong with it, if anything."""
    path = path.replace("\\", "/").removeprefix("./")
    if not path:
        return path, "the path is empty"
    if path.startswith("/") or ".." in path.split("/") or re.match(r"^[A-Za-z]:", path):
        return path, "the path leads out of the folder; give a relative one"
    plain = "//" not in path and "/." not in path and not path.endswith("/")
    return path if plain else str(PurePosixPath(path)), ""


def _leads_out(folder: Path, name: str) -> bool:
    """Whether a picture is a link to a file elsewhere. A linked folder is the user's own."""
    if not os.path.islink(os.path.join(folder, name)):  # a Path would keep this string
        return False
    picture = folder / name
    file = picture.resolve()
    return not any(file.is_relative_to(inside.resolve()) for inside in (folder, picture.parent))
