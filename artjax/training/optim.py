"""Learning-rate schedules and optimizers."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import jax
import optax
from optax.contrib import ReduceLROnPlateauState, reduce_on_plateau

from artjax.models import HEAD
from artjax.training.groups import Groups, flat, nested

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


SOLVER = "lbfgs"
"""The name under which heads on features are solved, in `solving.py`, and no step is taken."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def _promoting(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """The function, with JAX's implicit promotion of dtypes inside of it, whatever is set outside.

    With `jax_numpy_dtype_promotion=strict`, five functions of Optax 0.2.8 fail without it, because of an
    integer count or step: `scale_by_adam`, `reduce_on_plateau`, `cosine_decay_schedule`,
    `piecewise_constant_schedule`, and `piecewise_interpolate_schedule`, from which
    `cosine_onecycle_schedule` is made.
    """

    @functools.wraps(function)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return call


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
    chosen = SCHEDULES[optim.schedule]
    main = chosen.create(optim, steps, warmup)
    if not warmup or chosen.rise:
        return _promoting(main)
    rise = optax.linear_schedule(0.0, peak_lr(optim), warmup)
    return _promoting(optax.join_schedules([rise, main], [warmup]))


def peak_lr(optim: ConfigDict) -> float:
    """The highest learning rate: as set, else the optimizer's own."""
    return float(optim.peak_lr or OPTIMIZERS[optim.name].peak_lr)


def is_solved(config: ConfigDict) -> bool:
    """Whether the heads of a configuration are solved, and not trained in steps."""
    return bool(config.optim.name == SOLVER)


def warmup_steps(optim: ConfigDict, steps: int, steps_per_epoch: float) -> int:
    """Steps in which the learning rate rises: of the warm-up, at most half of the run; or its own."""
    if rise := SCHEDULES[optim.schedule].rise:
        return int(rise * steps)
    wanted = optim.warmup_steps or round(optim.warmup_epochs * steps_per_epoch)
    return min(wanted, steps // 2)


def _constant(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    return optax.constant_schedule(peak_lr(optim))


def _cosine(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Decays to `peak_lr * end_lr_fraction`: Loshchilov & Hutter, SGDR (2017), eq. 5, one period."""
    remaining = max(1, steps - warmup)
    return optax.cosine_decay_schedule(peak_lr(optim), remaining, alpha=optim.end_lr_fraction)


def _linear(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Decays linearly to `peak_lr * end_lr_fraction`."""
    peak = peak_lr(optim)
    return optax.linear_schedule(peak, peak * optim.end_lr_fraction, max(1, steps - warmup))


def _step(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Multiplies by `drop_factor` at each of `drop_at`: fractions of all steps, warm-up included."""
    drops = {round(at * steps) - warmup: optim.drop_factor for at in optim.drop_at}
    return optax.piecewise_constant_schedule(peak_lr(optim), drops)


def _one_cycle(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """Rises from a 25th of `peak_lr`, then falls to nearly 0, both along a cosine; optax's shares.

    Smith & Topin, Super-Convergence (2018), section 3. They also lower the momentum meanwhile; here it
    stays.
    """
    # The rise of a shorter run would have no step.
    return optax.cosine_onecycle_schedule(max(4, steps), peak_lr(optim), pct_start=_ONE_CYCLE_RISE)


def _restarts(optim: ConfigDict, steps: int, warmup: int) -> optax.Schedule:
    """`periods` equal periods of `_cosine`: Loshchilov & Hutter, SGDR (2017), eq. 5, T_mult = 1."""
    remaining = max(1, steps - warmup)
    count = min(optim.periods, remaining)
    ends = [round(remaining * period / count) for period in range(count + 1)]
    periods = [
        optax.cosine_decay_schedule(peak_lr(optim), end - start, alpha=optim.end_lr_fraction)
        for start, end in itertools.pairwise(ends)
    ]
    return optax.join_schedules(periods, ends[1:-1])


_ONE_CYCLE_RISE = 0.3


class Schedule(NamedTuple):
    """A schedule that `--config.optim.schedule` can choose.

    Attributes:
      create: (`optim` section, steps, warm-up steps) → the schedule after the warm-up.
      words: what the learning rate does, for people.
      rise: share of the run in which it rises by itself, so that it has no warm-up before it; or 0.
    """

    create: Callable[[ConfigDict, int, int], optax.Schedule]
    words: str
    rise: float = 0.0


SCHEDULES: Mapping[str, Schedule] = {
    "constant": Schedule(_constant, "the learning rate stays the same"),
    "cosine": Schedule(_cosine, "the learning rate falls along a cosine to the end of the run"),
    "linear": Schedule(_linear, "the learning rate falls evenly to the end of the run"),
    "step": Schedule(_step, "the learning rate drops at fixed shares of the run"),
    "one_cycle": Schedule(
        _one_cycle,
        "the learning rate rises for 30 % of the run and then falls to nearly 0; allows higher rates",
        rise=_ONE_CYCLE_RISE,
    ),
    "restarts": Schedule(
        _restarts,
        "the learning rate falls and returns to its peak several times; leaves poor minima",
    ),
    "plateau": Schedule(
        _constant, "the learning rate falls when the validation loss no longer does"
    ),
}


def create_optimizer(
    optim: ConfigDict,
    schedule: optax.Schedule,
    groups: Groups | None = None,
    head_first: tuple[int, int] = (0, 0),
    *,
    weight_decay: Any = None,
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
      weight_decay: in place of that of the section; may be traced, float32 scalar.
    """
    decay = _weight_decay(optim.weight_decay if weight_decay is None else weight_decay, groups)
    transforms = OPTIMIZERS[optim.name].create(optim, decay)
    if optim.clip_norm > 0:
        transforms.insert(0, optax.clip_by_global_norm(optim.clip_norm))
    transforms.append(optax.scale_by_learning_rate(schedule))
    if optim.schedule == "plateau":
        transforms.append(_scale_by_plateau(optim))
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


def _lion(
    optim: ConfigDict, decay: optax.GradientTransformation
) -> list[optax.GradientTransformation]:
    """The sign of an interpolated momentum; weight decay is added to the update.

    Chen et al., Symbolic Discovery of Optimization Algorithms (2023), algorithm 2. `momentum` is its
    beta 1.
    """
    return [optax.scale_by_lion(b1=optim.momentum), decay]


def _lamb(
    optim: ConfigDict, decay: optax.GradientTransformation
) -> list[optax.GradientTransformation]:
    """AdamW's update of each array, scaled to the norm of the array.

    You et al., Large Batch Optimization for Deep Learning (2020), algorithm 2. The epsilon is optax's.
    """
    return [_scale_by_adam(optim, eps=1e-6), decay, optax.scale_by_trust_ratio()]


def _scale_by_adam(optim: ConfigDict, **settings: float) -> optax.GradientTransformation:
    """`momentum` is Adam's first decay rate; with `nesterov`, Dozat's Nadam (2016)."""
    adam = optax.scale_by_adam(b1=optim.momentum, nesterov=optim.nesterov, **settings)
    return adam._replace(update=_promoting(adam.update))


class Optimizer(NamedTuple):
    """An optimizer that `--config.optim.name` can choose.

    Attributes:
      create: (the `optim` section, the weight decay) → what follows on clipping, up to the learning
        rate.
      words: what it does, for people.
      peak_lr: the learning rate where none is set.
      highest_lr: a higher learning rate is one that was meant for another optimizer.
    """

    create: Callable[[ConfigDict, optax.GradientTransformation], list[optax.GradientTransformation]]
    words: str
    peak_lr: float
    highest_lr: float


OPTIMIZERS: Mapping[str, Optimizer] = {
    # Goyal et al., Accurate, Large Minibatch SGD (2017), section 5.1: 0.1 for a batch of 256.
    "sgd": Optimizer(_sgd, "follows the gradient with momentum", 0.1, math.inf),
    # Kingma & Ba, Adam (2015), algorithm 1.
    "adam": Optimizer(_adam, "adapts the rate of each parameter; less to tune", 0.001, 0.02),
    "adamw": Optimizer(
        _adamw,
        "adapts the rate of each parameter, with weight decay apart; usual for transformers",
        0.001,
        0.02,
    ),
    # Chen et al. (2023), section 5: 3 to 10 times smaller than that of AdamW.
    "lion": Optimizer(
        _lion,
        "takes only the sign of the update: half of Adam's memory; wants more weight decay than adamw",
        0.0001,
        0.005,
    ),
    SOLVER: Optimizer(
        lambda optim, decay: [],
        "solves the heads on features exactly, by L-BFGS; epochs, learning rate and weight decay do not "
        "count",
        0.0,
        math.inf,
    ),
    # You et al. (2020), for ResNet-50: 4 / (2^3 * 100) for a batch of 512, 0.04 for 32,768.
    "lamb": Optimizer(
        _lamb, "scales the update of each layer to its weights; for very large batches", 0.005, 0.08
    ),
}


def _plateau_rule(optim: ConfigDict) -> optax.GradientTransformationExtraArgs:
    rule = reduce_on_plateau(factor=optim.plateau_factor, patience=optim.plateau_patience)
    return rule._replace(update=_promoting(rule.update))


def _scale_by_plateau(optim: ConfigDict) -> optax.GradientTransformation:
    """Multiplies by the scale of `optax.contrib.reduce_on_plateau`, which `after_validation` changes."""

    def update(updates: Any, state: ReduceLROnPlateauState, params: Any = None) -> Any:
        return jax.tree.map(lambda leaf: state.scale * leaf, updates), state

    return optax.GradientTransformation(_plateau_rule(optim).init, update)


def after_validation(optim: ConfigDict, opt_state: Any, loss: jax.Array) -> Any:
    """The optimizer's state after a validation. Pure.

    With the schedule `plateau` the learning rate falls to its `plateau_factor` after `plateau_patience`
    validations whose loss was not lower than the lowest so far, by 1 part in 10,000.

    Args:
      optim: the `optim` section of a configuration.
      opt_state: the state of an optimizer from `create_optimizer`.
      loss: of the validation, float32 scalar.
    """
    rule = _plateau_rule(optim)
    return jax.tree.map(
        lambda state: rule.update({}, state, value=loss)[1] if _is_plateau(state) else state,
        opt_state,
        is_leaf=_is_plateau,
    )


def plateau_scale(opt_state: Any) -> jax.Array | None:
    """The factor of the learning rate that validations have made, float32 scalar; None without it."""
    states = jax.tree.leaves(opt_state, is_leaf=_is_plateau)
    return next((state.scale for state in states if _is_plateau(state)), None)


def _is_plateau(state: Any) -> bool:
    return isinstance(state, ReduceLROnPlateauState)


def _weight_decay(weight_decay: Any, groups: Groups | None) -> optax.GradientTransformation:
    if groups is None or groups.uniform:
        return optax.add_decayed_weights(weight_decay, mask=kernels_only)
    factors = groups.factors("decay")

    def add(updates: Any, params: Any) -> Any:
        def of_leaf(update: jax.Array, param: jax.Array, factor: float, kernel: bool) -> jax.Array:
            return update + weight_decay * factor * param if kernel else update

        return jax.tree.map(of_leaf, updates, params, factors, kernels_only(params))

    return optax.stateless(add)


def _scale_by_tree(factors: Any) -> optax.GradientTransformation:
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda update, f: f * update, updates, factors)
    )


def kernels_only(params: Any) -> Any:
    """A mask: True for convolution and dense kernels, False for biases and BatchNorm's scale."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
