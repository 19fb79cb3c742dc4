"""Learning-rate schedules, and the chain from gradient to update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import optax

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict


def create_schedule(optim: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Builds the learning rate as a function of the step.

    A linear warm-up from 0 to `peak_lr`, then over the remaining steps:
    `constant`; `cosine` (Loshchilov & Hutter, SGDR (2017), equation 5, one period) or `linear` down to
    `peak_lr * end_lr_fraction`; or `step`, multiplied by `drop_factor` at each fraction in `drop_at`
    (of all steps, warm-up included).

    Args:
      optim: the `optim` section of a configuration.
      steps: length of the whole run.
      steps_per_epoch: global batches in one pass over the training split.

    Returns:
      A function from step (int) to learning rate (float).
    """
    warmup = warmup_steps(optim, steps, steps_per_epoch)
    remaining = max(1, steps - warmup)
    if optim.schedule == "constant":
        main = optax.constant_schedule(optim.peak_lr)
    elif optim.schedule == "cosine":
        main = optax.cosine_decay_schedule(optim.peak_lr, remaining, alpha=optim.end_lr_fraction)
    elif optim.schedule == "linear":
        end = optim.peak_lr * optim.end_lr_fraction
        main = optax.linear_schedule(optim.peak_lr, end, remaining)
    elif optim.schedule == "step":
        drops = {round(at * steps) - warmup: optim.drop_factor for at in optim.drop_at}
        main = optax.piecewise_constant_schedule(optim.peak_lr, drops)
    else:
        raise ValueError(f"unknown schedule {optim.schedule!r}")
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, optim.peak_lr, warmup), main], [warmup])


def warmup_steps(optim: ConfigDict, steps: int, steps_per_epoch: float) -> int:
    """Length of the warm-up in steps, never more than half of the run."""
    wanted = optim.warmup_steps or round(optim.warmup_epochs * steps_per_epoch)
    return min(wanted, steps // 2)


def create_optimizer(optim: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Chains clipping, the optimizer and the schedule.

    The gradient is clipped by its global norm first (Pascanu et al., On the difficulty of training
    recurrent neural networks (2013), section 3.2), so that weight decay is never clipped. With `sgd`
    and `adam` weight decay is added to the gradient (an L2 penalty); with `adamw` to the update
    (Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2).
    """
    decay = optax.add_decayed_weights(optim.weight_decay, mask=kernels_only)
    if optim.name == "sgd":
        momentum = (
            optax.trace(optim.momentum, optim.nesterov) if optim.momentum else optax.identity()
        )
        parts = [decay, momentum]
    elif optim.name == "adam":
        parts = [decay, optax.scale_by_adam()]
    elif optim.name == "adamw":
        parts = [optax.scale_by_adam(), decay]
    else:
        raise ValueError(f"unknown optimizer {optim.name!r}")
    if optim.clip_norm > 0:
        parts.insert(0, optax.clip_by_global_norm(optim.clip_norm))
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def kernels_only(params: Any) -> Any:
    """True for convolution and dense kernels, False for biases and BatchNorm's scale and bias."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
