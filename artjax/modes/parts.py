"""Runs that belong together, the folds of a cross-validation or the seeds of a recipe, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from artjax import config as config_lib
from artjax.errors import ArtjaxError
from artjax.evaluation import evaluate, looks, metrics, report
from artjax.places import Places
from artjax.runs import OpenRun, claim, parts_of, whole_of
from artjax.runs.workdir import config_file
from artjax.runtime import mesh as mesh_lib
from artjax.train import Outcome
from artjax.training.checks import check_config
from artjax.training.optim import peak_lr

if TYPE_CHECKING:
    from ml_collections import ConfigDict


class Part(NamedTuple):
    """One of them.

    Attributes:
      folder: its workdir, in that of the whole.
      heading: what is printed when its turn comes.
      config: its configuration.
    """

    folder: str
    heading: str
    config: ConfigDict


class Tested(NamedTuple):
    """What a run, or all folds together, said of the test works.

    Attributes:
      file_names: of the works whose label is known, by task, str [N].
      predictions: of the same works in the same order, by task.
      result: what `metrics.json` holds.
      table: what `predictions.csv` holds.
      look: at test.
      parts: what was evaluated: a run, or each fold.
    """

    file_names: Mapping[str, np.ndarray]
    predictions: Mapping[str, metrics.Predictions]
    result: dict[str, Any]
    table: str
    look: looks.Look
    parts: Sequence[evaluate.Evaluated]


def checked(config: ConfigDict) -> ConfigDict:
    """The configuration of the whole, with the learning rate that its parts have.

    Raises:
      ConfigError: if it is invalid.
    """
    check_config(config)
    return config_lib.changed(config, {"optim.peak_lr": peak_lr(config.optim)})


def train_parts(
    train_one: Callable[..., Outcome],
    parts: Sequence[Part],
    places: Places,
    devices: Sequence[jax.Device] | None,
    stop_after_steps: int | None,
) -> Outcome:
    """Trains or resumes each part. Those that are finished are not trained again.

    Args:
      train_one: as `train`: trains one part.
      parts: all of them.
      places: of the whole.
      devices: as for `train`.
      stop_after_steps: as for `train`; each part stops after so many steps.

    Returns:
      Of a part that was stopped by a signal its outcome; else that of the last one, with the sum of all
      steps.
    """
    step = 0
    for part in parts:
        if mesh_lib.is_first_process():
            print(part.heading, flush=True)
        outcome = train_one(
            part.config,
            places.with_workdir(places.workdir / part.folder),
            devices=devices,
            stop_after_steps=stop_after_steps,
        )
        step += outcome.step
        if outcome.signal is not None:
            return outcome
    return Outcome(step, finished=outcome.finished)


@contextmanager
def claimed(workdir: Path, config: ConfigDict) -> Iterator[None]:
    """In the block, the workdir of the whole belongs to its configuration, and afterwards.

    If the block fails before any part has begun, such as for a misspelt collection, the workdir is free
    again: the command that is put right may use it.

    Raises:
      WorkdirError: as `claim` does.
    """
    with mesh_lib.first_process_first():
        new = not config_file(workdir).is_file()
        claim(workdir, config, longer=True)
    try:
        yield
    except ArtjaxError:
        begun = any(config_file(workdir / part).is_file() for part in parts_of(config))
        if new and not begun and mesh_lib.is_first_process():
            config_file(workdir).unlink(missing_ok=True)
        raise


def conclude(
    name: str,
    config: ConfigDict,
    places: Places,
    evaluated: Callable[[], dict[str, Any]],
    in_words: Callable[[Mapping[str, Any]], list[str]] = report.report_lines,
) -> dict[str, dict[str, Any]]:
    """Pools what the trained parts say of the test works, unless test is to be left alone; prints it.

    Args:
      name: of the whole: `folds` or `seeds`.
      config: of the whole.
      places: of the whole.
      evaluated: pools, and writes `evaluation/NAME/`.
      in_words: the lines of a result.

    Returns:
      The result by its name; `{}` with `eval.test` as `never`.
    """
    workdir, first = places.workdir, mesh_lib.is_first_process()
    if config.eval.test == "never":
        if first and whole_of(workdir) == workdir:
            print(looks.not_looked_at(workdir), flush=True)
        return {}
    result = evaluated()
    folder = evaluate.folder_of(workdir, name)
    if first:
        print("\n".join([*in_words(result), *looks.lines(folder)]))
        print(f"written to {folder}", flush=True)
    return {name: result}


def on_test(
    opened: OpenRun, views: int | None = None, settings: Mapping[str, Any] | None = None
) -> Tested:
    """Evaluates a run on its test split, and writes its own `evaluation/`."""
    found = evaluate.predict_and_evaluate(opened, "test", views, settings)
    assert found.look is not None
    return Tested(
        {task: found.split.file_names[known] for task, (known, _) in found.predictions.items()},
        {task: of_task for task, (_, of_task) in found.predictions.items()},
        found.result,
        report.predictions_csv(found.predictions, found.split, found.classes),
        found.look,
        [found],
    )
