"""The first lines of a run: its data, source, model and length, and the baselines to beat."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

import artjax
from artjax import config as config_lib
from artjax.data import batches
from artjax.data.canvases import Canvases, Split
from artjax.data.sources import Choice
from artjax.data.splits import uncovered, uncovered_in_words
from artjax.evaluation import baselines
from artjax.evaluation.metrics import log_softmax
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes
from artjax.training import switches
from artjax.training.experiment import Experiment
from artjax.training.optim import peak_lr
from artjax.training.state import TrainState

# Shares beyond which a trunk is degenerate.
_MOSTLY_DEAD = 0.9
_LEAST_SPREAD = 0.01


def introduce(
    experiment: Experiment,
    data: Canvases,
    splits: Mapping[str, Split],
    choice: Choice,
    workdir: Path,
    say: Callable[[str], None],
) -> None:
    """Prints a line each: task, devices, splits, baselines, source, model, switches, length."""
    config, prepared, train = experiment.config, data.prepared, splits["train"]
    say(
        f"artjax {artjax.__version__}: {' and '.join(config.task)} on "
        f"{prepared.name} {prepared.version}"
        + (" (synthetic, embedded sample)" if prepared.metadata.get("synthetic") else "")
    )
    say(f"devices: {mesh_lib.describe(experiment.mesh)}, activations in {experiment.dtype.name}")
    for name, split in splits.items():
        official = prepared.official_works(name)
        of = f" of the {official:,} on the official list" if official is not None else ""
        unlabelled = f" ({split.left_out:,} without a label ignored)" if split.left_out else ""
        say(f"{name}: {len(split):,} images{of}{unlabelled}")
    if prepared.metadata.get("skipped"):
        say(
            f"{prepared.metadata['skipped']:,} listed images are missing or unusable: "
            f"{prepared.directory / 'skipped.csv'}"
        )
    for task, labels in train.labels.items():
        names = prepared.labels[config_lib.label_features(config)[task]]
        majority = baselines.majority_top1(labels, splits["validation"].labels[task])
        most_frequent = names[np.bincount(labels[labels >= 0]).argmax()]
        say(
            f"{task}: {len(names)} classes; top-1 on validation by chance {1 / len(names):.1%}, always "
            f"'{most_frequent}' {majority:.1%}"
        )
        works = {
            name: {names[c]: 1 for c in np.unique(split.labels[task]) if c >= 0}
            for name, split in splits.items()
        }
        for line in uncovered_in_words(task, len(names), uncovered(names, works)):
            say(f"warning: {line}")
    kind = "TFRecords:" if data.why_streamed else f"canvases: {data.size} px,"
    folder = data.prepared.directory if data.why_streamed else data.directory
    say(f"{kind} {format_bytes(train.images.nbytes)} for train, in {folder}")
    say(f"source: {choice.name}, {choice.why}")
    trained, fixed = experiment.parameters, experiment.frozen_parameters
    of = f"{trained + fixed:,} parameters ({trained:,} of them trained)" if fixed else ""
    of = of or f"{trained:,} parameters"
    say(f"model: {config.model.name}, {of}, images of {config.image_size} px")
    if not experiment.groups.uniform:
        for line in experiment.groups.table(peak_lr(config.optim), config.optim.weight_decay):
            say(line)
    for line in switches.in_words(config):
        say(line)
    say(
        f"run: {experiment.steps:,} steps of {config.batch_size} images "
        f"({experiment.steps / experiment.steps_per_epoch:.1f} epochs), validation every "
        f"{experiment.eval_every}, checkpoint every {experiment.checkpoint_every}; "
        f"workdir {workdir}"
    )


def trunk_health(experiment: Experiment, state: TrainState, train: Split) -> list[str]:
    """What the trunk makes of the first batch, and a warning if it hardly tells the images apart.

    Wrong weights, a wrong range of the pixels, or dead ReLUs show here before an hour of training does.
    """
    features = experiment.trunk_outputs(state.variables, _first_batch(experiment, train))
    if features is None:
        return []
    values = np.asarray(features, np.float32).reshape(len(features), -1)
    dead = float((values == 0).all(0).mean())
    magnitude = float(np.abs(values).mean())
    spread = float(values.std(0).mean()) / magnitude if magnitude else 0.0
    lines = [
        f"trunk: {values.shape[1]:,} features of an image; on the first batch {dead:.1%} of them are "
        f"always 0, and their mean standard deviation over the images is {spread:.1%} of their mean "
        "magnitude"
    ]
    if not np.isfinite(values).all() or dead > _MOSTLY_DEAD or spread < _LEAST_SPREAD:
        lines.append(
            "warning: the features of the pretrained trunk are degenerate; are the weights those of "
            "this network, and is --config.preprocessing what they expect?"
        )
    return lines


def _first_batch(experiment: Experiment, train: Split) -> dict[str, jax.Array]:
    indices = batches.create_order(experiment.config, train)(0)
    return batches.put(train, indices, experiment.batch_sharding)


def initial_loss(experiment: Experiment, state: TrainState, train: Split) -> str:
    """The loss of the untrained network on the first batch, and ln(classes), which it should equal."""
    indices = batches.create_order(experiment.config, train)(0)
    losses = []
    for task, logits in experiment.logits(state.variables, _first_batch(experiment, train)).items():
        labels = train.labels[task][indices]
        known = np.flatnonzero(labels >= 0)
        if len(known):
            loss = -log_softmax(np.asarray(logits))[known, labels[known]].mean()
            expected = math.log(logits.shape[1])
            losses.append(f"{task} {loss:.4f} (ln {logits.shape[1]} = {expected:.4f})")
    return f"initial loss: {', '.join(losses)}"
