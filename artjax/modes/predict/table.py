"""The table that `--mode predict` writes: rows are added as they are found, and never computed twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from filelock import FileLock, Timeout

from artjax.errors import ConfigError, WorkdirError
from artjax.files import json_text, replacing, write_atomically
from artjax.modes.predict.forms import Columns, Row, form_of
from artjax.modes.predict.request import Picture, Request

FEW = 10
"""Of so many pictures everything is shown on the screen; a table of no more is not kept."""

_KIND = "predictions of artjax"


class Origin(NamedTuple):
    """What the rows of a table depend on besides the pictures; kept as JSON beside it.

    Attributes:
      networks: a digest of each network, and of what is known of its probabilities.
      runs: the workdir of each, and which checkpoint it is.
      settings: what else decides the rows, by name.
    """

    networks: list[str]
    runs: list[str]
    settings: dict[str, Any]


class Table:
    """A table that grows.

    Attributes:
      file: where it is.
      kept: the names of the pictures that had a row already.
      added: number of rows that were added.
    """

    def __init__(self, file: Path, columns: Columns, stream: TextIO, kept: set[str]) -> None:
        self.file = file
        self.kept = kept
        self.added = 0
        self._columns = columns
        self._stream = stream

    def add(self, rows: Iterable[Row]) -> None:
        """Writes rows at once, so that only a power cut can lose them.

        Raises:
          WorkdirError: if they cannot be written.
        """
        rows = list(rows)
        with _writing(self.file, "; the rows before are kept, and the same command continues"):
            self._stream.write(form_of(self.file).lines(self._columns, rows))
            self._stream.flush()
        self.added += len(rows)


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Runs the block if no other process writes the table, and its folder can be written.

    Raises:
      WorkdirError: if either does not hold.
    """
    if file.is_dir():
        raise WorkdirError(f"{file} is a folder; name a file, such as --out {file / 'labels.csv'}")
    if file.exists() and not file.is_file():  # it would be replaced by one
        raise WorkdirError(f"{file} is not a regular file; name another --out")
    lock = FileLock(file.with_name(f".{file.name}.lock"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkdirError(
            f"another process is writing {file}; wait for it, stop it, or name another --out"
        ) from error
    except OSError as error:
        no_folder = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a folder in its path is a file" if no_folder else error.strerror
        raise WorkdirError(f"cannot write {file}: {why}; name another --out") from error
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


@contextmanager
def opened(
    file: Path,
    columns: Columns,
    origin: Origin,
    request: Request,
    set_aside: bool,
    note: Callable[[Row], None],
) -> Iterator[Table]:
    """Opens a table to be continued, or begins one.

    Rows that are there stay, if they are usable, and their pictures exist and have not changed since.

    Args:
      file: of the table. `alone` has to hold.
      columns: of the table.
      origin: of the rows.
      request: the pictures that are asked for.
      set_aside: whether a table of another origin gets another name; else it is an error.
      note: is called with each row that stays and that is asked for.

    Raises:
      ConfigError: if there is another file, or a table of another origin.
      WorkdirError: if the file cannot be read or written.
    """
    rows = _rows(file, columns) if _stays(file, origin, set_aside) else iter(())
    kept: set[str] = set()
    with _writing(file):
        changed = file.stat().st_mtime if file.exists() else 0.0
        with replacing(file) as partial, _text_file(partial, "w") as copy:
            form = form_of(file)
            copy.write(form.header(columns))
            for row in rows:
                picture = request.pictures.get(row["file"])
                if _is_valid(row, picture, request.folder, changed) and row["file"] not in kept:
                    kept.add(row["file"])
                    copy.write(form.lines(columns, [row | _of_catalogue(picture, columns)]))
                    if picture is not None:
                        note(row)
        write_atomically(_record_of(file), json_text({"kind": _KIND, **origin._asdict()}))
        stream = _text_file(file, "a")
    try:
        yield Table(file, columns, stream, kept)
    finally:
        with suppress(OSError):  # it was reported when the row was written
            stream.close()


def _stays(file: Path, origin: Origin, set_aside: bool) -> bool:
    """Whether the rows of a table stay; gives it another name if they do not."""
    if not file.exists() or not file.stat().st_size:
        return False
    there = _origin_of(file)
    if there is None:
        raise ConfigError(
            f"{file} is not a table that this mode has written ({_record_of(file).name} beside it would "
            "say so); remove it, or name another --out"
        )
    if (there.networks, there.settings) == (origin.networks, origin.settings):
        return True
    other = _difference(there, origin)
    newer = (there.runs, there.settings) == (origin.runs, origin.settings)
    if not newer and not set_aside:
        raise ConfigError(
            f"{file} has other predictions: {other}; name another --out, or remove it"
        )
    if _is_longer_than(file, FEW):
        free = _free_name(file)
        with _writing(free):
            _record_of(file).rename(_record_of(free))
            file.rename(free)
        print(f"the predictions that were there are now in {free}: {other}")
    else:
        with _writing(file):
            file.unlink()
    return False


def _origin_of(file: Path) -> Origin | None:
    try:
        values = json.loads(_record_of(file).read_text(encoding="utf-8"))
        if values.pop("kind") != _KIND:
            return None
        return Origin(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _difference(there: Origin, here: Origin) -> str:
    """What two origins differ in, in words: the first thing."""
    if there.runs != here.runs:
        return f"they are of {', '.join(there.runs)}"
    for name, value in here.settings.items():
        if there.settings.get(name) != value:
            return f"their {name} is {there.settings.get(name)}, and not {value}"
    return f"the checkpoint in {', '.join(here.runs)} has changed since"


def _record_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _free_name(file: Path) -> Path:
    number = 1
    while (free := file.with_name(f"{file.stem}-{number}{file.suffix}")).exists():
        number += 1
    return free


def _is_longer_than(file: Path, rows: int) -> bool:
    with file.open("rb") as lines:
        return sum(1 for _ in zip(range(rows + 2), lines, strict=False)) > rows + 1


def _rows(file: Path, columns: Columns) -> Iterator[Row]:
    with file.open(encoding="utf-8", newline="", errors="replace") as stream:
        lines = (line for line in stream if line.endswith("\n") and "\0" not in line)
        yield from form_of(file).rows(columns, lines)


def _is_valid(row: Row, picture: Picture | None, folder: Path | None, changed: float) -> bool:
    """Whether a row is usable, and its picture is as it was when the table was last written."""
    if row["error"]:
        return False
    file = picture.file if picture else (folder or Path()) / row["file"]
    try:
        status = file.stat()
    except OSError:
        return False
    return max(status.st_mtime, status.st_ctime) <= changed


def _of_catalogue(picture: Picture | None, columns: Columns) -> Row:
    """The cells that a catalogue may say otherwise by now."""
    if picture is None or "work_id" not in columns.names:
        return {}
    return {"work_id": picture.work_id, "title": picture.title}


def _text_file(file: Path, mode: str) -> TextIO:
    return cast(TextIO, file.open(mode, encoding="utf-8", newline="", errors="backslashreplace"))


@contextmanager
def _writing(file: Path, more: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkdirError(f"cannot write {file}: {error.strerror or error}{more}") from error
