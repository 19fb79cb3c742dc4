"""Learning-rate schedules, and the chain from gradient to update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import optax

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict


def create_schedule(optim: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Builds the learning rate as a function of the step: a linear warm-up from 0, then `SCHEDULES`.

    Args:
      optim: the `optim` section of a configuration.
      steps: length of the whole run.
      steps_per_epoch: global batches in one pass over the training split.

    Returns:
      A function from step (int) to learning rate (float).
    """
    warmup = warmup_steps(optim, steps, steps_per_epoch)
    main = SCHEDULES[optim.schedule](optim, steps, warmup)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, optim.peak_lr, warmup), main], [warmup])


def warmup_steps(optim: ConfigDict, steps: int, steps_per_epoch: float) -> int:
    """Length of the warm-up in steps, never more than half of the run."""
    wanted = optim.warmup_steps or round(optim.warmup_epochs * steps_per_epoch)
    return min(wanted, steps // 2)


def _constant(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    return optax.constant_schedule(optim.peak_lr)


def _cosine(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Down to `peak_lr * end_lr_fraction`: Loshchilov & Hutter, SGDR (2017), equation 5, one period."""
    remaining = max(1, steps - warmup)
    return optax.cosine_decay_schedule(optim.peak_lr, remaining, alpha=optim.end_lr_fraction)


def _linear(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Down to `peak_lr * end_lr_fraction`."""
    end = optim.peak_lr * optim.end_lr_fraction
    return optax.linear_schedule(optim.peak_lr, end, max(1, steps - warmup))


def _step(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Multiplied by `drop_factor` at each fraction in `drop_at` (of all steps, warm-up included)."""
    drops = {round(at * steps) - warmup: optim.drop_factor for at in optim.drop_at}
    return optax.piecewise_constant_schedule(optim.peak_lr, drops)


SCHEDULES: Mapping[str, Callable[[ConfigDict, int, int], optax.Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "step": _step,
}
"""By name: (the `optim` section, steps, warm-up steps) → the learning rate after the warm-up."""


def create_optimizer(optim: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Chains clipping, the optimizer and the schedule.

    The gradient is clipped by its global norm first (Pascanu et al., On the difficulty of training
    recurrent neural networks (2013), section 3.2), so that weight decay is never clipped.
    """
    parts = OPTIMIZERS[optim.name](optim)
    if optim.clip_norm > 0:
        parts.insert(0, optax.clip_by_global_norm(optim.clip_norm))
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def _sgd(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    momentum = optax.trace(optim.momentum, optim.nesterov) if optim.momentum else optax.identity()
    return [_weight_decay(optim), momentum]


def _adam(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    return [_weight_decay(optim), optax.scale_by_adam()]


def _adamw(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the update.

    Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2.
    """
    return [optax.scale_by_adam(), _weight_decay(optim)]


OPTIMIZERS: Mapping[str, Callable[[ConfigDict], list[optax.GradientTransformation]]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}
"""By name: the `optim` section → what follows on clipping, up to the learning rate."""


def _weight_decay(optim: ConfigDict) -> optax.GradientTransformation:
    return optax.add_decayed_weights(optim.weight_decay, mask=kernels_only)


def kernels_only(params: Any) -> Any:
    """True for convolution and dense kernels, False for biases and BatchNorm's scale and bias."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
