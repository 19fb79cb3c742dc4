"""The first lines of a run: its data, source, model and length, and the baselines to beat."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import artjax
from artjax import config as config_lib
from artjax.data import batches
from artjax.data.splits import uncovered, uncovered_in_words
from artjax.evaluation import baselines, metrics
from artjax.evaluation.evaluate import predict_split
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes
from artjax.setup import Setup
from artjax.training import switches
from artjax.training.network import Network
from artjax.training.optim import is_solved, peak_lr

# Shares beyond which a trunk is degenerate.
_MOSTLY_DEAD = 0.9
_LEAST_SPREAD = 0.01


def introduce(setup: Setup, say: Callable[[str], None]) -> None:
    """Prints a line each: task, devices, splits, baselines, source, model, switches, length."""
    config, network, training = setup.config, setup.network, setup.training
    data, splits, choice = setup.data, setup.splits, setup.choice
    prepared, train = data.prepared, splits["train"]
    say(
        f"artjax {artjax.__version__}: {' and '.join(config.task)} on "
        f"{prepared.name} {prepared.version}"
        + (" (synthetic, embedded sample)" if prepared.metadata.get("synthetic") else "")
    )
    say(f"devices: {mesh_lib.describe(network.mesh)}, activations in {network.dtype.name}")
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
    trained, fixed = network.parameters, network.frozen_parameters
    of = f"{trained + fixed:,} parameters ({trained:,} of them trained)" if fixed else ""
    of = of or f"{trained:,} parameters"
    say(f"model: {config.model.name}, {of}, images of {config.image_size} px")
    if not network.groups.uniform and not is_solved(config):
        for line in network.groups.table(peak_lr(config.optim), config.optim.weight_decay):
            say(line)
    for line in switches.in_words(config):
        say(line)
    if is_solved(config):
        say(f"run: the heads are solved; workdir {setup.places.workdir}")
        return
    say(
        f"run: {training.steps:,} steps of {config.batch_size} images "
        f"({training.steps / training.steps_per_epoch:.1f} epochs), validation every "
        f"{training.eval_every}, checkpoint every {training.checkpoint_every}; "
        f"workdir {setup.places.workdir}"
    )


def trunk_health(setup: Setup, variables: Mapping[str, Any]) -> list[str]:
    """What the trunk makes of the first batch, and a warning if it hardly tells the images apart.

    Wrong weights, a wrong range of the pixels, or dead ReLUs show here before an hour of training does.

    Args:
      setup: of the run; its splits hold images.
      variables: whole ones.
    """
    network, train = setup.network, setup.splits["train"]
    batch = batches.put(train, setup.first_batch, network.batch_sharding)
    features = network.trunk_outputs(variables, batch)
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


def initial_loss(setup: Setup, variables: Mapping[str, Any]) -> str:
    """The loss of the untrained network on the first batch, and ln(classes), which it should equal."""
    shown = [
        f"{task} {loss:.4f} (ln {count} = {math.log(count):.4f})"
        for task, loss in first_losses(setup, setup.network, variables).items()
        if not math.isnan(loss) and (count := setup.network.classes[task])
    ]
    return f"initial loss: {', '.join(shown)}"


def first_losses(setup: Setup, network: Network, variables: Mapping[str, Any]) -> dict[str, float]:
    """The mean cross-entropy of each task on the first batch; nan where no label is known.

    Args:
      setup: of the run; its splits hold images, or features.
      network: the network of the run, or one with the same classes.
      variables: whole ones.
    """
    works = setup.splits["train"].only(setup.first_batch)
    predicted = predict_split(network, variables, works)
    return {
        task: metrics.loss(of_task) if len(known) else math.nan
        for task, (known, of_task) in predicted.items()
    }
