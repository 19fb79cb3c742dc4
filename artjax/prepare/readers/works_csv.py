"""A museum's own catalogue: `works.csv`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from artjax.config import LABELS
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.readers.file_index import PictureFiles, no_pictures
from artjax.prepare.readers.filename_repair import canonical_name
from artjax.prepare.readers.tables import read_table, tidy, year_of

COLUMNS = ("path", *LABELS, "title", "year", "work_id")


def read_works_csv(file: Path, wanted: Collection[str] = ()) -> Catalogue:
    """Reads a `works.csv`: UTF-8, separated by comma, semicolon or tab.

    Its columns are `path` (relative to the file's folder) and any of artist, genre, location, style,
    period, title, year and work_id, in any order; others are in `Work.columns`.

    Args:
      file: the list.
      wanted: other columns that are to be labels; `labels.settled` makes them.

    Raises:
      DataError: one line, with the row, if something is invalid.
    """
    table = read_table(file)
    if "path" not in table.header:
        raise DataError(
            f"{file} has no column 'path' {table.found}; add it, with the pictures' paths"
        )
    labels = [label for label in LABELS if label in table.header]
    if not labels and not set(wanted) & set(table.header):
        raise DataError(
            f"{file} has no column with a label {table.found}; add one of {', '.join(LABELS)}, or "
            'name a column that is one: "labels": ["…"]'
        )
    table.check_once((*COLUMNS, *wanted))
    files = PictureFiles(file.parent)
    unknown = [name for name in table.header if name and name not in COLUMNS]
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
                year=year_of(date := values.get("year") or values.get("date", "")),
                date=date,
                work_id=values.get("work_id") or path,
                columns={name: tidy(values[name]) for name in unknown if values.get(name)},
            )
        )
    if not works:
        raise DataError(f"{file} lists no works: there is no row below the header")
    if not any(work.picture for work in works):
        raise DataError(no_pictures(works, files))
    return Catalogue(works, class_names(works), notes=table.encoding_notes())


def _relative(path: str, where: str) -> str:
    path = path.replace("\\", "/").removeprefix("./")
    if not path:
        raise DataError(f"{where}: the path is empty")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"^[A-Za-z]:", path):
        raise DataError(f"{where}: the path '{path}' leads out of the folder; give a relative one")
    return str(pure)
