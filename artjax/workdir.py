"""A run's folder: whose it is, and writing its files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax.errors import WorkdirError

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict

_SHOWN_DIFFERENCES = 6


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a reader, or a power cut, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the workdir this configuration's own, or finds that it is already.

    Raises:
      WorkdirError: if it belongs to another configuration (the differences are shown), or cannot be
        written.
    """
    previous = read_config(workdir)
    if previous is None:
        try:
            write_atomically(workdir / "config.json", config_lib.to_json(config))
        except OSError as error:
            raise WorkdirError(
                f"cannot write to the workdir {workdir}: {error.strerror}"
            ) from error
        return
    different = config_lib.differences(previous, config)
    if different:
        shown = "; ".join(different[:_SHOWN_DIFFERENCES])
        more = len(different) - _SHOWN_DIFFERENCES
        shown += f"; and {more} more" if more > 0 else ""
        raise WorkdirError(
            f"{workdir} belongs to a run with another config: {shown}\n"
            "give this run its own --workdir, or repeat that run's settings to go on with it"
        )


def read_config(workdir: Path) -> ConfigDict | None:
    """The configuration that a workdir belongs to, or None where it has none."""
    path = workdir / "config.json"
    if not path.is_file():
        return None
    try:
        return config_lib.from_json(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"{path} is not readable as JSON: {error}") from error
