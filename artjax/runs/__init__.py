"""A run on the disk: its record, its folder, and the network that it has trained."""

from artjax.runs.claiming import claim, config_of
from artjax.runs.record import Record
from artjax.runs.run import OpenRun, Run, latest_record, open_checkpoint, open_run, with_data
from artjax.runs.workdir import (
    folds_in,
    is_cross_validation,
    is_several_seeds,
    parts_of,
    read_config,
    runs_in,
    stands_alone,
    whole_of,
)

__all__ = [
    "OpenRun",
    "Record",
    "Run",
    "claim",
    "config_of",
    "folds_in",
    "is_cross_validation",
    "is_several_seeds",
    "latest_record",
    "open_checkpoint",
    "open_run",
    "parts_of",
    "read_config",
    "runs_in",
    "stands_alone",
    "whole_of",
    "with_data",
]
