"""Heads on features that are solved, not trained in steps: the strength of the penalty, and the state.

The strength is the one whose heads have the lowest loss on works of train that they did not see, in a
cross-validation. A validation split of a small collection has some tens of works, which say little; and
the probability of the true class, by which checkpoints are chosen, favours heads that are sure of
themselves, right or wrong: docs/performance.md has the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

from artjax import config as config_lib
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.training import linear_heads, optim
from artjax.training.groups import flat, nested
from artjax.training.network import Network
from artjax.training.networks import network_of
from artjax.training.state import TrainState

if TYPE_CHECKING:
    from artjax.training.training import Training

STRENGTHS = tuple(float(f"{10 ** (half / 2):.3g}") for half in range(-4, 5))
"""Penalties that are tried: 0.01 to 100, in features of mean variance 1."""

IN_STEPS: Mapping[str, Any] = {
    "optim.name": "adamw",
    "optim.peak_lr": 0.003,
    "optim.weight_decay": 0.01,
    "epochs": 100.0,
    "steps": 0,
    "features.views": 4,
}
"""Fields for modes that take steps, in place of the solver."""

PARTS = 5
# One part of so many works says as much as five of fewer.
_ALL_PARTS_UP_TO = 5_000


class Solved(NamedTuple):
    """The heads of a run.

    Attributes:
      state: with these heads.
      metrics: of the step that they count as, as a training step returns them.
      rows: for `metrics.jsonl`, one for each strength and task.
      lines: the same in words, one for each task.
    """

    state: TrainState
    metrics: dict[str, np.float32]
    rows: list[dict[str, float]]
    lines: list[str]


class _OfTask(NamedTuple):
    kernel: np.ndarray  # float32 [C, K]
    bias: np.ndarray  # float32 [K]
    loss: float  # of train, with class weights and smoothing as in a step
    top1: float
    rows: list[dict[str, float]]
    line: str


def check(training: Training) -> None:
    """Raises `ConfigError` unless all that is trained are linear heads on features."""
    network, config = training.network, training.config
    trained = {path.rpartition("/")[0] for path in flat(network.abstract_variables["params"])}
    heads = {f"head_{task}" for task in network.classes}
    name = "--config.optim.name=lbfgs solves linear heads on features"
    if not config.features.views:
        raise ConfigError(
            f"{name}: set --config.features.views=1 and a frozen trunk (configs/probe.py)"
        )
    if trained != heads or not network.freezes_trunk:
        raise ConfigError(
            f"{name}, and {', '.join(sorted(trained - heads)) or 'a stage after them'} is to be "
            "trained, too; use --config.optim.name=adamw"
        )
    if len(network.feature_shape) != 1:
        raise ConfigError(
            f"{name}, and those of {config.model.name} have height and width; use adamw"
        )
    for field, value in (
        ("model.dropout", config.model.dropout),
        ("loss.focal_gamma", config.loss.focal_gamma),
        ("optim.sam_rho", config.optim.sam_rho),
        ("ema_decay", config.ema_decay),
    ):
        if value:
            raise ConfigError(
                f"{name}: --config.{field}={value:g} needs steps; set it to 0, or use adamw"
            )


def check_start(training: Training) -> None:
    """Raises `ConfigError` unless `optim.head_solved` can solve the heads before the first step."""
    config = training.config
    name = "--config.optim.head_solved"
    if not config.model.weights:
        raise ConfigError(
            f"{name} needs a pretrained trunk, whose outputs tell the classes apart: set "
            "--config.model.weights, or head_solved to false"
        )
    if optim.is_solved(config):
        raise ConfigError(f"{name}: with --config.optim.name=lbfgs nothing is trained after it")
    if jax.process_count() > 1:
        raise ConfigError(
            f"{name} is for one process; set it to false, and --config.optim.head_first=0.3"
        )


def probe_of(training: Training) -> Network:
    """The network of a training as one whose trunk is frozen as a whole."""
    network = training.network
    changes = {"optim.groups": (("(?!head_).*", 0.0),), "features.views": 1}
    config = config_lib.changed(training.config, changes)
    return network_of(config, network.classes, network.mesh)


def solve_start(
    training: Training, state: TrainState, train: Split, groups: np.ndarray
) -> tuple[TrainState, list[str]]:
    """The state at step 0 with solved heads, and a line on each; the arguments are those of `solve`."""
    solved = solve(training, state, train, groups)
    params = solved.state.params
    ema = state.ema
    if ema is not None:
        ema = {**ema, "params": jax.tree.map(jnp.copy, params)}  # donated, as in `create_state`
    return state.replace(params=params, ema=ema), solved.lines


def solve(training: Training, state: TrainState, train: Split, groups: np.ndarray) -> Solved:
    """Solves the head of each task.

    Args:
      training: of linear heads on features; see `check`.
      state: at step 0.
      train: the training split; its images are features, float16 [N, C].
      groups: of each work, int [N]: what looks alike is in one part of the cross-validation.
    """
    features = np.asarray(train.images[train.rows], np.float32)
    params = flat(state.params)
    found = {}
    for task in training.network.classes:
        found[task] = _solve_task(training, task, features, train.labels[task], groups)
        for name in ("kernel", "bias"):
            path = f"head_{task}/{name}"
            new = getattr(found[task], name).astype(params[path].dtype)
            params[path] = jax.device_put(new, params[path].sharding)
    # A step of its own, so that checkpoints, validation and evaluation are those of any run.
    state = state.replace(step=state.step + 1, params=nested(params))
    metrics = {
        "loss": sum(of.loss for of in found.values()),
        "top1": np.mean([of.top1 for of in found.values()]),
        "learning_rate": 0.0,
        "gradient_norm": 0.0,
    }
    return Solved(
        state,
        {name: np.float32(value) for name, value in metrics.items()},
        [row for of in found.values() for row in of.rows],
        [of.line for of in found.values()],
    )


def _solve_task(
    training: Training, task: str, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> _OfTask:
    classes = training.network.classes[task]
    known = labels >= 0
    features, labels, groups = features[known], labels[known], groups[known]
    weights = training.class_weights
    of_works = np.ones(len(labels)) if weights is None else weights[task][labels].astype(float)
    smoothing = training.config.optim.label_smoothing
    targets = np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes
    strengths = np.asarray(training.config.optim.l2 or STRENGTHS, float)
    rows, chosen = _cross_validated(
        features, targets, labels, of_works, parts_of(labels, groups), strengths
    )
    best = linear_heads.solve(features, targets, of_works[None], strengths[chosen : chosen + 1])
    kernel, bias = best.kernel[0, 0], best.bias[0, 0]
    log_p = log_softmax(features @ kernel + bias, axis=-1)
    top1 = float((log_p.argmax(-1) == labels).mean()) if len(labels) else 0.0
    loss = -float((of_works[:, None] * targets * log_p).sum() / max(of_works.sum(), 1e-12))
    of = f" of {task}" if len(training.network.classes) > 1 else ""
    line = f"head{of}: L2 penalty {strengths[chosen]:g}"
    if rows:
        named = f"{task}/" if of else ""
        row = rows[chosen]
        line += (
            f", the lowest of {len(strengths)} losses in a cross-validation of train: "
            f"{row['heads/loss']:.4f}, top-1 {row['heads/top1']:.1%}"
        )
        if chosen in (0, len(strengths) - 1):
            line += "; at the end of those tried (--config.optim.l2)"
        rows = [{n.replace("heads/", f"heads/{named}"): v for n, v in of.items()} for of in rows]
    return _OfTask(kernel, bias, loss, top1, rows, line)


def parts_of(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The part of each work, int [N] in [0, PARTS): classes evenly in all, groups in one.

    It depends on the labels and the groups alone.
    """
    names, first, group = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(0).random(len(names))
    order = np.lexsort((shuffled, labels[first]))
    part = np.empty(len(names), int)
    part[order] = np.arange(len(names)) % PARTS
    return part[group]


def _cross_validated(
    features: np.ndarray,
    targets: np.ndarray,
    labels: np.ndarray,
    of_works: np.ndarray,
    part: np.ndarray,
    strengths: np.ndarray,
) -> tuple[list[dict[str, float]], int]:
    """A row for each strength, and the number of the one with the lowest loss on unseen works."""
    tried = PARTS if len(labels) <= _ALL_PARTS_UP_TO else 1
    if len(strengths) == 1 or len(np.unique(part)) < 2:
        return [], len(strengths) // 2
    weights = of_works * (part != np.arange(tried)[:, None])
    found = linear_heads.solve(features, targets, weights, strengths, linear_heads.ROUGH)
    losses, right, total = np.zeros(len(strengths)), np.zeros(len(strengths)), 0.0
    for number in range(tried):
        unseen = np.flatnonzero(part == number)
        kernels, biases = found.kernel[number], found.bias[number][:, None]
        logits = np.einsum("nc,sck->snk", features[unseen], kernels) + biases
        log_p = log_softmax(logits, axis=-1)
        weight = of_works[unseen]
        total += weight.sum()
        losses -= (weight * log_p[:, np.arange(len(unseen)), labels[unseen]]).sum(1)
        right += (weight * (log_p.argmax(-1) == labels[unseen])).sum(1)
    total = max(total, 1e-12)
    rows = [
        {"heads/l2": float(s), "heads/loss": float(loss / total), "heads/top1": float(r / total)}
        for s, loss, r in zip(strengths, losses, right, strict=True)
    ]
    return rows, int(np.argmin(losses))
