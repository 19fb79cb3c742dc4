"""The folder of a run: atomic writes, and the configuration to which it belongs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax.errors import ConfigError, WorkdirError

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

_MAX_SHOWN_DIFFERENCES = 6


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file atomically: a reader never finds half of it, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def claim(workdir: Path, config: ConfigDict, recorded: ConfigDict | None = None) -> None:
    """Assigns a workdir to a configuration by writing `config.json`, unless it has one already.

    Args:
      workdir: the folder; made if it does not exist.
      config: the configuration.
      recorded: the configuration in the workdir's checkpoints, which counts if `config.json` is gone.

    Raises:
      WorkdirError: if the workdir belongs to another configuration (the message shows the differences),
        or cannot be written.
    """
    written = read_config(workdir)
    previous = written or recorded
    different = config_lib.differences(previous, config) if previous else []
    if different:
        shown = "; ".join(different[:_MAX_SHOWN_DIFFERENCES])
        more = len(different) - _MAX_SHOWN_DIFFERENCES
        shown += f"; and {more} more" if more > 0 else ""
        raise WorkdirError(
            f"{workdir} belongs to a run with another config: {shown}\n"
            "use another --workdir for this run, or use that run's settings to resume it"
        )
    if written is None:
        try:
            write_atomically(workdir / "config.json", config_lib.to_json(config))
        except OSError as error:
            raise WorkdirError(
                f"cannot write to the workdir {workdir}: {error.strerror}"
            ) from error


def read_config(workdir: Path) -> ConfigDict | None:
    """The configuration to which a workdir belongs; None if it has no `config.json`.

    Raises:
      WorkdirError: if the file is not valid JSON, or lacks a field, or has an unknown one.
    """
    path = workdir / "config.json"
    if not path.is_file():
        return None
    try:
        return config_lib.from_json(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"{path} is not valid JSON: {error}") from error
    except ConfigError as error:
        raise WorkdirError(
            f"{path}: {error}\nrestore the file, or start again in another --workdir"
        ) from error
