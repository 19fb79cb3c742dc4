"""The rows of the Web Gallery of Art's catalogue, in every encoding and dialect in use."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path
from urllib.parse import unquote

from artjax.errors import DataError
from artjax.prepare.readers.tables import decoded_text, delimiter_of, tidy

COLUMNS = (
    *("author", "born-died", "title", "date", "technique", "location"),
    *("url", "form", "type", "school", "timeframe"),
)
# Without a date there is no year, and works of one title and museum count as one.
_OPTIONAL = ("born-died", "date", "technique")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
_DATE = re.compile(r"-$|.*\d{3}|.*\bcentur", re.IGNORECASE)
_URL = re.compile(
    r"https?://[^/]+/(?:frames-e\.html\?/)?(?:html(?:_m)?|art|detail)/(?P<path>[^?#]+)\.(?:html?|jpe?g)",
    re.IGNORECASE,
)


def read_rows(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Reads a catalogue in UTF-8, ISO-8859-1 or CP850; its columns may stand in any order.

    HTML entities are decoded and quotation marks removed. A row with too many separators is repaired
    if its URL shows which cells belong together. Rows that cannot be parsed are left out.

    Returns:
      The rows: tidy texts by `COLUMNS`, and `picture`, the picture's path on the site
      (`art/a/aachen/allegory.jpg`); and notes for the user, a line each.

    Raises:
      DataError: for an encoding that cannot be read, a column that is missing, or if most rows cannot
        be parsed.
    """
    text, encoding = decoded_text(file)
    notes = [f"{file.name} is not UTF-8, and was read as {encoding}"] if encoding else []
    lines = [(n, line) for n, line in enumerate(io.StringIO(text, None), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{file} is empty; its first line is {';'.join(COLUMNS).upper()}")
    delimiter = delimiter_of(lines[0][1])
    header = tuple(tidy(cell).lower() for cell in _cells(lines[0][1], delimiter, len(COLUMNS)))
    if any(cell.startswith("http") for cell in header):
        header = COLUMNS  # the first line is a work already
    else:
        del lines[0]
    missing = [name for name in COLUMNS if name not in header and name not in _OPTIONAL]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(repr(name.upper()) for name in missing)} "
            f"(found: {', '.join(header).upper()}); its first line must be {';'.join(COLUMNS).upper()}"
        )
    if not lines:
        raise DataError(f"{file} lists no works: there is no row below the header")
    rows = []
    strange = []
    for number, line in lines:
        row = _row(_cells(line, delimiter, len(header)), header, delimiter)
        if row:
            rows.append(row)
        else:
            strange.append((number, line))
    if strange:
        said = f"{len(strange):,} rows of {file.name} that cannot be parsed, the first in line "
        if len(strange) > len(rows):
            number, line = strange[0]
            raise DataError(
                f"{file}: {said}{number}: {line.strip()[:60]!r}; only {len(rows):,} can, so this "
                "does not look like the gallery's catalogue"
            )
        notes.append(f"left out: {said}{strange[0][0]}")
    return rows, notes


def picture_path(url: str) -> str | None:
    """`http://www.wga.hu/html/a/aachen/allegory.html` is the page of `art/a/aachen/allegory.jpg`.

    None for the URL of anything else.
    """
    match = _URL.fullmatch(url)
    path = unquote(match["path"]) if match else ".."
    return None if ".." in path.split("/") else f"art/{path}.jpg"


def _cells(line: str, delimiter: str, width: int) -> list[str]:
    """Splits a line; what is no proper CSV, as with a lone quotation mark, is split as it stands."""
    # First, because an entity ends in the separator.
    line = _ENTITY.sub(lambda match: html.unescape(match[0]), line.rstrip("\n"))
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        cells = []
    if len(cells) < width:  # a quotation mark may have swallowed separators
        cells = line.split(delimiter)
    return [_without_quotes(cell) for cell in cells]


def _without_quotes(cell: str) -> str:
    """Takes away a pair around the whole cell, or a single one at an end of it."""
    inner = cell.strip().removeprefix('"').removesuffix('"')
    return cell if '"' in inner or '"' not in cell else inner


def _row(cells: list[str], header: tuple[str, ...], delimiter: str) -> dict[str, str] | None:
    """A row by column, or None if it cannot be parsed."""
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    places = [i for i, cell in enumerate(cells) if cell.strip().lower().startswith("http")]
    if not places:
        return None
    strays = places[0] - header.index("url")
    if strays > 0 and header == COLUMNS:
        cells = _joined(cells, strays, delimiter)
    elif strays:
        return None
    # The columns at the end may be missing, but not the one that says whether it is a painting.
    if not header.index("form") < len(cells) <= len(header):
        return None
    row = dict.fromkeys((*COLUMNS, *header), "") | {
        name: tidy(cell) for name, cell in zip(header, cells, strict=False)
    }
    picture = picture_path(row["url"])
    return row | {"picture": picture} if picture else None


def _joined(cells: list[str], strays: int, delimiter: str) -> list[str]:
    """The cells of a row whose texts before the URL hold `strays` separators, put together again."""
    while strays and cells[1].startswith("(") and ")" not in cells[1]:
        cells = [cells[0], cells[1] + delimiter + cells[2], *cells[3:]]
        strays -= 1
    # The date tells the title, before it, from the technique; a title may end in a separator.
    after_title = [cell.strip() for cell in cells[3 : 4 + strays]]
    dates = [n for n, cell in enumerate(after_title) if _DATE.match(cell)]
    dates += [n for n, cell in enumerate(after_title) if not cell]
    title = dates[0] if dates else strays
    return [
        *cells[:2],
        delimiter.join(cells[2 : 3 + title]),
        cells[3 + title],
        delimiter.join(cells[4 + title : 5 + strays]),
        *cells[5 + strays :],
    ]
