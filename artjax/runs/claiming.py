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


def claim(workdir: Path, config: ConfigDict, *, longer: bool = False) -> None:
    """Assigns a workdir to a configuration by writing `config.json`, unless it has one already.

    Args:
      workdir: the folder; made if it does not exist.
      config: the configuration.
      longer: whether the workdir may be that of the same run with fewer epochs or steps, which is
        trained longer then: its `config.json` is written anew.

    Raises:
      WorkdirError: if the workdir belongs to another configuration (the message shows the differences),
        or cannot be written.
    """
    previous = config_of(workdir)
    different = config_lib.differences(previous, config) if previous else []
    lengthened = previous is not None and longer and is_longer(previous, config)
    if different and not lengthened:
        shown = "; ".join(different[:_MAX_SHOWN_DIFFERENCES])
        more = len(different) - _MAX_SHOWN_DIFFERENCES
        shown += f"; and {more} more" if more > 0 else ""
        raise WorkdirError(
            f"{workdir} belongs to a run with another config: {shown}\n{_what_to_do(different, longer)}"
        )
    if lengthened or not config_file(workdir).is_file():
        try:
            write_atomically(config_file(workdir), config_lib.to_json(config))
        except OSError as error:
            raise WorkdirError(
                f"cannot write to the workdir {workdir}: {error.strerror}"
            ) from error


def is_longer(previous: ConfigDict, config: ConfigDict) -> bool:
    """Whether a configuration is an earlier one with more epochs, or more steps, and nothing else."""
    different = config_lib.differences(previous, config)
    length = "steps" if config.steps else "epochs"
    return len(different) == 1 and config[length] > previous[length] > 0


def _what_to_do(different: list[str], longer: bool) -> str:
    length = ("epochs:", "steps:")
    if longer and all(text.startswith(length) for text in different):
        return (
            "a run can be trained longer, but not shorter; for a shorter one use another --workdir"
        )
    if longer and any(text.startswith(length) for text in different):
        return (
            "to train that run longer, change nothing but its epochs; for these settings use another "
            "--workdir, where --config.model.weights may name this one to begin with its network"
        )
    return "use another --workdir for this run, or use that run's settings to resume it"
