"""Writes files so that a reader never finds half of one, even after a power cut."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artjax.errors import WorkdirError


@contextmanager
def replacing(path: Path, *, mark: str = "", sync: bool = True) -> Iterator[Path]:
    """Yields the path of a new file, which takes the place of `path` if the block ends without an error.

    Otherwise the new file is removed, and `path` stays as it was.

    Args:
      path: its folder is made if it does not exist.
      mark: a part of the new file's name, where several processes may write the same file.
      sync: whether to wait until the new file is on the disk before it takes its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{mark}.partial")
    try:
        yield partial
        if sync:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8. Raises `OSError` if it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_results(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Writes the files of a result into a folder, each atomically.

    Args:
      folder: made if it does not exist.
      contents: of each file, by its name.

    Raises:
      WorkdirError: if they cannot be written.
    """
    for name, content in contents.items():
        try:
            write_atomically(folder / name, content)
        except OSError as error:
            raise WorkdirError(
                f"cannot write {folder / name}: {error.strerror or error}"
            ) from error


def kept_in(file: Path, key: str, compute: Callable[[], Any]) -> Any:
    """A JSON value that is computed once, and kept in a file that has others under their keys.

    The file is only a cache: where it cannot be read or written, the value is computed again.

    Args:
      file: made if it does not exist.
      key: has a digest of everything that decides the value.
      compute: the value; what it raises is not kept.
    """
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        kept = {}
    if key not in kept:
        kept[key] = compute()
        with suppress(OSError):
            write_atomically(file, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return kept[key]


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """A value as JSON text of several lines. It has no nan and no infinity: see `finite`."""
    return json.dumps(finite(value), indent=2, sort_keys=sort_keys, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """A value of nested dicts and lists with None in place of nan and infinity, which JSON lacks."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
