"""The folder of a run: its configuration, and which runs it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax.errors import ConfigError, WorkdirError
from artjax.places import program

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


def read_config(workdir: Path) -> ConfigDict | None:
    """The configuration to which a workdir belongs; None if it has no `config.json`.

    Raises:
      WorkdirError: if the file is not valid JSON, or lacks a field, or has an unknown one.
    """
    path = config_file(workdir)
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


def is_cross_validation(config: ConfigDict) -> bool:
    """Whether a configuration is that of all folds, each of which is a run of its own."""
    return bool(config.folds) and config.fold < 0 and not config.seeds


def is_several_seeds(config: ConfigDict) -> bool:
    """Whether a configuration is that of several seeds, each a run or a cross-validation of its own."""
    return bool(config.seeds)


def parts_of(config: ConfigDict) -> list[str]:
    """The folders of the seeds or folds that a configuration stands for; [] for a single run."""
    if is_several_seeds(config):
        return [f"seed{seed}" for seed in config.seeds]
    if is_cross_validation(config):
        return [f"fold{fold}" for fold in range(config.folds)]
    return []


def whole_of(workdir: Path) -> Path:
    """The workdir of the cross-validation or of the seeds that a run is a part of, else its own."""
    try:
        config = read_config(workdir.absolute().parent)
    except WorkdirError:  # of something else
        return workdir
    if config is None or workdir.absolute().name not in parts_of(config):
        return workdir
    return whole_of(workdir.absolute().parent)


def stands_alone(workdir: Path) -> bool:
    """Whether a run is no part of a cross-validation, of several seeds, or of a search."""
    try:
        return read_config(workdir.absolute().parent) is None
    except WorkdirError:  # of something else
        return True


def folds_in(workdir: Path) -> list[Path]:
    """The folders of the folds of a cross-validation or of a search with folds; `[]` of all else."""
    config = read_config(workdir) or read_config(workdir / "search")
    if config is None or not is_cross_validation(config):
        return []
    return [workdir / f"fold{fold}" for fold in range(config.folds)]


def runs_in(workdir: Path) -> list[Path]:
    """The workdirs of the runs that a workdir stands for.

    They are the folds of a cross-validation; the runs of several seeds; what a finished search has
    written of its best trials, of each fold if it had folds; else the workdir itself.
    """
    config = read_config(workdir)
    parts = [workdir / part for part in parts_of(config)] if config else folds_in(workdir)
    if parts:
        return [run for part in parts for run in runs_in(part)]
    if config is None and (found := _best_of_search(workdir)):
        return [workdir / "search" / name for name in found]
    return [workdir]


def why_no_checkpoint(workdir: Path) -> str:
    """Two lines for a workdir without a checkpoint: what it is, and what to do."""
    nothing = f"no checkpoint in {workdir}"
    config = read_config(workdir)
    if config is not None and is_several_seeds(config):
        first = runs_in(workdir)[0]
        return (
            f"{nothing}: it holds the seeds {', '.join(map(str, config.seeds))}, each a run of its own\n"
            f"use one of them, such as --workdir {first}"
        )
    if config is not None and is_cross_validation(config):
        return (
            f"{nothing}: it is a cross-validation, whose {config.folds} folds are runs of their own\n"
            f"use one of them, such as --workdir {workdir / 'fold0'}"
        )
    if config is not None:
        return (
            f"{nothing}: its training has not saved one yet\n"
            f"go on with: {program()} --workdir {workdir}"
        )
    if found := _best_of_search(workdir):
        return (
            f"{nothing}: it is a search, which has written its best networks\n"
            f"use --workdir {workdir / 'search' / found[0]}"
        )
    if folds := folds_in(workdir):
        return (
            f"{nothing}: it is a search in {len(folds)} folds, each with networks of its own\n"
            f"use one of them, such as --workdir {runs_in(folds[0])[0]}"
        )
    if (workdir / "search").is_dir():
        return (
            f"{nothing}: it is a search that is not finished; the command that began it resumes it"
        )
    found = sorted(path.name for path in workdir.iterdir()) if workdir.is_dir() else []
    contents = (
        f"it holds {', '.join(found)}"
        if found
        else "it is empty"
        if workdir.is_dir()
        else "no such folder"
    )
    return (
        f"{nothing} ({contents}); train first: "
        f"{program()} --config configs/artist.py --workdir {workdir}"
    )


def _best_of_search(workdir: Path) -> list[str]:
    """The folders in `search/` of the networks that a finished search has chosen; [] without one."""
    file = workdir / "search" / "best.json"
    if not file.is_file():
        return []
    try:
        found: list[str] = json.loads(file.read_text())["chosen"]["workdirs"]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkdirError(f"{file} is damaged ({error}); start the search again") from error
    return found


def config_file(workdir: Path) -> Path:
    """Where a workdir has its configuration."""
    return workdir / "config.json"
