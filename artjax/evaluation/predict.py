"""Predicts labels of image files, which are cleaned and resized exactly as in training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import batches, decoding
from artjax.data.works import Split
from artjax.errors import DataError, ImageError, WorkdirError
from artjax.evaluation import embeddings, judging, metrics, reliability, temperature
from artjax.evaluation.judging import Judge
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.prepare import picture_decoding
from artjax.runs import Run

TOP_K = 5
BATCH_SIZE = 64


class Guess(NamedTuple):
    """One of the most probable labels of an image.

    Attributes:
      path: of the image.
      task: such as `artist`.
      rank: from 1.
      label: the name of the class.
      probability: of it, in [0, 1].
      unsure: whether the most probable label of this task is wrong more often than a sure one may be;
        None if that is not known.
      unlikeness: how far the image is from train: above 1 it is unlike anything there; None if that is
        not known.
    """

    path: Path
    task: str
    rank: int
    label: str
    probability: float
    unsure: bool | None = None
    unlikeness: float | None = None

    @property
    def unlike_train(self) -> bool | None:
        """Whether the image is unlike anything in train; None if that is not known."""
        return None if self.unlikeness is None else self.unlikeness > 1


class Answers(NamedTuple):
    """What one or more runs say of N pictures.

    Attributes:
      probabilities: of each task, float [N, classes].
      unsure: of each task, bool [N]; None where that is not known.
      unlikeness: how far each picture is from train, float [N], above 1 unlike anything there; None
        where that is not known.
    """

    probabilities: dict[str, np.ndarray]
    unsure: dict[str, np.ndarray | None]
    unlikeness: np.ndarray | None

    def unsure_of(self, task: str, row: int) -> bool | None:
        """Whether the answer to a task for one picture is unsure; None if that is not known."""
        of_task = self.unsure[task]
        return None if of_task is None else bool(of_task[row])

    def unlikeness_of(self, row: int) -> float | None:
        """How far one picture is from train; None if that is not known."""
        return None if self.unlikeness is None else float(self.unlikeness[row])


class Result(NamedTuple):
    """Guesses for all usable images.

    Attributes:
      guesses: of each image and task the most probable labels, in order.
      unusable: (file, reason) for each image that cannot be used.
      judges: what is known of the probabilities of each run, and its number of views.
    """

    guesses: list[Guess]
    unusable: list[tuple[Path, str]]
    judges: tuple[Judge, ...]


def predict(
    runs: Sequence[Run],
    paths: Sequence[Path],
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Predicts the labels of images with the networks of one or more runs.

    Args:
      runs: several are an ensemble: their probabilities are averaged.
      paths: image files, and folders. All files in a folder and its subfolders are used.
      views: 1, 5 or 10 views of each image, whose probabilities are averaged; default: of each run, as
        its `eval.views` says.
      settings: fields of `eval` in place of the runs' own; see `evaluate.evaluate_workdir`.

    Returns:
      For each image and task the five most probable labels (or all, if there are fewer).

    Raises:
      ConfigError: for another number of views.
      WorkdirError: if the runs have other tasks or classes.
      DataError: if a path does not exist, or none of the files is a usable image.
    """
    check_same_classes(runs)
    files, unusable = files_of(paths)
    judges = judges_of(runs, views, settings)
    result = Result([], unusable, judges)
    for names, pictures in cleaned(files, runs[0].record.short_side_px, unusable):
        answers = answers_of(runs, pictures, judges)
        for task, probabilities in answers.probabilities.items():
            classes = runs[0].classes[task]
            for i, (path, row) in enumerate(zip(names, probabilities, strict=True)):
                unsure, unlikeness = answers.unsure_of(task, i), answers.unlikeness_of(i)
                result.guesses.extend(
                    Guess(path, task, rank, classes[c], float(row[c]), unsure, unlikeness)
                    for rank, c in enumerate(ranked(row)[:TOP_K], start=1)
                )
    if not result.guesses:
        raise none_usable(unusable)
    return result


def ranked(probabilities: np.ndarray) -> np.ndarray:
    """The classes of one picture, the most probable first, int [classes]; of equals the first."""
    return np.argsort(-probabilities, kind="stable")


def none_usable(unusable: Sequence[tuple[object, str]]) -> DataError:
    """The error if there are only unusable files."""
    path, reason = unusable[0]
    more = f" (all {len(unusable)} files are unusable)" if len(unusable) > 1 else ""
    return DataError(f"{path} is not a usable image: {reason}{more}")


def cleaned(
    files: Sequence[Path], short_side_px: int, unusable: list[tuple[Path, str]]
) -> Iterator[tuple[list[Path], list[bytes]]]:
    """Yields names and JPEGs of up to 64 usable images; adds the others to `unusable`."""
    names: list[Path] = []
    pictures: list[bytes] = []
    for path in files:
        try:
            pictures.append(picture_decoding.clean(path, short_side_px).jpeg)
        except ImageError as error:
            unusable.append((path, str(error)))
            continue
        names.append(path)
        if len(names) == BATCH_SIZE:
            yield names, pictures
            names, pictures = [], []
    if names:
        yield names, pictures


def judges_of(
    runs: Sequence[Run], views: int | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Judge, ...]:
    """What is known of the probabilities of each run; the arguments are those of `predict`."""
    return tuple(
        Judge(reliability.of_run(run, settings), number_of_views(run.config, views)) for run in runs
    )


def answers_of(runs: Sequence[Run], pictures: Sequence[bytes], judges: Sequence[Judge]) -> Answers:
    """What one or more runs say of some pictures.

    Args:
      runs: with the same tasks and classes; several are averaged.
      pictures: cleaned ones, as the bytes of a JPEG.
      judges: from `judges_of`, of the same runs.
    """
    of_runs = [_of_run(run, pictures, judge) for run, judge in zip(runs, judges, strict=True)]
    # One by itself stays as it is: a mean would round it.
    probabilities = (
        of_runs[0][0]
        if len(runs) == 1
        else {
            task: np.mean([of_run[task] for of_run, _ in of_runs], axis=0) for task in of_runs[0][0]
        }
    )
    unsure: dict[str, np.ndarray | None] = {}
    for task, of_task in probabilities.items():
        lowest = judging.sure_from(judges, task)
        highest = np.nan_to_num(of_task.max(axis=1))
        unsure[task] = None if lowest is None else highest < lowest
    unlikeness = judging.mean_unlikeness([distances for _, distances in of_runs])
    return Answers(probabilities, unsure, unlikeness)


def _of_run(
    run: Run, pictures: Sequence[bytes], judge: Judge
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The probabilities of each task, and how unlike train each picture is."""
    batch, count = batch_of(run, pictures), len(pictures)
    logits = logits_of_views(run.network, run.variables, batch, judge.views)
    probabilities = {
        task: np.exp(
            temperature.divided(
                metrics.log_softmax(of_task[:count]), judge.temperature(task) or 1.0
            )
        )
        for task, of_task in logits.items()
    }
    if judge.reliability.farthest is None:
        return probabilities, None
    outputs = np.asarray(run.network.trunk_outputs(run.variables, batch))[:count]
    return probabilities, judge.reliability.unlikeness(embeddings.unit(outputs))


def batch_of(run: Run, pictures: Sequence[bytes]) -> dict[str, jax.Array]:
    """Cleaned pictures as a batch on the devices, as evaluation sees works; padding follows them."""
    network, size = run.network, config_lib.canvas_size(run.config)
    return batches.put(
        _as_split([decoding.squash(picture, size) for picture in pictures]),
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


def files_of(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The files to predict, and the reason for each path that has none."""
    files: list[Path] = []
    missing: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                Path(folder) / name
                for folder, _, names in os.walk(path)
                for name in names
                if not name.startswith(".")
            )
            if not inside:
                missing.append((path, "the folder has no files"))
            files.extend(inside)
        elif path.exists():  # `clean` reports what is no regular file
            files.append(path)
        else:
            missing.append((path, "no such file or folder"))
    return files, missing


def _as_split(pictures: Sequence[tuple[np.ndarray, float]]) -> Split:
    return Split(
        name="predict",
        images=np.stack([canvas for canvas, _ in pictures]),
        rows=np.arange(len(pictures)),
        aspect=np.asarray([aspect for _, aspect in pictures], np.float32),
        labels={},
        file_names=np.empty(len(pictures), np.str_),
    )
