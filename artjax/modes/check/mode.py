"""`--mode check`: is this set-up able to learn at all? About a minute, before hours of training.

A network that cannot learn one batch by heart will not learn a collection. The checks follow Karpathy, A
Recipe for Training Neural Networks (2019), step 2: verify the loss at the start, overfit one batch, look
at what goes into the network.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import config as config_lib
from artjax.config.fields import FIELDS
from artjax.data import batches
from artjax.data.sources import Source
from artjax.files import finite, json_text, write_results
from artjax.models import HEAD
from artjax.modes.check import verdicts
from artjax.modes.check.held_out import try_labels
from artjax.modes.check.inputs import network_input
from artjax.modes.check.sources import source
from artjax.modes.check.verdicts import CANNOT_TELL, FAILED, WARNING, Verdict
from artjax.modes.check.watching import Seen, watch_gradients
from artjax.modes.check.works import Works
from artjax.modes.command import Command
from artjax.places import Places
from artjax.runtime import mesh as mesh_lib
from artjax.setup import Setup, open_setup
from artjax.startup_report import first_losses
from artjax.training.groups import flat
from artjax.training.layers import table
from artjax.training.stepping import Stepping
from artjax.training.training import Training, TrainStep

if TYPE_CHECKING:
    from ml_collections import ConfigDict

BATCH_SIZE = 32
# On a CPU, for networks that need more GFLOP than this for the larger one.
_BATCH_SIZE_OF_LARGE, _LARGE_GFLOP = 8, 300.0
STEPS = 120
_WARMUP_STEPS = 10
# Of the mean cross-entropy of a task.
_GOAL = 0.1
_MOST_PICTURES = 256


def run(command: Command) -> int:
    """`--mode check`: exit status 1 if the set-up cannot learn."""
    config, places = command.config_and_places()
    ok = check(config, places)["ok"]
    print(command.next("train" if ok else "describe"))
    return 0 if ok else 1


def check(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Checks a set-up. It writes only `check/check.json` to the workdir.

    The optimizer is the run's own, with its peak learning rate after a short warm-up. Left out are
    augmentation, dropout, label smoothing, class weights, focal loss, SAM, EMA, and training the head
    first.

    Args:
      config: the configuration, with its collection.
      places: the folders; the workdir need not exist.
      devices: the devices to use; default: all devices.
      say: prints a line.

    Returns:
      The contents of `check.json`: `ok` (whether no check failed), `checks` (name, verdict, text and
      numbers of each), `layers`, and the configuration.

    Raises:
      ArtjaxError: if the configuration is invalid, or data or weights cannot be opened.
    """
    start = time.perf_counter()
    of_run = open_setup(config, places, mode="check", devices=devices, say=say)
    with of_run.within_memory():
        return _check(of_run, say, start)


def _check(of_run: Setup, say: Callable[[str], None], start: float) -> dict[str, Any]:
    setup = _prepared(of_run)
    checked, network = setup.config, setup.network
    frozen = setup.initial_frozen()
    say(
        f"check: {' and '.join(checked.task)} on {setup.data.prepared.name}, {checked.model.name} at "
        f"{checked.image_size} px, {mesh_lib.describe(network.mesh)}"
    )
    layers = network.layers()
    for line in table(layers):
        say(line)
    found: list[Verdict] = []

    def report(verdict: Verdict) -> None:
        found.append(verdict)
        say(str(verdict))

    input_first = _look(of_run, setup, frozen, report).verdict == WARNING
    report(_frozen(setup, frozen))
    learns, train_step = _overfit(setup, frozen, report, say, input_first)
    for task in network.classes:
        if learns:
            report(verdicts.labels(task, *try_labels(setup, frozen, train_step, task)))
        else:
            why = "a network that does not learn one batch says nothing about labels"
            report(verdicts.labels(task, None, why))
        if of_files := source(task, setup.data, setup.splits):
            report(of_files)
        else:
            say(f"source of {task}: not known, as no facts of the files are recorded")
    result = {
        "ok": all(verdict.verdict != FAILED for verdict in found),
        "checks": [asdict(verdict) for verdict in found],
        "layers": [asdict(layer) for layer in layers],
        "parameters": sum(layer.parameters for layer in layers),
        "flops": sum(layer.flops for layer in layers),
        "seconds": time.perf_counter() - start,
        "config": of_run.config.to_dict(),
    }
    folder = setup.places.workdir / "check"
    write_results(folder, {"check.json": json_text(result)})
    say(f"{_summary(found)} ({result['seconds']:.0f} s); written to {folder / 'check.json'}")
    written: dict[str, Any] = finite(result)
    return written


def _summary(found: Sequence[Verdict]) -> str:
    failed = [verdict.name for verdict in found if verdict.verdict == FAILED]
    open_ = [verdict.name for verdict in found if verdict.verdict == CANNOT_TELL]
    parts = [f"FAILED: {', '.join(failed)}"] if failed else ["nothing failed"]
    warned = [verdict.name for verdict in found if verdict.verdict == WARNING]
    if warned:
        parts.append(f"warning: {', '.join(warned)}")
    if open_:
        parts.append(f"cannot tell: {', '.join(open_)}")
    return "check: " + "; ".join(parts)


def _prepared(setup: Setup) -> Setup:
    """The set-up with the network that is checked: the same, but for what makes steps differ."""
    plain = {
        name: "none" if isinstance(field.default, str) else type(field.default)()
        for name, field in FIELDS.items()
        if name.startswith("augment.")
    }
    config = config_lib.changed(
        setup.config,
        plain
        | {
            "augment.min_area": 1.0,
            "augment.max_stretch": 1.0,
            "batch_size": _batch_size(setup.training),
            "steps": STEPS,
            "epochs": 0.0,
            "accumulate": 1,
            "ema_decay": 0.0,
            "features.views": 0,
            "model.dropout": 0.0,
            "loss.class_weights": "none",
            "loss.focal_gamma": 0.0,
            "optim.sam_rho": 0.0,
            "optim.schedule": "constant",
            "optim.warmup_steps": _WARMUP_STEPS,
            "optim.warmup_epochs": 0.0,
            "optim.head_first": 0.0,
            "optim.label_smoothing": 0.0,
        },
    )
    return setup.with_training(setup.training.with_config(config, watch=watch_gradients()))


def _batch_size(training: Training) -> int:
    """A multiple of the devices, small enough for a fast step, and at most the run's."""
    size, network = min(BATCH_SIZE, training.config.batch_size), training.network
    if network.platform == "cpu" and size * training.flops_per_image > _LARGE_GFLOP * 1e9:
        size = min(size, _BATCH_SIZE_OF_LARGE)
    return -(-size // network.mesh.size) * network.mesh.size


def _look(
    of_run: Setup, setup: Setup, frozen: Mapping[str, Any], report: Callable[[Verdict], None]
) -> Verdict:
    """The first batch: loss, pictures, classes and input. Returns the verdict on the input."""
    classes = setup.network.classes
    heads = setup.pretrained.heads if setup.pretrained else ()
    variables = setup.network.whole(setup.initial_state().variables, frozen)
    report(verdicts.first_loss(first_losses(of_run, setup.network, variables), classes, heads))
    indices = of_run.first_batch[:_MOST_PICTURES]
    images = Works(setup, indices).crops()
    report(verdicts.pictures(images))
    labels = {task: of[indices] for task, of in setup.splits["train"].labels.items()}
    report(verdicts.classes_of_batch(labels, classes))
    weights = setup.pretrained
    of_input = network_input(
        images,
        setup.network.preprocessing,
        weights.expects if weights else None,
        known=weights is not None and weights.says_input,
    )
    report(of_input)
    return of_input


def _frozen(setup: Setup, frozen: Mapping[str, Any]) -> Verdict:
    network = setup.network
    paths = flat(frozen.get("params", {}))
    untrained = [
        path
        for path, leaf in paths.items()
        if f"params/{path}" not in setup.arrays
        and (network.part_of(path) == HEAD or np.ptp(np.asarray(leaf)) > 0)
    ]
    return verdicts.frozen(list(paths), untrained, network.frozen_parameters)


def _overfit(
    setup: Setup,
    frozen: Mapping[str, Any],
    report: Callable[[Verdict], None],
    say: Callable[[str], None],
    input_first: bool,
) -> tuple[bool, TrainStep]:
    """Trains on one batch again and again. Returns whether it was learnt, and the compiled step."""
    size, tasks = setup.config.batch_size, len(setup.network.classes)
    works = Works(setup, _fixed_batch(setup))
    batch = works.batch_of(works.inputs(frozen), np.arange(size))
    train_step = setup.compile(Source("host", "one batch", lambda step: batch), frozen)
    stepping = Stepping(train_step, setup.initial_state(), itertools.repeat(batch, STEPS))
    before = _on_host(stepping.state.params)
    goal = _GOAL * tasks
    losses: list[float] = []
    top1: list[float] = []
    start = time.perf_counter()
    for metrics in stepping:
        losses.append(float(metrics["loss"]))
        top1.append(float(metrics["top1"]))
        if stepping.step == 2:
            seconds = (time.perf_counter() - start) / 2
            say(f"one batch of {size} works, at most {STEPS} steps of {seconds:.2g} s …")
        if not np.isfinite(losses[-1]) or (losses[-1] <= goal and top1[-1] == 1):
            break
    seen: Seen = stepping.state.opt_state[0]
    largest = {path: float(norm) for path, norm in flat(jax.device_get(seen.largest)).items()}
    finite = {path: bool(fine) for path, fine in flat(jax.device_get(seen.finite)).items()}
    moved = _moved(before, _on_host(stepping.state.params))
    report(verdicts.gradients(largest, finite, len(losses)))
    report(verdicts.movement(moved, largest, len(losses)))
    peak_lr = setup.config.optim.peak_lr
    verdict = verdicts.one_batch(losses, top1, goal, size, peak_lr, input_first)
    report(verdict)
    return verdict.verdict == verdicts.OK, train_step


def _fixed_batch(setup: Setup) -> np.ndarray:
    """Works of the first epoch, those first whose labels are all known."""
    config, train = setup.config, setup.splits["train"]
    order = batches.order(config.seed, 0, len(train))
    unknown = np.sum([of_task[order] < 0 for of_task in train.labels.values()], axis=0)
    return np.resize(order[np.argsort(unknown, kind="stable")], config.batch_size)


def _on_host(params: Any) -> dict[str, np.ndarray]:
    # Copied, because on a CPU the host shares the memory of the state, which is donated.
    return {path: np.array(leaf) for path, leaf in flat(mesh_lib.on_host(params)).items()}


def _moved(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The norm of each parameter's change, as a share of its norm before (of 1, if that was 0)."""
    return {
        path: float(np.linalg.norm(after[path] - value) / (np.linalg.norm(value) or 1.0))
        for path, value in before.items()
    }
