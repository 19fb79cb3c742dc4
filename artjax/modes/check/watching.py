"""An Optax transformation that changes nothing, and remembers the gradients that it saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Seen(NamedTuple):
    """What was seen of the gradient of each parameter, as trees of scalars.

    Attributes:
      largest: the largest finite norm, float32.
      finite: whether all were finite, bool.
    """

    largest: Any
    finite: Any


def watch_gradients() -> optax.GradientTransformation:
    """Builds the transformation. It comes before the optimizer, so it sees gradients before clipping."""

    def init(params: Any) -> Seen:
        return Seen(
            jax.tree.map(lambda _: jnp.zeros((), jnp.float32), params),
            jax.tree.map(lambda _: jnp.ones((), jnp.bool_), params),
        )

    def update(updates: Any, state: Seen, params: Any = None) -> tuple[Any, Seen]:
        norms = jax.tree.map(lambda g: jnp.sqrt(jnp.square(g.astype(jnp.float32)).sum()), updates)
        largest = jax.tree.map(
            lambda old, norm: jnp.maximum(old, jnp.where(jnp.isfinite(norm), norm, 0.0)),
            state.largest,
            norms,
        )
        finite = jax.tree.map(lambda old, norm: old & jnp.isfinite(norm), state.finite, norms)
        return updates, Seen(largest, finite)

    return optax.GradientTransformation(init, update)
