"""Compares what was written with what the run itself predicts, after every export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from artjax import augment
from artjax import config as config_lib
from artjax.errors import ArtjaxError, ExportError
from artjax.evaluation.predict import answers_of
from artjax.export.program import Program
from artjax.prepare.seeing import Seen
from artjax.runs import with_data

TOLERANCE = 1e-4
"""Of a probability. Logits may differ by as much, as a share of the largest."""

_WORKS = 32
_TOP = 5


@dataclass(frozen=True)
class Pictures:
    """What an export is verified on.

    Attributes:
      canvases: uint8 [N, S, S, 3].
      aspect: true width / height, float32 [N].
      what: in words.
      works: number of works of each split of the collection; empty if it is not there.
    """

    canvases: np.ndarray
    aspect: np.ndarray
    what: str
    works: Mapping[str, int]


@dataclass(frozen=True)
class Verified:
    """What a verification has found.

    Attributes:
      on: the pictures, in words.
      largest_difference: of a probability, or of a logit.
      same_top: of how many answers the five first labels are the same, in the same order.
      answers: number of pictures times tasks.
    """

    on: str
    largest_difference: float
    same_top: int
    answers: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def pictures_for(program: Program, data_dir: Path | None, canvas_dir: Path | None) -> Pictures:
    """Works of the run's validation split, or seeded random pictures where its data are not there.

    Validation and not test: nothing is learnt of a score, but a look at test is a look.

    Raises:
      DataError: if the data are not in a folder that was named.
      WorkdirError: if there are other data in it than the run's.
    """
    run = program.run
    try:
        data = with_data(run, data_dir, canvas_dir).data
    except ArtjaxError as error:
        if data_dir or canvas_dir:
            raise
        return _random(program, next(iter(str(error).splitlines())))
    labels = config_lib.label_features(run.config)
    splits = {name: data.split(name, labels) for name in ("train", "validation", "test")}
    works = {name: len(split) for name, split in splits.items()}
    split = splits["validation"] if works["validation"] else splits["train"]
    # Spread over the split, whose works may be in the order of their classes.
    rows = np.unique(np.linspace(0, len(split) - 1, min(_WORKS, len(split))).astype(int))
    found = split.gather(rows)
    what = f"{len(rows)} {split.name} works of {run.record.collection}"
    return Pictures(found["image"], found["aspect"].astype(np.float32), what, works)


def _random(program: Program, why: str) -> Pictures:
    rng = np.random.default_rng(0)
    side = config_lib.canvas_size(program.run.config)
    canvases = rng.integers(0, 256, (_WORKS, side, side, 3), dtype=np.uint8)
    aspect = rng.uniform(0.5, 2.0, _WORKS).astype(np.float32)
    return Pictures(canvases, aspect, f"{_WORKS} random pictures ({why})", {})


def verify(
    program: Program, load: Callable[[], Callable[..., Mapping[str, np.ndarray]]], on: Pictures
) -> Verified:
    """Compares an export with its run, on one picture alone and on the others together.

    Args:
      program: what was exported.
      load: opens what was written.
      on: the pictures.

    Raises:
      ExportError: if a number differs by more than `TOLERANCE`, or is not finite.
    """
    outputs = load()
    inputs, expected = _reference(program, on)
    parts = [outputs(*(given[part] for given in inputs)) for part in (slice(0, 1), slice(1, None))]
    largest, same, answers = 0.0, 0, 0
    for task in program.tasks:
        found = np.concatenate([np.asarray(part[task]) for part in parts])
        ours = expected[task]
        scale = 1.0 if program.inside else max(1.0, float(np.abs(ours).max()))
        difference = float(np.abs(found - ours).max())
        largest = max(largest, difference)
        if not difference <= TOLERANCE * scale:  # also nan
            raise ExportError(
                f"nothing was written: {task} of the export differs from the run by {difference:.2g} on "
                f"{on.what}, and may by {TOLERANCE * scale:.2g}; the network gives "
                f"{'numbers that are not finite' if not np.isfinite(ours).all() else 'finite numbers'}"
            )
        tops = [np.argsort(-of, axis=1, kind="stable")[:, :_TOP] for of in (found, ours)]
        same += int((tops[0] == tops[1]).all(axis=1).sum())
        answers += len(ours)
    return Verified(on.what, largest, same, answers)


def _reference(
    program: Program, on: Pictures
) -> tuple[tuple[np.ndarray, ...], Mapping[str, np.ndarray]]:
    """The inputs, and what the run says of them: for probabilities, what `--mode predict` does."""
    run = program.run
    if program.inside:
        side = on.canvases.shape[1]
        seen = [
            Seen({side: canvas}, float(aspect))
            for canvas, aspect in zip(on.canvases, on.aspect, strict=True)
        ]
        return (on.canvases, on.aspect), answers_of([run], seen, [program.judge]).probabilities
    preprocessing = run.preprocessing
    with jax.default_device(run.network.mesh.devices.flat[0]):
        how = run.config.image_size, preprocessing.crop_share, preprocessing.interpolation
        batch = {"image": jnp.asarray(on.canvases), "aspect": jnp.asarray(on.aspect)}
        crops = augment.central_crop(batch["image"], batch["aspect"], *how)
        images = np.asarray(preprocessing.normalise(crops))
        logits = run.network.logits(run.variables, batch)
    return (images,), {task: np.asarray(of_task) for task, of_task in logits.items()}
