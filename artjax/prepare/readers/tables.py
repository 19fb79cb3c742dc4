"""Lists in text files, read strictly: CSV in every dialect, and JSON lines."""

from __future__ import annotations

import ast
import csv
import io
import itertools
import json
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_LE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from artjax.errors import DataError
from artjax.prepare.cells import Cells
from artjax.prepare.readers.json_arrays import records_of

# So many NUL bytes are another encoding, such as UTF-16; a few are dirt in a row.
_NULS = 0.01

_KEPT_CELLS = 1 << 16

# What Excel and LibreOffice write, called .csv by hand.
_NO_TEXT = {
    b"PK\x03\x04": "it is an .xlsx or .ods file, or a .zip",
    b"\xd0\xcf\x11\xe0": "it is an .xls file of Excel",
}
# Excel's own first line, which no reader but Excel's knows.
_SEPARATOR_LINE = re.compile("\ufeff?sep=([,;\t])[,;]*", re.IGNORECASE)

# Quotation marks and dashes of cp1252, the superset of ISO-8859-1 that Windows writes.
_TYPOGRAPHIC = "\x91\x92\x93\x94\x96\x97"


class BadRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
      number: as in `Table.rows`.
      cells: by column, as far as they are clear.
      reason: the same words for all rows of a kind.
      other: the row that it contradicts, if any.
    """

    number: int
    cells: Mapping[str, str]
    reason: str
    other: str = ""


@dataclass(frozen=True)
class Table:
    """A list as its file has it.

    Attributes:
      file: where it was read.
      header: names of the columns, in lower case, with `_` for spaces.
      encoding: its name where it is not UTF-8.
      rows: the number of each row as an editor or spreadsheet shows it, and those of its cells that are
        not empty, by column.
      bad: rows that cannot be read, which are not among `rows`.
    """

    file: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, Cells], ...]
    encoding: str = ""
    bad: tuple[BadRow, ...] = ()

    @property
    def found(self) -> str:
        """The names of the columns, for an error about a missing one."""
        return f"(found: {', '.join(name for name in self.header if name) or 'none'})"

    def encoding_notes(self) -> list[str]:
        """A line for the user where the file is not in UTF-8."""
        read_as = f"{self.file.name} is not UTF-8, and was read as {self.encoding}"
        return [read_as] if self.encoding else []

    def check_once(self, columns: Iterable[str]) -> None:
        """Raises `DataError` if one of these columns occurs twice."""
        for name in columns:
            if self.header.count(name) > 1:
                raise DataError(
                    f"{self.file} has the column '{name}' more than once; keep one of them"
                )


def read_table(file: Path) -> Table:
    """Reads a `.json` or `.jsonl`, or text separated by comma, semicolon or tab, without its blank rows.

    Text that is not UTF-8 is read as UTF-16, where it has that mark, or as CP850, cp1252 or ISO-8859-1,
    whichever makes letters of it. A row with more cells than the header, or with a NUL byte, is one of
    `Table.bad`.

    Raises:
      DataError: one line, with the row, if it is unclear where a row ends.
    """
    if file.suffix.lower() == ".jsonl":
        return _json_lines(file, utf8_text(file))
    if file.suffix.lower() == ".json":
        return _json_array(file, utf8_text(file))
    data = read_bytes(file)
    codec, encoding = _encoding_of(file, data)
    return replace(_csv(file, data, codec), encoding=encoding)


def utf8_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
      DataError: with the line, if it is in another encoding; or if it cannot be read.
    """
    data = read_bytes(file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from error


def decoded_text(file: Path) -> tuple[str, str]:
    """The text of a file, and the name of its encoding where that is not UTF-8."""
    data = read_bytes(file)
    codec, encoding = _encoding_of(file, data)
    return data.decode(codec), encoding


def _encoding_of(file: Path, data: bytes) -> tuple[str, str]:
    """Python's name for the encoding of a text, and the name for users where that is not UTF-8."""
    for beginning, program in _NO_TEXT.items():
        if data.startswith(beginning):
            raise DataError(
                f"{file} is no text: {program}, with another suffix; open it there, and save it as "
                "'CSV UTF-8'"
            )
    utf16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and not data.startswith(BOM_UTF32_LE)
    if utf16 and _decodes(data, "utf-16"):
        return "utf-16", "UTF-16"
    if data.count(b"\0") > _NULS * len(data) or b"\0" in data.partition(b"\n")[0]:
        raise DataError(f"{file}: unreadable encoding (UTF-16, or no text); save it as UTF-8")
    if _decodes(data, "utf-8-sig"):
        return "utf-8-sig", ""
    # What is a letter in CP850 is mostly a control character in ISO-8859-1. The other way round it is a
    # symbol, or a capital amid small letters: "Musée" in ISO-8859-1 is "MusÚe" in CP850.
    if _likely(data.decode("cp850")) > _likely(data.decode("latin-1")):
        return "cp850", "CP850"
    return "cp1252" if _decodes(data, "cp1252") else "latin-1", "ISO-8859-1"


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _likely(text: str) -> int:
    """The number of non-ASCII characters that are letters or quotation marks and fit where they are."""
    return sum(
        (char.isalpha() and not (char.isupper() and before.islower()))
        or (char in _TYPOGRAPHIC and not (before.isalpha() and after.isalpha()))
        for before, char, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
        if char > "\x7f"
    )


def read_bytes(file: Path) -> bytes:
    """The content of a list.

    Raises:
      DataError: if it cannot be read, or is a FIFO or a device, whose end may never come.
    """
    try:
        if not file.is_file() and file.exists():
            raise DataError(f"{file} is not a regular file; put the list itself there")
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=_KEPT_CELLS)  # also for memory: one object for all works of a painter
def tidy(text: str) -> str:
    """One spelling for names that look the same: composed accents, single spaces, no line breaks."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def first_of_list(cell: str) -> str:
    """The first name of a cell that is a list, such as Kaggle's "['Baroque']"; else the cell itself."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            names = ast.literal_eval(cell)
        except (ValueError, SyntaxError):
            return cell
        if all(isinstance(name, str) for name in names):
            return next(iter(names), "")
    return cell


def delimiter_of(text: str) -> str:
    """Comma, semicolon or tab: what occurs most in the first line."""
    return max(",;\t", key=text.partition("\n")[0].count)


def _csv(file: Path, data: bytes, codec: str) -> Table:
    # A stream, since a text has up to four bytes for each character of the whole list.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding=codec, newline=None)
    first = lines.readline()
    skipped = _SEPARATOR_LINE.fullmatch(first.strip())
    delimiter = skipped[1] if skipped else delimiter_of(first)
    begun = itertools.chain([] if skipped else [first], lines)
    # Strict, because a quotation mark that is never closed would swallow all works below it.
    records = _records(file, csv.reader(begun, delimiter=delimiter, strict=True), bool(skipped))
    header = tuple(column_name(name) for name in next(records, ()))
    if not header:
        raise DataError(f"{file} is empty; its first line names the columns")
    places = {name: place for place, name in enumerate(header)}
    rows, bad = [], []
    # One object for cells that occur again and again, such as those of a label.
    one: dict[str, str] = {}
    for number, record in enumerate(records, start=2 + bool(skipped)):
        record = [cell.strip() for cell in record]
        if not any(record):
            continue
        if len(one) < _KEPT_CELLS:
            one.update(zip(record, record, strict=True))
        cells = Cells(places, [one.get(cell, cell) for cell in record])
        if any(record[len(header) :]):
            reason = (
                f"{len(record)} cells below a header of {len(header)}; a cell that contains the "
                "separator must be in quotation marks"
            )
            bad.append(BadRow(number, cells, reason))
        elif any("\0" in cell for cell in record):
            cells = Cells(places, [cell.replace("\0", "") for cell in record])
            bad.append(BadRow(number, cells, "a NUL byte"))
        else:
            rows.append((number, cells))
    return Table(file, header, tuple(rows), bad=tuple(bad))


def _records(file: Path, reader: Any, skipped: int) -> Iterator[list[str]]:
    line = 1 + skipped
    try:
        for record in reader:
            yield record
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise DataError(
            f"{file}, line {line}: its quotation marks do not match ({error}); a cell that opens with "
            "one ends with one, and inside it each is written twice"
        ) from error


def _json_lines(file: Path, text: str) -> Table:
    rows = []
    # Not splitlines(), which also splits at U+2028 and others that JSON allows inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}, line {number}: not JSON ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f'{file}, line {number}: not an object like {{"file_name": "a.jpg"}}')
        rows.append((number, record))
    if not rows:
        raise DataError(f"{file} is empty; each of its lines is a JSON object")
    return _of_records(file, rows)


def _json_array(file: Path, text: str) -> Table:
    return _of_records(file, enumerate(records_of(file, text), start=1))


def _of_records(file: Path, records: Iterable[tuple[int, Mapping[str, Any]]]) -> Table:
    places: dict[str, int] = {}  # grows with the rows: each may have other names
    rows = []
    for number, record in records:
        cells = {column_name(name): _cell(value) for name, value in record.items()}
        for name in cells:
            places.setdefault(name, len(places))
        rows.append((number, Cells(places, [cells.get(name, "") for name in places])))
    return Table(file, tuple(places), tuple(rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def column_name(name: str) -> str:
    """The name of a column in lower case, with `_` for spaces."""
    return "_".join(name.lower().split())
