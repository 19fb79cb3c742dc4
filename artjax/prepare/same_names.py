"""A file that says which class names are the same: the setting `same`."""

from __future__ import annotations

from pathlib import Path

from artjax.errors import DataError
from artjax.prepare.readers.tables import read_table, tidy


def read_same(file: Path) -> dict[tuple[str, str], str]:
    """For each (label, name), the name to use instead; empty for no label.

    The table has the columns `name` and `use`, and may have `label`, which is "" where it is empty: for
    all labels. Others are ignored, so that a corrected `likely_doubles.csv` is such a table. What is
    itself replaced is followed to its end.

    Raises:
      DataError: one line, with the row, if it cannot be read or contradicts itself.
    """
    if not file.is_file():
        raise DataError(f'"same": there is no file {file}')
    table = read_table(file)
    if not {"name", "use"} <= set(table.header):
        raise DataError(f"{file} needs the columns name and use {table.found}")
    same: dict[tuple[str, str], str] = {}
    for number, row in table.rows:
        key = (row.get("label", ""), tidy(row.get("name", "")))
        use = tidy(row.get("use", ""))
        if not key[1]:
            raise DataError(f"{file}, row {number}: the cell below 'name' is empty")
        if same.setdefault(key, use) != use:
            raise DataError(
                f"{file}, row {number}: '{key[1]}' is '{same[key]}' in a row above; keep one of them"
            )
    return {key: _end(same, key, file) for key in same}


def _end(same: dict[tuple[str, str], str], key: tuple[str, str], file: Path) -> str:
    label, name = key
    passed = [name]
    while (use := same.get((label, name), name)) != name:
        if use in passed:
            raise DataError(
                f"{file}: {' → '.join([*passed, use])} is a circle; leave one of them out"
            )
        passed.append(use)
        name = use
    return name
