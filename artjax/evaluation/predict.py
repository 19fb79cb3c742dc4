"""Predicts labels of image files, which are cleaned and resized exactly as in training."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.works import Split
from artjax.errors import DataError, WorkdirError
from artjax.evaluation import (
    embeddings,
    judging,
    mc_dropout,
    metrics,
    reliability,
    temperature,
)
from artjax.evaluation.judging import Judge
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.prepare.seeing import Seen, see_all
from artjax.runs import Run

BATCH_SIZE = 64


class Spread(NamedTuple):
    """How far several answers to one picture are from each other, in nats.

    Attributes:
      predictive_entropy: the entropy of their mean.
      mutual_information: what of it is due to their disagreement; 0 if they agree.
    """

    predictive_entropy: float
    mutual_information: float


class Answer(NamedTuple):
    """What one or more runs say of one picture.

    Attributes:
      file: of the picture.
      probabilities: of each task, float [classes]; empty if the picture is not usable.
      unsure: for each task whether its most probable label is wrong more often than a sure one may be;
        None where that is not known.
      unlikeness: how far the picture is from train: above 1 it is unlike anything there; None if that is
        not known.
      reason: why the picture is not usable; empty if it is.
      spread: of each task how far the answers are from each other whose mean this is; empty of a single
        answer.
    """

    file: Path
    probabilities: Mapping[str, np.ndarray] = {}
    unsure: Mapping[str, bool | None] = {}
    unlikeness: float | None = None
    reason: str = ""
    spread: Mapping[str, Spread] = {}


class Answers(NamedTuple):
    """What one or more runs say of N pictures.

    Attributes:
      probabilities: of each task, float [N, classes].
      unsure: of each task, bool [N]; None where that is not known.
      unlikeness: how far each picture is from train, float [N], above 1 unlike anything there; None
        where that is not known.
      expected_entropy: of each task, the mean of the entropies of the answers whose mean
        `probabilities` are, float [N]; empty of single answers.
    """

    probabilities: dict[str, np.ndarray]
    unsure: dict[str, np.ndarray | None]
    unlikeness: np.ndarray | None
    expected_entropy: dict[str, np.ndarray]

    def of_row(self, file: Path, row: int) -> Answer:
        """What is said of one picture, whose file is given."""
        return Answer(
            file,
            {task: of_task[row] for task, of_task in self.probabilities.items()},
            {
                task: None if of_task is None else bool(of_task[row])
                for task, of_task in self.unsure.items()
            },
            None if self.unlikeness is None else float(self.unlikeness[row]),
            spread={task: self._spread(task, row) for task in self.expected_entropy},
        )

    def _spread(self, task: str, row: int) -> Spread:
        with np.errstate(divide="ignore"):  # a probability of 0 adds nothing
            of_mean = float(metrics.entropy(np.log(self.probabilities[task][row])))
        return Spread(of_mean, max(of_mean - float(self.expected_entropy[task][row]), 0.0))


def answers(
    runs: Sequence[Run],
    files: Sequence[Path],
    judges: Sequence[Judge],
    processes: int | None = None,
) -> Generator[list[Answer], None, None]:
    """Predicts the labels of image files, some at a time, while the next ones are being cleaned.

    Args:
      runs: several are an ensemble: their probabilities are averaged. They have the same classes.
      files: of the images.
      judges: from `judges_of`, of the same runs.
      processes: that clean; see `seeing.see_all`.

    Yields:
      The answers for some files, in the order of the files, also for those that are not usable.
    """
    with closing(batches_of(runs, files, processes)) as several:
        for batch in several:
            usable = [seen for _, seen in batch if not seen.reason]
            found = answers_of(runs, usable, judges) if usable else None
            rows = iter(range(len(usable)))
            yield [
                Answer(file, reason=seen.reason)
                if seen.reason or found is None
                else found.of_row(file, next(rows))
                for file, seen in batch
            ]


def batches_of(
    runs: Sequence[Run], files: Sequence[Path], processes: int | None = None
) -> Generator[list[tuple[Path, Seen]], None, None]:
    """Yields files and what networks see of them, in order: up to 64 usable ones at a time.

    Args:
      runs: those that shall see them.
      files: of the images.
      processes: that clean; see `seeing.see_all`.
    """
    sides = sorted({config_lib.canvas_size(run.config) for run in runs})
    batch: list[tuple[Path, Seen]] = []
    usable = 0
    with (
        closing(see_all(files, runs[0].record.short_side_px, sides, processes)) as pictures,
        closing(
            batches.prefetch(lambda number: next(pictures), 0, len(files), 2 * BATCH_SIZE)
        ) as ahead,
    ):
        for file, seen in zip(files, ahead, strict=True):
            batch.append((file, seen))
            usable += not seen.reason
            if usable == BATCH_SIZE:
                yield batch
                batch, usable = [], 0
    if batch:
        yield batch


def ranked(probabilities: np.ndarray) -> np.ndarray:
    """The classes of one picture, the most probable first, int [classes]; of equals the first."""
    return np.argsort(-probabilities, kind="stable")


def none_usable(unusable: Sequence[tuple[object, str]], count: int | None = None) -> DataError:
    """The error if there are only unusable files, of which some are given; default of `count`: all."""
    path, reason = unusable[0]
    count = count or len(unusable)
    more = f" (all {count:,} files are unusable)" if count > 1 else ""
    return DataError(f"{path} is not a usable image: {reason}{more}")


def judges_of(
    runs: Sequence[Run], views: int | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Judge, ...]:
    """What is known of the probabilities of each run, and the number of views that it sees.

    Args:
      runs: one or more.
      views: 1, 5 or 10 views of each image, whose probabilities are averaged; default: of each run, as
        its `eval.views` says.
      settings: fields of `eval` in place of the runs' own; see `evaluate.evaluate_workdir`.

    Raises:
      ConfigError: for another number of views.
    """
    return tuple(
        Judge(
            reliability.of_run(run, settings),
            number_of_views(run.config, views),
            mc_dropout.number_of_passes(run.config, settings),
        )
        for run in runs
    )


def answers_of(runs: Sequence[Run], pictures: Sequence[Seen], judges: Sequence[Judge]) -> Answers:
    """What one or more runs say of some pictures.

    Args:
      runs: with the same tasks and classes; several are averaged.
      pictures: usable ones, on canvases of the runs' sizes.
      judges: from `judges_of`, of the same runs.
    """
    of_runs = [_of_run(run, pictures, judge) for run, judge in zip(runs, judges, strict=True)]
    probabilities, entropies = of_runs[0].probabilities, of_runs[0].expected_entropy
    if len(runs) > 1:  # one by itself stays as it is: a mean would round it
        tasks = list(probabilities)
        probabilities = {
            task: np.mean([of.probabilities[task] for of in of_runs], axis=0) for task in tasks
        }
        entropies = {
            task: np.mean([of.entropy_of_answers(task) for of in of_runs], axis=0) for task in tasks
        }
    unsure: dict[str, np.ndarray | None] = {}
    for task, of_task in probabilities.items():
        lowest = judging.sure_from(judges, task)
        highest = np.nan_to_num(of_task.max(axis=1))
        unsure[task] = None if lowest is None else highest < lowest
    unlikeness = judging.mean_unlikeness([of.unlikeness for of in of_runs])
    return Answers(probabilities, unsure, unlikeness, entropies)


class _OfRun(NamedTuple):
    """What one run says: as in `Answers`."""

    probabilities: dict[str, np.ndarray]
    unlikeness: np.ndarray | None
    expected_entropy: dict[str, np.ndarray]

    def entropy_of_answers(self, task: str) -> np.ndarray:
        """The mean of the entropies of its answers, [N]; of a single one, its entropy."""
        if task in self.expected_entropy:
            return self.expected_entropy[task]
        with np.errstate(divide="ignore"):
            return metrics.entropy(np.log(self.probabilities[task]))


def _of_run(run: Run, pictures: Sequence[Seen], judge: Judge) -> _OfRun:
    """The probabilities of each task, how unlike train each picture is, and how passes agree."""
    batch, count = batch_of(run, pictures), len(pictures)
    outputs: jax.Array | None = None
    entropies: dict[str, np.ndarray] = {}
    if judge.passes:
        side = config_lib.canvas_size(run.config)
        words = mc_dropout.words_of_pixels(seen.canvases[side] for seen in pictures)
        given = run.network, run.variables, batch, words, judge.passes, judge.views
        found = mc_dropout.sampled(*given)
        logits = {task: of_task.log_probabilities for task, of_task in found.items()}
        entropies = {task: of_task.expected_entropy for task, of_task in found.items()}
    elif judge.reliability.farthest is not None and judge.views == 1:
        of_devices, outputs = run.network.logits_and_trunk_outputs(run.variables, batch)
        logits = {task: np.asarray(of_task) for task, of_task in of_devices.items()}
    else:
        logits = logits_of_views(run.network, run.variables, batch, judge.views)
    if outputs is None and judge.reliability.farthest is not None:
        outputs = run.network.trunk_outputs(run.variables, batch)
    probabilities = {
        task: np.exp(
            temperature.divided(
                metrics.log_softmax(of_task[:count]), judge.temperature(task) or 1.0
            )
        )
        for task, of_task in logits.items()
    }
    if outputs is None:
        return _OfRun(probabilities, None, entropies)
    unit = embeddings.unit(np.asarray(outputs)[:count])
    return _OfRun(probabilities, judge.reliability.unlikeness(unit), entropies)


def batch_of(run: Run, pictures: Sequence[Seen]) -> dict[str, jax.Array]:
    """Pictures as a batch on the devices, as evaluation sees works; padding follows them."""
    network, side = run.network, config_lib.canvas_size(run.config)
    return batches.put(
        _as_split(pictures, side),
        _padded(len(pictures), network.mesh.size),
        network.batch_sharding,
    )


def _padded(count: int, devices: int) -> np.ndarray:
    """Rows 0 to `count` and padding (-1), so that few shapes are compiled: a power of two."""
    padded = max(devices, 1 << (count - 1).bit_length())
    padded = -(-padded // devices) * devices
    return np.pad(np.arange(count), (0, padded - count), constant_values=-1)


def check_same_classes(runs: Sequence[Run]) -> None:
    """Raises `WorkdirError` unless all runs tell the same classes apart."""
    first = runs[0]
    for run in runs[1:]:
        if dict(run.classes) != dict(first.classes):
            here, there = (
                ", ".join(f"{len(names)} {task}s" for task, names in r.classes.items())
                for r in (first, run)
            )
            raise WorkdirError(
                f"an ensemble needs runs with the same classes: {first.workdir} has {here}; "
                f"{run.workdir} has {there}{', with other names' if here == there else ''}"
            )


def _as_split(pictures: Sequence[Seen], side: int) -> Split:
    return Split(
        name="predict",
        images=np.stack([seen.canvases[side] for seen in pictures]),
        rows=np.arange(len(pictures)),
        aspect=np.asarray([seen.aspect for seen in pictures], np.float32),
        labels={},
        file_names=np.empty(len(pictures), np.str_),
    )
