"""How the rows of a table stand in a file: as CSV, or as JSON lines, of which each is a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, str]
"""The cells of a picture, by column."""


class Columns(NamedTuple):
    """The columns of a table.

    Attributes:
      names: in order; the first is `file`.
      numbers: those that hold numbers.
      yes_no: those that hold `yes`, `no`, or nothing.
    """

    names: Sequence[str]
    numbers: frozenset[str]
    yes_no: frozenset[str]


class Form(NamedTuple):
    """A kind of file.

    Attributes:
      header: what it begins with.
      lines: the text of rows; cells that a row leaves out are empty.
      rows: the whole rows of the lines of a file; a process that was killed may have left a part of one.
    """

    header: Callable[[Columns], str]
    lines: Callable[[Columns, Iterable[Row]], str]
    rows: Callable[[Columns, Iterable[str]], Iterator[Row]]


def _csv_header(columns: Columns) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(columns.names)
    return text.getvalue()


def _csv_lines(columns: Columns, rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns.names, restval="", lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()


def _csv_rows(columns: Columns, lines: Iterable[str]) -> Iterator[Row]:
    reader = csv.reader(lines)
    if next(reader, None) != list(columns.names):
        return
    for cells in reader:
        if len(cells) == len(columns.names):
            yield dict(zip(columns.names, cells, strict=True))


_OF_YES_NO = {"yes": True, "no": False}


def _json_lines(columns: Columns, rows: Iterable[Row]) -> str:
    def value(name: str, cell: str) -> Any:
        if not cell:
            return None
        if name in columns.yes_no:
            return _OF_YES_NO[cell]
        return float(cell) if name in columns.numbers else cell

    return "".join(
        json.dumps(
            {name: value(name, row.get(name, "")) for name in columns.names}, ensure_ascii=False
        )
        + "\n"
        for row in rows
    )


def _json_rows(columns: Columns, lines: Iterable[str]) -> Iterator[Row]:
    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "" if value is None else str(value)

    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and list(values) == list(columns.names):
            yield {name: cell(value) for name, value in values.items()}


FORMS: Mapping[str, Form] = {
    ".csv": Form(_csv_header, _csv_lines, _csv_rows),
    ".jsonl": Form(lambda columns: "", _json_lines, _json_rows),
}
"""By the suffix of the file."""


def form_of(file: Path) -> Form:
    """JSON lines for `.jsonl`, else CSV."""
    return FORMS.get(file.suffix.lower(), FORMS[".csv"])
