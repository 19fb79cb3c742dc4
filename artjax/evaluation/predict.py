"""Predicts labels of image files, which are cleaned and resized exactly as in training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import batches, decoding
from artjax.data.works import Split
from artjax.errors import DataError, ImageError, WorkdirError
from artjax.evaluation import metrics
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.prepare import picture_decoding
from artjax.runs import Run

TOP_K = 5
BATCH_SIZE = 64


class Guess(NamedTuple):
    """One of the most probable labels of an image; `probability` in [0, 1], `rank` from 1."""

    path: Path
    task: str
    rank: int
    label: str
    probability: float


class Result(NamedTuple):
    """Guesses for all usable images, (file, reason) for each unusable one, and the views of each run."""

    guesses: list[Guess]
    unusable: list[tuple[Path, str]]
    views: tuple[int, ...]


def predict(runs: Sequence[Run], paths: Sequence[Path], views: int | None = None) -> Result:
    """Predicts the labels of images with the networks of one or more runs.

    Args:
      runs: several are an ensemble: their probabilities are averaged.
      paths: image files, and folders. All files in a folder and its subfolders are used.
      views: 1, 5 or 10 views of each image, whose probabilities are averaged; default: of each run, as
        its `eval.views` says.

    Returns:
      For each image and task the five most probable labels (or all, if there are fewer).

    Raises:
      ConfigError: for another number of views.
      WorkdirError: if the runs have other tasks or classes.
      DataError: if a path does not exist, or none of the files is a usable image.
    """
    check_same_classes(runs)
    files, unusable = files_of(paths)
    numbers = tuple(number_of_views(run.config, views) for run in runs)
    result = Result([], unusable, numbers)
    for names, pictures in cleaned(files, runs[0].record.short_side_px, unusable):
        for task, probabilities in probabilities_of(runs, pictures, numbers).items():
            classes = runs[0].classes[task]
            for path, row in zip(names, probabilities, strict=True):
                result.guesses.extend(
                    Guess(path, task, rank, classes[c], float(row[c]))
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


def probabilities_of(
    runs: Sequence[Run], pictures: Sequence[bytes], views: Sequence[int]
) -> dict[str, np.ndarray]:
    """The probabilities of each task for some pictures, float [N, classes].

    Args:
      runs: with the same tasks and classes; several are averaged.
      pictures: cleaned ones, as the bytes of a JPEG.
      views: of each run, how many views of a picture it sees.
    """
    of_runs = [_of_run(run, pictures, count) for run, count in zip(runs, views, strict=True)]
    if len(of_runs) == 1:
        return of_runs[0]
    return {task: np.mean([of_run[task] for of_run in of_runs], axis=0) for task in of_runs[0]}


def _of_run(run: Run, pictures: Sequence[bytes], views: int) -> dict[str, np.ndarray]:
    logits = logits_of_views(run.network, run.variables, batch_of(run, pictures), views)
    return {
        task: np.exp(metrics.log_softmax(of_task[: len(pictures)]))
        for task, of_task in logits.items()
    }


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
