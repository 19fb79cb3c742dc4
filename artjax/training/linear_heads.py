"""Linear heads, solved: L2-regularised multinomial logistic regression by L-BFGS, many at once.

The loss is convex, so nothing is left to chance and nothing to a learning rate: the same features have
the same head. All strengths of the penalty are solved by one program, which is mapped over them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

MEMORY = 10  # Liu & Nocedal (1989), section 4: 3 to 7 suffice; optax and SciPy have 10
MOST_ITERATIONS = 500
# Norms of the gradient in the scaled variables. With the first, probabilities agree to 1e-4 with
# scikit-learn's; the second is enough to tell strengths apart.
EXACT, ROUGH = 5e-6, 1e-3
# A loss in float32 that no longer falls is as low as it gets.
_STALLED_AFTER = 10
# Directions in which the features vary less than this share of the widest are rounding.
_LEAST_VARIANCE = 1e-7
# Above, eigenvectors take minutes; then each feature is scaled by itself.
_MOST_ROTATED = 4096
# Logits that all problems of one program may hold, in numbers; a step keeps about six times as many.
_MOST_LOGITS = 30_000_000


class Heads(NamedTuple):
    """Heads for each set of weights and each strength, for features as they are.

    Attributes:
      kernel: float32 [W, S, C, K].
      bias: float32 [W, S, K].
      iterations: of the solver, int [W, S].
      gradient_norm: at the end, in the solver's variables, float32 [W, S].
    """

    kernel: np.ndarray
    bias: np.ndarray
    iterations: np.ndarray
    gradient_norm: np.ndarray


class _Scaled(NamedTuple):
    """Features that are centred, of mean variance 1, and rotated to their principal axes.

    Attributes:
      values: float32 [N, R].
      variances: of each axis, float32 [R].
      mean: of the features, float32 [C].
      back: the kernel for the features is `back @ kernel`, float32 [C, R].
    """

    values: np.ndarray
    variances: np.ndarray
    mean: np.ndarray
    back: np.ndarray


def solve(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    strengths: np.ndarray,
    tolerance: float = EXACT,
) -> Heads:
    """Finds the heads with the lowest penalised loss.

    For works i with weight w_i, features x_i and target distribution t_i, and with the mean variance s²
    of the features, it is

        sum_i w_i cross_entropy(t_i, kernel' x_i + bias) / sum_i w_i + strength s² / 2 |kernel|²

    The bias has no penalty. So with weights of 1 this is scikit-learn's LogisticRegression (User
    Guide, section 1.1.11, whose loss is that sum times C) with C = 1 / (N strength s²); of two classes
    it penalises only the difference of their kernels, so C is twice that. Features whose variances
    differ by a common factor need the same strength. L-BFGS: Liu & Nocedal, On the Limited Memory BFGS
    Method for Large Scale Optimization (1989), algorithm 2.1; the line search is optax's
    `zoom` (Nocedal & Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6).

    Args:
      features: of the works, float [N, C].
      targets: their distributions over the classes, float [N, K]; zeros count for nothing.
      weights: of the works, 0 or more, float [W, N]: a problem for each row.
      strengths: of the penalty, above 0, float [S].
      tolerance: norm of the gradient, in the solver's variables, at which it ends.
    """
    scaled = _scaled(np.asarray(features, np.float32))
    works, classes = targets.shape
    lanes = len(weights) * len(strengths)
    at_once = int(np.clip(_MOST_LOGITS // (works * classes), 1, lanes))
    # Rows of weight 0 and axes of zeros make the splits of a cross-validation equally large: they
    # share one program, whose compilation takes longer than solving it for a few hundred works.
    axes = len(scaled.variances)
    rows, more = (-(-of // 64) * 64 - of for of in (works, axes))
    values = np.pad(scaled.values, ((0, rows), (0, more)))
    variances = np.pad(scaled.variances, (0, more))
    targets = np.pad(targets, ((0, rows), (0, 0)))
    weights = np.pad(weights, ((0, 0), (0, rows)))
    # Optax's search mixes integers with floats, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        solved = _solve_all(
            jnp.asarray(values, jnp.float32),
            jnp.asarray(variances, jnp.float32),
            jnp.asarray(targets, jnp.float32),
            jnp.asarray(np.repeat(weights, len(strengths), axis=0), jnp.float32),
            jnp.asarray(np.tile(strengths, len(weights)), jnp.float32),
            at_once=at_once,
            tolerance=tolerance,
        )
    kernel, bias, iterations, norm = (
        np.asarray(part).reshape(len(weights), len(strengths), *part.shape[1:]) for part in solved
    )
    kernel = np.einsum("cr,wsrk->wsck", scaled.back, kernel[:, :, :axes])
    # What the features were centred by is a part of the bias.
    bias = bias - np.einsum("c,wsck->wsk", scaled.mean, kernel)
    return Heads(kernel.astype(np.float32), bias.astype(np.float32), iterations, norm)


def _scaled(features: np.ndarray) -> _Scaled:
    """Axes along which the features vary independently, in which L-BFGS needs few steps."""
    mean = features.mean(0)
    centred = features - mean
    works, channels = centred.shape
    scale = float(np.sqrt((centred**2).mean())) or 1.0
    centred /= scale
    if min(works, channels) > _MOST_ROTATED:
        return _Scaled(centred, centred.var(0), mean, np.eye(channels, dtype=np.float32) / scale)
    if works >= channels:
        variances, axes = np.linalg.eigh((centred.T @ centred / works).astype(np.float64))
    else:  # a kernel of the lowest loss is a sum of features: so many axes are enough
        variances, sides = np.linalg.eigh((centred @ centred.T / works).astype(np.float64))
        axes = centred.T @ sides / np.sqrt(np.maximum(variances, _LEAST_VARIANCE) * works)
    kept = variances > variances.max() * _LEAST_VARIANCE
    axes = axes[:, kept].astype(np.float32)
    return _Scaled(centred @ axes, variances[kept].astype(np.float32), mean, axes / scale)


@partial(jax.jit, static_argnames=("at_once", "tolerance"))
def _solve_all(
    values: jax.Array,
    variances: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    strengths: jax.Array,
    *,
    at_once: int,
    tolerance: float,
) -> Any:
    """Kernels [L, R, K], biases, iterations and gradient norms, for weights [L, N] and strengths [L]."""

    def one(lane: tuple[jax.Array, jax.Array]) -> Any:
        return _solve_one(values, variances, targets, *lane, tolerance)

    return jax.lax.map(one, (weights, strengths), batch_size=at_once)


def _solve_one(
    values: jax.Array,
    variances: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    strength: jax.Array,
    tolerance: float,
) -> Any:
    classes = targets.shape[1]
    # The Hessian at the start, where every class is as probable, is about this.
    scale = 1 / jnp.sqrt(variances / classes + strength)[:, None]
    of_bias = jnp.sqrt(jnp.float32(classes))
    total = jnp.maximum((weights * targets.sum(-1)).sum(), 1e-12)

    def loss(params: Any) -> jax.Array:
        kernel = scale * params["kernel"]
        logits = values @ kernel + of_bias * params["bias"]
        costs = weights * optax.softmax_cross_entropy(logits, targets)
        return costs.sum() / total + strength / 2 * (kernel**2).sum()

    solver = optax.lbfgs(memory_size=MEMORY)
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def step(carry: Any) -> Any:
        params, state, lowest, stalled, _ = carry
        value, gradient = value_and_gradient(params, state=state)
        fell = value < lowest
        updates, state = solver.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        stalled = jnp.where(fell, 0, stalled + 1)
        norm = optax.tree_utils.tree_norm(gradient)
        return (
            optax.apply_updates(params, updates),
            state,
            jnp.minimum(value, lowest),
            stalled,
            norm,
        )

    def goes_on(carry: Any) -> jax.Array:
        _, state, _, stalled, norm = carry
        count = optax.tree_utils.tree_get(state, "count")
        return (count < MOST_ITERATIONS) & (norm >= tolerance) & (stalled < _STALLED_AFTER)

    zero = {
        "kernel": jnp.zeros((values.shape[1], classes), jnp.float32),
        "bias": jnp.zeros(classes, jnp.float32),
    }
    start = zero, solver.init(zero), jnp.float32(jnp.inf), jnp.int32(0), jnp.float32(jnp.inf)
    params, state, _, _, norm = jax.lax.while_loop(goes_on, step, start)
    count = optax.tree_utils.tree_get(state, "count")
    return scale * params["kernel"], of_bias * params["bias"], count, norm
