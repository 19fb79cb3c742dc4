"""`--mode compare`: two or more runs on the same test works, and a page of where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax.errors import ConfigError, WorkdirError
from artjax.evaluation.metrics import Predictions
from artjax.modes.command import Command
from artjax.modes.compare import comparing, page
from artjax.modes.folds import pool_folds
from artjax.modes.parts import Tested, on_test
from artjax.runs import (
    config_of,
    folds_in,
    is_several_seeds,
    latest_record,
    open_run,
    parts_of,
    runs_in,
)
from artjax.runs.workdir import why_no_checkpoint

if TYPE_CHECKING:
    from ml_collections import ConfigDict


class Compared(NamedTuple):
    """A run, or the folds of one together.

    Attributes:
      workdir: its folder.
      config: its configuration.
      predictions: by task.
      file_names: of the same works, by task.
    """

    workdir: Path
    config: ConfigDict
    predictions: Mapping[str, Predictions]
    file_names: Mapping[str, np.ndarray]


def run(command: Command) -> int:
    """Evaluates the runs on test, compares them, and writes the page."""
    workdirs = [part for workdir in command.runs() for part in _parts(workdir)]
    if len(workdirs) < 2:
        raise ConfigError("--mode compare needs two or more runs: --workdir A --workdir B")
    if len({workdir.resolve() for workdir in workdirs}) < len(workdirs):
        raise ConfigError("--mode compare: the same --workdir is given twice")
    folder = command.flags.get("out", command.runs()[0] / "compare").expanduser()
    page.check_folder(folder)
    _check_same_classes(workdirs)
    given = {
        "data_dir": command.flags.get("data_dir"),
        "canvas_dir": command.flags.get("canvas_dir"),
        "which": command.flags.get("checkpoint", "best"),
    }
    compared: list[Compared] = []
    for workdir in workdirs:
        print(f"evaluating {workdir} on test", flush=True)
        compared.append(_of_workdir(workdir, given, command))
        _check_same_works(compared[0], compared[-1])
    first = compared[0]
    aligned = [_aligned(one, first) for one in compared]
    names = page.short_names([one.workdir for one in compared])
    recipes = recipes_in([one.config for one in compared])
    pairs = comparing.pairs_of(aligned)
    of_recipes = comparing.recipes_of(aligned, recipes)
    lines = comparing.in_words(pairs, of_recipes, names)
    opened = open_run(runs_in(first.workdir)[0], **given)
    file_names = {task: np.sort(names) for task, names in first.file_names.items()}
    page.write(
        folder,
        page.Comparison(
            [one.workdir for one in compared],
            names,
            [one.config for one in compared],
            aligned,
            file_names,
            opened.run.classes,
            pairs,
            of_recipes,
            recipes,
        ),
        opened.data,
    )
    print("\n".join(lines))
    print(f"written to {folder / 'index.html'}")
    return 0


def recipes_in(configs: Sequence[ConfigDict]) -> list[list[int]]:
    """The numbers of the runs of each recipe: those whose configurations differ in the seed only."""
    found: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        same = config_lib.to_json(config_lib.changed(config, {"seed": 0, "seeds": ()}))
        found.setdefault(same, []).append(number)
    return list(found.values())


def _parts(workdir: Path) -> list[Path]:
    """The runs that a workdir stands for; the folds of one are one."""
    config = config_of(workdir)
    if config is not None and is_several_seeds(config):
        return [workdir / part for part in parts_of(config)]
    return [workdir]


def _of_workdir(workdir: Path, given: dict[str, Any], command: Command) -> Compared:
    views, settings = command.views(), command.eval_settings()
    config = config_of(workdir)
    folds = folds_in(workdir)
    tested: Tested
    if folds:
        tested = pool_folds(workdir, len(folds), given, views, settings)
    else:
        opened = open_run(workdir, **given)
        config = opened.run.config
        tested = on_test(opened, views, settings)
    assert config is not None
    return Compared(workdir, config, tested.predictions, tested.file_names)


def _check_same_classes(workdirs: Sequence[Path]) -> None:
    """Raises `WorkdirError` unless all runs are of one collection and tell the same classes apart."""
    records = [latest_record(runs_in(workdir)[0]) for workdir in workdirs]
    first = records[0]
    for workdir, record in zip(workdirs, records, strict=True):
        if record is None or first is None:
            without = workdir if record is None else workdirs[0]
            raise WorkdirError(why_no_checkpoint(runs_in(without)[0]))
        if record.collection != first.collection:
            raise WorkdirError(
                f"cannot compare: {workdirs[0]} is of {first.collection}, {workdir} of "
                f"{record.collection}"
            )
        if sorted(record.classes) != sorted(first.classes):
            raise WorkdirError(
                f"cannot compare: {workdirs[0]} tells {', '.join(first.classes)}, {workdir} tells "
                f"{', '.join(record.classes)}"
            )
        for task, names in record.classes.items():
            if other := len(set(names) ^ set(first.classes[task])):
                raise WorkdirError(
                    f"cannot compare: {other} {task}s are classes of only one of {workdirs[0]} "
                    f"({len(first.classes[task])}) and {workdir} ({len(names)})"
                )
            if tuple(names) != tuple(first.classes[task]):
                raise WorkdirError(
                    f"cannot compare: {workdirs[0]} and {workdir} have the {task}s in another order"
                )


def _check_same_works(first: Compared, other: Compared) -> None:
    """Raises `WorkdirError` unless both were tested on the same works with the same labels."""
    for task, names in first.file_names.items():
        there = other.file_names[task]
        labels = dict(zip(names.tolist(), first.predictions[task].labels.tolist(), strict=True))
        others = dict(zip(there.tolist(), other.predictions[task].labels.tolist(), strict=True))
        single = len(labels.keys() ^ others.keys())
        relabelled = sum(labels[name] != others[name] for name in labels.keys() & others.keys())
        if single or relabelled:
            what = (
                f"{single:,} works were tested by only one of them"
                if single
                else f"{relabelled:,} works have another {task}"
            )
            raise WorkdirError(
                f"cannot compare {first.workdir} ({len(labels):,} works) and {other.workdir} "
                f"({len(others):,}): {what}"
            )


def _aligned(one: Compared, first: Compared) -> dict[str, Predictions]:
    """The predictions in the order of file names, with the clusters of the first run."""
    result = {}
    for task, of_task in one.predictions.items():
        own = of_task.only(np.argsort(one.file_names[task], kind="stable").tolist())
        of_first = first.predictions[task]
        of_first = of_first.only(np.argsort(first.file_names[task], kind="stable").tolist())
        result[task] = own._replace(work_ids=of_first.work_ids, clusters=of_first.clusters)
    return {task: of for task, of in result.items() if len(of.labels)}
