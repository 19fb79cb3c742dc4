"""`--mode check`: is this set-up able to learn at all? About a minute, before hours of training.

A network that cannot learn one batch by heart will not learn a collection. The checks follow Karpathy, A
Recipe for Training Neural Networks (2019), step 2: verify the loss at the start, overfit one batch, look
at what goes into the network.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax.data import batches
from artjax.data.canvases import Split
from artjax.data.sources import Source
from artjax.evaluation.metrics import log_softmax
from artjax.models import HEAD
from artjax.modes.check import verdicts
from artjax.modes.check.held_out import try_labels
from artjax.modes.check.verdicts import CANNOT_TELL, FAILED, Verdict
from artjax.modes.check.watching import Seen, watch_gradients
from artjax.modes.check.works import Works
from artjax.runtime import mesh as mesh_lib
from artjax.train import Setup
from artjax.training.experiment import Experiment, TrainStep
from artjax.training.groups import flat
from artjax.training.layers import table
from artjax.trial import open_trial, write_files

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


def check(
    config: ConfigDict,
    workdir: Path,
    data_dir: Path,
    canvas_dir: Path | None = None,
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
      workdir: the folder of the run; it need not exist.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.
      devices: the devices to use; default: all devices.
      say: prints a line.

    Returns:
      The contents of `check.json`: `ok` (whether no check failed), `checks` (name, verdict, text and
      numbers of each), `layers`, and the configuration.

    Raises:
      ArtjaxError: if the configuration is invalid, or data or weights cannot be opened.
    """
    start = time.perf_counter()
    setup = _prepared(
        open_trial(config, workdir, data_dir, canvas_dir, mode="check", devices=devices)
    )
    experiment = setup.experiment
    checked = experiment.config
    say(
        f"check: {' and '.join(checked.task)} on {setup.data.prepared.name}, {checked.model.name} at "
        f"{checked.image_size} px, {mesh_lib.describe(experiment.mesh)}"
    )
    layers = experiment.layers()
    for line in table(layers):
        say(line)
    found: list[Verdict] = []

    def report(verdict: Verdict) -> None:
        found.append(verdict)
        say(str(verdict))

    _look(setup, config.batch_size, report)
    report(_frozen(setup))
    learns, train_step = _overfit(setup, report, say)
    for task in experiment.classes:
        if learns:
            report(verdicts.labels(task, *try_labels(setup, train_step, task)))
        else:
            why = "a network that does not learn one batch says nothing about labels"
            report(verdicts.labels(task, None, why))
    result = {
        "ok": all(verdict.verdict != FAILED for verdict in found),
        "checks": [asdict(verdict) for verdict in found],
        "layers": [asdict(layer) for layer in layers],
        "parameters": sum(layer.parameters for layer in layers),
        "flops": sum(layer.flops for layer in layers),
        "seconds": time.perf_counter() - start,
        "config": config.to_dict(),
    }
    text = json.dumps(_finite(result), indent=2, allow_nan=False) + "\n"
    write_files(workdir / "check", {"check.json": text})
    say(
        f"{_summary(found)} ({result['seconds']:.0f} s); written to {workdir / 'check' / 'check.json'}"
    )
    return result


def _summary(found: Sequence[Verdict]) -> str:
    failed = [verdict.name for verdict in found if verdict.verdict == FAILED]
    open_ = [verdict.name for verdict in found if verdict.verdict == CANNOT_TELL]
    parts = [f"FAILED: {', '.join(failed)}"] if failed else ["nothing failed"]
    if open_:
        parts.append(f"cannot tell: {', '.join(open_)}")
    return "check: " + "; ".join(parts)


def _prepared(setup: Setup) -> Setup:
    """The set-up with the network that is checked: the same, but for what makes steps differ."""
    experiment = setup.experiment
    own = experiment.config
    config = type(own)(own.to_dict())
    config.batch_size = _batch_size(experiment)
    config.steps, config.epochs = STEPS, 0.0
    config.accumulate, config.ema_decay, config.features.views = 1, 0.0, 0
    config.model.dropout = 0.0
    for name, value in config.augment.items():
        config.augment[name] = "none" if isinstance(value, str) else type(value)()
    config.augment.min_area = config.augment.max_stretch = 1.0
    config.loss.class_weights, config.loss.focal_gamma, config.optim.sam_rho = "none", 0.0, 0.0
    config.optim.schedule = "constant"
    config.optim.warmup_steps, config.optim.warmup_epochs = _WARMUP_STEPS, 0.0
    config.optim.head_first, config.optim.label_smoothing = 0.0, 0.0
    setup = replace(setup, experiment=experiment.with_config(config, watch=watch_gradients()))
    setup.experiment.frozen = setup.initial_frozen()
    return setup


def _batch_size(experiment: Experiment) -> int:
    """A multiple of the devices, small enough for a fast step, and at most the run's."""
    size = min(BATCH_SIZE, experiment.config.batch_size)
    on_cpu = experiment.mesh.devices.flat[0].platform == "cpu"
    if on_cpu and size * experiment.flops_per_image > _LARGE_GFLOP * 1e9:
        size = min(size, _BATCH_SIZE_OF_LARGE)
    return -(-size // experiment.mesh.size) * experiment.mesh.size


def _look(setup: Setup, batch_size: int, report: Callable[[Verdict], None]) -> None:
    """The first batch of the run: loss, pictures and classes."""
    experiment, train = setup.experiment, setup.splits["train"]
    size = min(batch_size or BATCH_SIZE, _MOST_PICTURES)
    indices = batches.batch_indices(experiment.config.seed, 0, size, len(train))
    labels = {task: of_task[indices] for task, of_task in train.labels.items()}
    heads = setup.pretrained.heads if setup.pretrained else ()
    losses = _first_losses(setup, train, indices)
    report(verdicts.first_loss(losses, experiment.classes, heads))
    report(verdicts.pictures(Works(setup, indices).crops()))
    report(verdicts.classes_of_batch(labels, experiment.classes))


def _first_losses(setup: Setup, train: Split, indices: np.ndarray) -> dict[str, float]:
    """The cross-entropy of each task before the first step; nan where no label is known."""
    variables = setup.initial_state().variables
    losses = {}
    for task, logits in Works(setup, indices).logits(variables).items():
        labels = train.labels[task][indices]
        known = np.flatnonzero(labels >= 0)
        chosen = -log_softmax(logits)[known, labels[known]]
        losses[task] = float(chosen.mean()) if len(known) else float("nan")
    return losses


def _frozen(setup: Setup) -> Verdict:
    experiment = setup.experiment
    paths = flat(experiment.frozen.get("params", {}))
    untrained = [
        path
        for path, leaf in paths.items()
        if f"params/{path}" not in setup.arrays
        and (experiment.part_of(path) == HEAD or np.ptp(np.asarray(leaf)) > 0)
    ]
    return verdicts.frozen(list(paths), untrained, experiment.frozen_parameters)


def _overfit(
    setup: Setup, report: Callable[[Verdict], None], say: Callable[[str], None]
) -> tuple[bool, TrainStep]:
    """Trains on one batch again and again. Returns whether it was learnt, and the compiled step."""
    experiment = setup.experiment
    batch = Works(setup, _fixed_batch(setup)).batch()
    _, train_step = experiment.compile_from(Source("host", "one batch", lambda step: batch))
    state = setup.initial_state()
    before = _on_host(state.params)
    goal = _GOAL * len(experiment.classes)
    losses: list[float] = []
    top1: list[float] = []
    start = time.perf_counter()
    for step in range(STEPS):
        state, metrics = train_step(state, batch)
        losses.append(float(metrics["loss"]))
        top1.append(float(metrics["top1"]))
        if step == 1:
            seconds = (time.perf_counter() - start) / 2
            say(
                f"one batch of {experiment.config.batch_size} works, at most {STEPS} steps of "
                f"{seconds:.2g} s …"
            )
        if not np.isfinite(losses[-1]) or (losses[-1] <= goal and top1[-1] == 1):
            break
    seen: Seen = state.opt_state[0]
    largest = {path: float(norm) for path, norm in flat(jax.device_get(seen.largest)).items()}
    finite = {path: bool(fine) for path, fine in flat(jax.device_get(seen.finite)).items()}
    moved = _moved(before, _on_host(state.params))
    report(verdicts.gradients(largest, finite, len(losses)))
    report(verdicts.movement(moved, largest, len(losses)))
    peak_lr = experiment.config.optim.peak_lr
    verdict = verdicts.one_batch(losses, top1, goal, experiment.config.batch_size, peak_lr)
    report(verdict)
    return verdict.verdict == verdicts.OK, train_step


def _fixed_batch(setup: Setup) -> np.ndarray:
    """Works of the first epoch, those first whose labels are all known."""
    config, train = setup.experiment.config, setup.splits["train"]
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


def _finite(value: Any) -> Any:
    """The same for JSON, which has no nan and no infinity: these become None."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
