"""Integrated Gradients: how much each pixel adds to the logit of a class."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from artjax.explain.grad_cam import chosen_classes
from artjax.models.staged import StagedNetwork

STEPS = 32
"""Points on the path from baseline to picture. Sundararajan et al. (section 5) name 20 to 300."""
NOISE = 0.15
"""Deviation of SmoothGrad's noise, as a share of the range of an input: Smilkov et al., section 3.2."""


class Attributions(NamedTuple):
    """What each value of the inputs adds to a logit.

    Attributes:
      values: float32 [B, S, S, 3]; their sum over a picture is `rise`, up to the quadrature's error.
      rise: the logit of the picture less that of the baseline, float32 [B].
      classes: int32 [B].
    """

    values: jax.Array
    rise: jax.Array
    classes: jax.Array


def integrated_gradients(
    model: StagedNetwork,
    variables: Any,
    inputs: jax.Array,
    classes: jax.Array,
    task: str,
    *,
    steps: int = STEPS,
    copies: int = 0,
) -> Attributions:
    """Sundararajan et al., Axiomatic Attribution for Deep Networks (2017), section 3.

    The baseline is 0 after normalisation: a grey that is the mean of the pictures that the preprocessing
    was made for. Black as baseline would leave the dark parts of a painting without attribution. The
    integral over the straight path is computed by Gauss and Legendre's quadrature.

    With SmoothGrad (Smilkov et al., SmoothGrad: removing noise by adding noise (2017), section 3) the
    attributions are the mean over copies of the picture with normal noise. `rise` stays that of the
    picture itself, which their sum then only approaches.

    Args:
      model: the network.
      variables: its parameters and statistics.
      inputs: as the network takes them, float32 [B, S, S, 3].
      classes: of each image the class to explain; -1 for the most probable, int32 [B].
      task: whose classes they are.
      steps: points of the quadrature, 1 or more; each costs a forward and a backward pass.
      copies: of SmoothGrad; 0 for none.
    """

    def logits_of(inputs: jax.Array) -> jax.Array:
        found: Any = model.apply(variables, inputs)
        return found[task]

    logits = logits_of(inputs)
    chosen = chosen_classes(logits, classes)
    picked = jax.nn.one_hot(chosen, logits.shape[1], dtype=logits.dtype)
    gradient = jax.grad(lambda inputs: (logits_of(inputs) * picked).sum())
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
    path = jnp.asarray((nodes + 1) / 2, jnp.float32), jnp.asarray(weights / 2, jnp.float32)

    def along_path(inputs: jax.Array) -> jax.Array:
        def add(total: jax.Array, point: tuple[jax.Array, jax.Array]) -> Any:
            share, weight = point
            return total + weight * gradient(share * inputs), None

        # One point after the other: all at once would take as many times the memory.
        return inputs * jax.lax.scan(add, jnp.zeros_like(inputs), path)[0]

    def add_noisy(total: jax.Array, key: jax.Array) -> Any:
        drawn = jax.random.normal(key, inputs.shape, inputs.dtype)
        return total + along_path(inputs + extent * drawn) / copies, None

    if copies:
        extent = NOISE * jnp.ptp(inputs, axis=(1, 2, 3), keepdims=True)
        keys = jax.random.split(jax.random.key(0), copies)
        values = jax.lax.scan(add_noisy, jnp.zeros_like(inputs), keys)[0]
    else:
        values = along_path(inputs)
    rise = ((logits - logits_of(jnp.zeros_like(inputs))) * picked).sum(axis=1)
    return Attributions(values, rise, chosen)
