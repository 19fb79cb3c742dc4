"""Predicts labels of image files, which are cleaned and resized exactly as in training."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax.data import batches, decoding
from artjax.data.canvases import Split
from artjax.errors import DataError, ImageError
from artjax.evaluation import metrics
from artjax.evaluation.evaluate import restore
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.prepare import picture_decoding
from artjax.prepare.readers.filename_repair import readable_name
from artjax.workdir import write_atomically

TOP_K = 5
_BATCH_SIZE = 64


class Guess(NamedTuple):
    """One of the most probable labels of an image; `probability` in [0, 1], `rank` from 1."""

    path: Path
    task: str
    rank: int
    label: str
    probability: float


class Result(NamedTuple):
    """Guesses for all usable images, (file, reason) for each unusable one, and the number of views."""

    guesses: list[Guess]
    unusable: list[tuple[Path, str]]
    views: int = 1


def predict(
    workdir: Path, paths: Sequence[Path], which: str = "best", views: int | None = None
) -> Result:
    """Predicts the labels of images with a checkpoint of a workdir.

    Args:
      workdir: the folder of a run. Nothing else is needed.
      paths: image files, and folders. All files in a folder and its subfolders are used.
      which: the checkpoint, `best` by validation or `last`.
      views: 1, 5 or 10 views of each image, whose probabilities are averaged; default: as the run's
        `eval.views` says.

    Returns:
      For each image and task the five most probable labels (or all, if there are fewer). They are also
      written to `predict/predictions.csv` in the workdir.

    Raises:
      ConfigError: for an unknown checkpoint, or another number of views.
      WorkdirError: if there is no checkpoint.
      DataError: if a path does not exist, or none of the files is a usable image.
    """
    files, unusable = _files(paths)
    restored = restore(workdir, which)
    views = number_of_views(restored.experiment.config, views)
    size = config_lib.canvas_size(restored.experiment.config)
    usable: list[Path] = []
    result = Result([], unusable, views)
    chunk: list[tuple[Path, np.ndarray, float]] = []

    def flush() -> None:
        split = _as_split([(canvas, aspect) for _, canvas, aspect in chunk])
        count = restored.experiment.mesh.size
        rows = np.arange(len(chunk))
        # Padded to a power of two, so that few shapes are compiled.
        padded = max(count, 1 << (len(chunk) - 1).bit_length())
        padded = -(-padded // count) * count
        indices = np.pad(rows, (0, padded - len(rows)), constant_values=-1)
        batch = batches.put(split, indices, restored.experiment.batch_sharding)
        logits = logits_of_views(restored.experiment, restored.variables, batch, views)
        for task, of_task in logits.items():
            probabilities = np.exp(metrics.log_softmax(of_task[: len(chunk)]))
            names = restored.record["classes"][task]
            for (path, _, _), row in zip(chunk, probabilities, strict=True):
                top = np.argsort(-row, kind="stable")[:TOP_K]
                result.guesses.extend(
                    Guess(path, task, rank, names[c], float(row[c]))
                    for rank, c in enumerate(top, start=1)
                )
        chunk.clear()

    for path in files:
        try:
            picture = picture_decoding.clean(path, restored.record["short_side_px"])
        except ImageError as error:
            unusable.append((path, str(error)))
            continue
        usable.append(path)
        chunk.append((path, *decoding.squash(picture.jpeg, size)))
        if len(chunk) == _BATCH_SIZE:
            flush()
    if chunk:
        flush()
    if not usable:
        path, reason = unusable[0]
        more = f" (all {len(unusable)} files are unusable)" if len(unusable) > 1 else ""
        raise DataError(f"{path} is not a usable image: {reason}{more}")
    write_atomically(workdir / "predict" / "predictions.csv", _csv(result.guesses))
    return result


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
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


def _csv(guesses: Sequence[Guess]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "task", "rank", "label", "probability"])
    for guess in guesses:
        file, share = readable_name(str(guess.path)), f"{guess.probability:.6f}"
        writer.writerow([file, guess.task, guess.rank, guess.label, share])
    return text.getvalue()
