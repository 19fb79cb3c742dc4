"""`--mode lr_find`: which learning rate? The range test, in a hundred steps.

Smith, Cyclical Learning Rates for Training Neural Networks (2017), section 3.3: while the learning rate
rises from step to step, the loss first stays, then falls, and at last diverges. A good rate is where it
falls; the upper bound is where it is lowest.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from artjax import config as config_lib
from artjax.errors import TrainingError
from artjax.files import json_text, write_results
from artjax.modes.command import Command
from artjax.modes.lr_find import suggestion as rules
from artjax.modes.lr_find.picture import draw
from artjax.places import Places
from artjax.runtime import mesh as mesh_lib
from artjax.setup import Setup, open_setup
from artjax.training.optim import OPTIMIZERS
from artjax.training.stepping import Stepping

if TYPE_CHECKING:
    from ml_collections import ConfigDict

STEPS = 100
_LEAST_STEPS = 40
_MOST_EPOCHS = 20
_HIGHEST = 10.0
# Optimizers that normalise the gradient diverge at about so many times their highest useful rate.
_ABOVE_USEFUL = 10.0
# Of fastai's eight decades, the lowest three teach nothing: their steps are spent on the others.
_DECADES = 5


def run(command: Command) -> int:
    """`--mode lr_find`: exit status 1 if no rate can be suggested."""
    config, places = command.config_and_places()
    found = lr_find(config, places)
    if not found["suggestion"]:
        print(command.next("check"))
        return 1
    print(command.next("train", setting={"optim.peak_lr": f"{found['suggestion']:g}"}))
    return 0


def lr_find(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains with a rising learning rate, and suggests one. It writes only into `lr_find/`.

    Batches, augmentation and optimizer are the run's own. The factors of `optim.groups` and
    `optim.layer_decay` hold; all parameters are trained from the first step, whatever
    `optim.head_first` says.

    Args:
      config: the configuration, with its collection; its `peak_lr` and schedule do not matter.
      places: the folders; the workdir need not exist. Its checkpoints are not touched.
      devices: the devices to use; default: all devices.
      say: prints a line.

    Returns:
      The contents of `lr_find.json`: `suggestion`, `steepest`, `lowest` and `diverged` (learning rates,
      or None), `flag` (the suggestion to type), `stopped` (why), `rates`, `losses`, `smoothed`, and the
      configuration.

    Raises:
      ArtjaxError: if the configuration is invalid, data or weights cannot be opened, a step does not fit
        in memory, or not even the first loss is finite.
    """
    setup = open_setup(config, places, mode="lr_find", devices=devices, say=say)
    optim = config.optim
    lowest, highest = range_of(optim.name)
    steps = steps_for(setup.training.steps_per_epoch)
    rates = rules.rates(lowest, highest, steps)
    setup = _with_rates(setup, rates)
    own = setup.config
    say(
        f"lr_find: {' and '.join(own.task)} on {setup.data.prepared.name}, {own.model.name} at "
        f"{own.image_size} px, {optim.name}, batches of {own.batch_size}, "
        f"{mesh_lib.describe(setup.network.mesh)}"
    )
    say(f"at most {steps} steps, learning rate from {lowest:g} to {highest:g}")
    with setup.within_memory():
        losses, stopped = _train(setup, steps)
    count = len(losses)
    if not count:
        raise TrainingError(
            f"the loss of the first step is not finite, at a learning rate of {lowest:g}; find out why "
            "with --mode check"
        )
    rates, smooth = rates[:count], rules.smoothed(losses)
    reading = rules.read(rates, smooth, steps)
    found = {
        name: None if place is None else float(f"{rates[place]:.2g}")
        for name, place in asdict(reading).items()
    }
    limit = OPTIMIZERS[optim.name].highest_lr
    if found["suggestion"] is not None:
        found["suggestion"] = min(found["suggestion"], limit)
    result = {
        **found,
        "flag": f"--config.optim.peak_lr={found['suggestion']:g}" if found["suggestion"] else "",
        "stopped": stopped,
        "rates": rates.tolist(),
        "losses": losses,
        "smoothed": smooth.tolist(),
        "config": own.to_dict(),
    }
    title = (
        f"{own.model.name}, {optim.name}, batches of {own.batch_size}, {setup.data.prepared.name}"
    )
    picture = draw(rates, np.asarray(losses), smooth, found["suggestion"], title)
    folder = places.workdir / "lr_find"
    _write(folder, result, picture)
    say(
        f"{count} steps: {stopped}; the smoothed loss went from {smooth[0]:.3f} to {smooth.min():.3f}"
    )
    if found["suggestion"]:
        say(rules.in_words(reading, rates, smooth, steps, limit))
        say(f"suggested (the middle of the valley): {result['flag']}")
    else:
        say(
            "no suggestion: the loss does not fall at any learning rate; find out why with --mode check"
        )
    say(f"written to {folder}: lr_find.png, lr_find.csv, lr_find.json")
    return result


def range_of(optimizer: str) -> tuple[float, float]:
    """The lowest and the highest learning rate of the test, five orders of magnitude apart.

    sgd is tried from 1e-4 to 10; adam, whose useful rates end at 0.02, from 2e-6 to 0.2.

    Args:
      optimizer: a name in `optim.OPTIMIZERS`.
    """
    highest = min(_HIGHEST, _ABOVE_USEFUL * OPTIMIZERS[optimizer].highest_lr)
    return highest / 10**_DECADES, highest


def steps_for(steps_per_epoch: float) -> int:
    """Steps of the test: 100, but fewer where that would be more than 20 epochs; at least 40.

    A network that sees the same few works again and again learns them by heart at any rate.
    """
    return max(_LEAST_STEPS, min(STEPS, math.ceil(_MOST_EPOCHS * steps_per_epoch)))


def _with_rates(setup: Setup, rates: np.ndarray) -> Setup:
    config = config_lib.changed(
        setup.config,
        {"steps": len(rates), "epochs": 0.0, "optim.head_first": 0.0, "ema_decay": 0.0},
    )
    table = jnp.asarray(rates, jnp.float32)
    training = setup.training.with_config(config, schedule=lambda step: table[step])
    return setup.with_training(training)


def _train(setup: Setup, steps: int) -> tuple[list[float], str]:
    """Returns the loss before each step, and why it stopped. A loss that is not finite is left out."""
    frozen = setup.initial_frozen()
    setup, _ = setup.with_features(frozen, seen=())
    source = setup.open_source()
    train_step = setup.compile(source, frozen)
    feed = tqdm(range(steps), desc="lr_find", unit="step", delay=2, leave=False)
    stepping = Stepping(train_step, setup.initial_state(), map(source.batch, feed))
    losses: list[float] = []
    average, lowest = 0.0, math.inf
    for metrics in stepping:
        loss = float(metrics["loss"])
        if not math.isfinite(loss):
            return losses, "the loss was no longer finite"
        losses.append(loss)
        average = float(rules.smoothed(losses)[-1])
        lowest = min(lowest, average)
        if average > rules.DIVERGED * lowest:
            return losses, f"the smoothed loss was {rules.DIVERGED:g} times its lowest value"
    return losses, "all rates were tried"


def _write(folder: Path, result: dict[str, Any], picture: bytes) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("rate", "loss", "smoothed_loss"))
    writer.writerows(zip(result["rates"], result["losses"], result["smoothed"], strict=True))
    write_results(
        folder,
        {
            "lr_find.csv": table.getvalue(),
            "lr_find.json": json_text(result),
            "lr_find.png": picture,
        },
    )
