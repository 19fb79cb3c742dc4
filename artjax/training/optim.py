"""Learning-rate schedules and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import optax

from artjax.models import HEAD
from artjax.training.groups import Groups, flat, nested

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


def create_optimizer(
    optim: ConfigDict,
    schedule: optax.Schedule,
    groups: Groups | None = None,
    head_first: tuple[int, int] = (0, 0),
) -> optax.GradientTransformation:
    """Chains gradient clipping, the optimizer and the schedule.

    Clipping by the global norm (Pascanu et al., On the difficulty of training recurrent neural networks
    (2013), section 3.2) comes first, so weight decay is never clipped.

    Args:
      optim: the `optim` section of a configuration.
      schedule: step → learning rate.
      groups: factors of rate and weight decay; None if all parameters are trained alike.
      head_first: for so many steps only the heads are trained; then the rate of the trunk rises linearly
        over so many steps. Kumar et al., Fine-Tuning can Distort Pretrained Features (2022), section 3.
    """
    decay = _weight_decay(optim, groups)
    transforms = OPTIMIZERS[optim.name].create(optim, decay)
    if optim.clip_norm > 0:
        transforms.insert(0, optax.clip_by_global_norm(optim.clip_norm))
    transforms.append(optax.scale_by_learning_rate(schedule))
    if groups is not None and not groups.uniform:
        transforms.append(_scale_by_tree(groups.factors("rate")))
    if head_first[0]:
        assert groups is not None
        later = optax.linear_schedule(0.0, 1.0, max(1, head_first[1]), head_first[0])
        trunk = nested(
            {path: groups.part_of(path) != HEAD for path in flat(groups.factors("rate"))}
        )
        transforms.append(optax.masked(optax.scale_by_schedule(later), trunk))
    return optax.chain(*transforms)


def _sgd(
    optim: ConfigDict, decay: optax.GradientTransformation
) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    momentum = optax.trace(optim.momentum, optim.nesterov) if optim.momentum else optax.identity()
    return [decay, momentum]


def _adam(
    optim: ConfigDict, decay: optax.GradientTransformation
) -> list[optax.GradientTransformation]:
    """Weight decay is added to the gradient (an L2 penalty)."""
    return [decay, _scale_by_adam(optim)]


def _adamw(
    optim: ConfigDict, decay: optax.GradientTransformation
) -> list[optax.GradientTransformation]:
    """Weight decay is added to the update.

    Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2.
    """
    return [_scale_by_adam(optim), decay]


def _scale_by_adam(optim: ConfigDict) -> optax.GradientTransformation:
    """`momentum` is Adam's first decay rate; with `nesterov`, Dozat's Nadam (2016)."""
    return optax.scale_by_adam(b1=optim.momentum, nesterov=optim.nesterov)


class Optimizer(NamedTuple):
    """An optimizer that `--config.optim.name` can choose.

    Attributes:
      create: (the `optim` section, the weight decay) → what follows on clipping, up to the learning
        rate.
      highest_lr: a higher learning rate is one that was meant for another optimizer.
    """

    create: Callable[[ConfigDict, optax.GradientTransformation], list[optax.GradientTransformation]]
    highest_lr: float


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer(_sgd, math.inf),
    "adam": Optimizer(_adam, 0.02),
    "adamw": Optimizer(_adamw, 0.02),
}


def _weight_decay(optim: ConfigDict, groups: Groups | None) -> optax.GradientTransformation:
    if groups is None or groups.uniform:
        return optax.add_decayed_weights(optim.weight_decay, mask=kernels_only)
    factors = groups.factors("decay")

    def add(updates: Any, params: Any) -> Any:
        def of_leaf(update: jax.Array, param: jax.Array, factor: float, kernel: bool) -> jax.Array:
            return update + optim.weight_decay * factor * param if kernel else update

        return jax.tree.map(of_leaf, updates, params, factors, kernels_only(params))

    return optax.stateless(add)


def _scale_by_tree(factors: Any) -> optax.GradientTransformation:
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda update, f: f * update, updates, factors)
    )


def kernels_only(params: Any) -> Any:
    """A mask: True for convolution and dense kernels, False for biases and BatchNorm's scale."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
