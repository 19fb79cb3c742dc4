"""Learning-rate schedules and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import optax

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


def create_schedule(optim: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Builds the learning-rate schedule: a linear warm-up from 0, then one of `SCHEDULES`.

    Args:
      optim: the `optim` section of a configuration.
      steps: length of the whole run in steps.
      steps_per_epoch: number of global batches in one pass over the training split.

    Returns:
      A function from step (int) to learning rate (float).
    """
    warmup = warmup_steps(optim, steps, steps_per_epoch)
    main = SCHEDULES[optim.schedule](optim, steps, warmup)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, optim.peak_lr, warmup), main], [warmup])


def warmup_steps(optim: ConfigDict, steps: int, steps_per_epoch: float) -> int:
    """Length of the warm-up in steps, at most half of the run."""
    wanted = optim.warmup_steps or round(optim.warmup_epochs * steps_per_epoch)
    return min(wanted, steps // 2)


def _constant(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    return optax.constant_schedule(optim.peak_lr)


def _cosine(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Decays to `peak_lr * end_lr_fraction`: Loshchilov & Hutter, SGDR (2017), eq. 5, one period."""
    remaining = max(1, steps - warmup)
    return optax.cosine_decay_schedule(optim.peak_lr, remaining, alpha=optim.end_lr_fraction)


def _linear(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Decays linearly to `peak_lr * end_lr_fraction`."""
    end = optim.peak_lr * optim.end_lr_fraction
    return optax.linear_schedule(optim.peak_lr, end, max(1, steps - warmup))


def _step(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Multiplies by `drop_factor` at each of `drop_at`: fractions of all steps, warm-up included."""
    drops = {round(at * steps) - warmup: optim.drop_factor for at in optim.drop_at}
    return optax.piecewise_constant_schedule(optim.peak_lr, drops)


SCHEDULES: Mapping[str, Callable[[ConfigDict, int, int], optax.Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "step": _step,
}
"""Name → function (`optim` section, steps, warm-up steps) → the schedule after the warm-up."""


def create_optimizer(optim: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Chains gradient clipping, the optimizer and the schedule.

    Clipping by the global norm (Pascanu et al., On the difficulty of training recurrent neural networks
    (2013), section 3.2) comes first, so weight decay is never clipped.
    """
    transforms = OPTIMIZERS[optim.name].create(optim)
    if optim.clip_norm > 0:
        transforms.insert(0, optax.clip_by_global_norm(optim.clip_norm))
    return optax.chain(*transforms, optax.scale_by_learning_rate(schedule))


def _sgd(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    momentum = optax.trace(optim.momentum, optim.nesterov) if optim.momentum else optax.identity()
    return [_weight_decay(optim), momentum]


def _adam(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    return [_weight_decay(optim), _scale_by_adam(optim)]


def _adamw(optim: ConfigDict) -> list[optax.GradientTransformation]:
    """Weight decay is added to the update.

    Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2.
    """
    return [_scale_by_adam(optim), _weight_decay(optim)]


def _scale_by_adam(optim: ConfigDict) -> optax.GradientTransformation:
    """`momentum` is Adam's first decay rate; with `nesterov`, Dozat's Nadam (2016)."""
    return optax.scale_by_adam(b1=optim.momentum, nesterov=optim.nesterov)


class Optimizer(NamedTuple):
    """An optimizer that `--config.optim.name` can choose.

    Attributes:
      create: the `optim` section → what follows on clipping, up to the learning rate.
      highest_lr: a higher learning rate is one that was meant for another optimizer.
    """

    create: Callable[[ConfigDict], list[optax.GradientTransformation]]
    highest_lr: float


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer(_sgd, math.inf),
    "adam": Optimizer(_adam, 0.02),
    "adamw": Optimizer(_adamw, 0.02),
}


def _weight_decay(optim: ConfigDict) -> optax.GradientTransformation:
    return optax.add_decayed_weights(optim.weight_decay, mask=kernels_only)


def kernels_only(params: Any) -> Any:
    """A mask: True for convolution and dense kernels, False for biases and BatchNorm's scale."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
