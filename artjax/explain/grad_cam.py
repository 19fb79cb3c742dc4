"""Grad-CAM: where the last stage with places sees what speaks for a class."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from artjax.models.staged import StagedNetwork


def grad_cam(
    model: StagedNetwork,
    variables: Any,
    inputs: jax.Array,
    classes: jax.Array,
    task: str,
    layer: str,
) -> tuple[jax.Array, jax.Array]:
    """Selvaraju et al., Grad-CAM (2017), section 3, equations 1 and 2, with the logit as score.

    A map is the positive part of the sum of the layer's channels, each weighted by the mean over all
    places of the derivative of the class's logit. In a vision transformer the places are patches.

    Args:
      model: the network.
      variables: its parameters and statistics.
      inputs: as the network takes them, float32 [B, S, S, 3].
      classes: of each image the class to explain; -1 for the most probable, int32 [B].
      task: whose classes they are.
      layer: name of a stage with places.

    Returns:
      Maps float32 [B, h, w], 0 or more and not scaled, and the classes, int32 [B].
    """
    outputs: Any = model.apply(variables, inputs, until=layer)

    def logits_of(outputs: jax.Array) -> jax.Array:
        found: Any = model.apply(variables, outputs, after=layer)
        return found[task]

    logits, derivative = jax.vjp(logits_of, outputs)
    chosen = chosen_classes(logits, classes)
    (gradient,) = derivative(jax.nn.one_hot(chosen, logits.shape[1], dtype=logits.dtype))
    places, slopes = (model.places_of(of).astype(jnp.float32) for of in (outputs, gradient))
    weights = slopes.mean(axis=(1, 2))
    return jax.nn.relu(jnp.einsum("bhwc,bc->bhw", places, weights)), chosen


def chosen_classes(logits: jax.Array, classes: jax.Array) -> jax.Array:
    """The given classes, int32 [B], and where they are -1 those of the highest logit."""
    return jnp.where(classes < 0, logits.argmax(axis=1).astype(classes.dtype), classes)
