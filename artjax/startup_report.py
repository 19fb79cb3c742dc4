"""The first lines of a run: its data, source, model and length, and the baselines to beat."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import artjax
from artjax import config as config_lib
from artjax.data import batches
from artjax.data.prepared import default_data_dir
from artjax.data.splits import uncovered, uncovered_in_words
from artjax.evaluation import baselines, metrics
from artjax.evaluation.evaluate import predict_split
from artjax.models import named_weights
from artjax.places import program
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes
from artjax.setup import Setup
from artjax.training import switches
from artjax.training.network import Network
from artjax.training.optim import create_schedule, is_solved, peak_lr
from artjax.training.training import Training, training_steps

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

# With fewer, all splits together, what a pretrained network knows counts more than what they can teach.
_FEW_WORKS = 5000
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
    if better := better_start(setup):
        say(better)
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


def better_start(setup: Setup) -> str:
    """The command of a linear probe, where a network would learn few works from scratch; else empty.

    For the first fold only, and not for the synthetic sample.
    """
    config, places = setup.config, setup.places
    works = sum(len(split) for split in setup.splits.values())
    synthetic = setup.data.prepared.metadata.get("synthetic")
    if config.model.weights or synthetic or works >= _FEW_WORKS or config.fold > 0:
        return ""
    command = [*program().split(), "--config", f"configs/probe.py:{config.collection}"]
    if places.data_dir != default_data_dir():
        command += ["--data_dir", str(places.data_dir)]
    for name in ("task", "label_feature", "folds", "split_by"):
        if value := config[name]:
            command.append(f"--config.{name}={','.join(value) if name == 'task' else value}")
    first = "" if named_weights.default() else f" (after {named_weights.how_to_install()})"
    return (
        f"{works:,} works are few for a network that starts from scratch; the better start is a "
        f"pretrained one{first}: {shlex.join(command)}"
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


def lengthened(training: Training, earlier: ConfigDict, step: int) -> list[str]:
    """How a run goes on that is trained longer than it was meant to be; nothing for any other one.

    Args:
      training: of the longer run.
      earlier: the configuration in the checkpoint from which it goes on.
      step: of that checkpoint.
    """
    before = training_steps(earlier, training.steps_per_epoch)
    if before >= training.steps:
        return []
    rates = [
        float(create_schedule(earlier.optim, before, training.steps_per_epoch)(max(0, step - 1))),
        float(training.schedule(step)),
    ]
    rate = (
        f"the learning rate stays {rates[1]:.3g}"
        if math.isclose(*rates, rel_tol=0.05)
        else f"the learning rate goes from {rates[0]:.3g} to {rates[1]:.3g}, where the longer "
        f"{training.config.optim.schedule} schedule has it at this step"
    )
    return [f"trained longer: {training.steps:,} steps instead of {before:,}; {rate}"]


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
