"""Assigns a workdir to the configuration of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax.errors import WorkdirError
from artjax.files import write_atomically
from artjax.runs.run import latest_record
from artjax.runs.workdir import config_file, read_config

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

_MAX_SHOWN_DIFFERENCES = 6


def config_of(workdir: Path) -> ConfigDict | None:
    """The configuration of a workdir, from `config.json`, or from its checkpoints if that is gone."""
    config = read_config(workdir)
    if config is None and (record := latest_record(workdir)) is not None:
        return record.config
    return config


def claim(workdir: Path, config: ConfigDict) -> None:
    """Assigns a workdir to a configuration by writing `config.json`, unless it has one already.

    Args:
      workdir: the folder; made if it does not exist.
      config: the configuration.

    Raises:
      WorkdirError: if the workdir belongs to another configuration (the message shows the differences),
        or cannot be written.
    """
    previous = config_of(workdir)
    different = config_lib.differences(previous, config) if previous else []
    if different:
        shown = "; ".join(different[:_MAX_SHOWN_DIFFERENCES])
        more = len(different) - _MAX_SHOWN_DIFFERENCES
        shown += f"; and {more} more" if more > 0 else ""
        raise WorkdirError(
            f"{workdir} belongs to a run with another config: {shown}\n"
            "use another --workdir for this run, or use that run's settings to resume it"
        )
    if not config_file(workdir).is_file():
        try:
            write_atomically(config_file(workdir), config_lib.to_json(config))
        except OSError as error:
            raise WorkdirError(
                f"cannot write to the workdir {workdir}: {error.strerror}"
            ) from error
