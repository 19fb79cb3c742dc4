"""A museum's own catalogue: `works.csv`."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from artjax.config import LABELS
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.readers.bad_rows import MAX_SHARE, skipped_rows
from artjax.prepare.readers.file_index import ListedPictures, PictureFiles, no_pictures
from artjax.prepare.readers.filename_repair import canonical_name
from artjax.prepare.readers.tables import BadRow, Table, read_table, tidy, year_of

COLUMNS = ("path", *LABELS, "title", "year", "work_id")
_OTHER_LABELS = "the same picture is in row {} with other labels; keep the right one"


def read_works_csv(
    file: Path, max_bad_rows: float = MAX_SHARE, files: PictureFiles | None = None
) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are no labels, as a note says. Rows without a
    usable path, with too many cells, or that list a picture again are skipped and named. A file that is
    only spelt alike is taken where there is one such file, see `SimilarNames`.

    Args:
      file: the list; its pictures are below its folder, or below a folder that a link there leads to.
      max_bad_rows: the share of the rows that may be skipped, in [0, 1].
      files: those of its folder, if the caller has them.

    Raises:
      DataError: one line, with the row, if something is invalid, or too many rows are.
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
    files = files or PictureFiles(file.parent)
    unknown = [name for name in table.header if name and name not in COLUMNS]
    rows, bad = _with_paths(table)
    notes, listed = table.encoding_notes(), len(table.rows) + len(table.bad)
    del table  # of half a million rows it is as much as the works
    found = ListedPictures(files).find(
        [path for path, _, _ in rows], PurePosixPath(), other_folders=False
    )
    works: dict[str, Work] = {}
    first: dict[str, int] = {}
    rows.reverse()
    for name in found.paths:
        path, number, values = rows.pop()
        picture = files.folder / name if name else None
        work = Work(
            file_name=path,
            labels={label: tidy(values[label]) for label in labels if values.get(label)},
            picture=picture,
            title=values.get("title", ""),
            year=year_of(values.get("year", "")),
            work_id=values.get("work_id") or path,
            columns={name: tidy(values[name]) for name in unknown if values.get(name)},
        )
        key = name or f"\0{canonical_name(path)}"  # of a file, or of none
        if name and _leads_out(file.parent, name):
            bad.append(
                (path, BadRow(number, {}, f"'{path}' is a link that leads out of the folder"))
            )
        elif key in first:
            again = f"the path '{path}' is in row {first[key]} already; keep one of them"
            bad.append((path, BadRow(number, {}, again)))
            # Which of two labels is right, nobody knows but the user.
            if key in works and works[key].labels != work.labels:
                bad.append((path, BadRow(first[key], {}, _OTHER_LABELS.format(number))))
                del works[key]
        else:
            works[key], first[key] = work, number
    skipped, of_bad = skipped_rows(file, bad, listed, max_bad_rows)
    if not works:
        raise DataError(f"{file} lists no works: there is no row below the header")
    if not any(work.picture for work in works.values()):
        raise DataError(no_pictures(list(works.values()), files))
    notes += [*found.lines(), *of_bad]
    if unknown:
        notes.append(
            f'columns of {file.name} that are no label, for "split_by" only: {", ".join(unknown)}'
        )
    return Catalogue(
        list(works.values()),
        class_names(works.values()),
        notes=notes,
        reading=[f"paths and labels from {file.name}"],
        skipped=skipped,
    )


def _with_paths(
    table: Table,
) -> tuple[list[tuple[str, int, dict[str, str]]], list[tuple[str, BadRow]]]:
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
        return path, f"the path '{path}' leads out of the folder; give a relative one"
    plain = "//" not in path and "/." not in path and not path.endswith("/")
    return path if plain else str(PurePosixPath(path)), ""


def _leads_out(folder: Path, name: str) -> bool:
    """Whether a picture is a link to a file elsewhere. A linked folder is the user's own."""
    if not os.path.islink(os.path.join(folder, name)):  # a Path would keep this string
        return False
    picture = folder / name
    file = picture.resolve()
    return not any(file.is_relative_to(inside.resolve()) for inside in (folder, picture.parent))
