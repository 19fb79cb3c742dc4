"""Attention rollout: from which patches a vision transformer's answer takes, whatever the class."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from artjax.models.vit import ViT


def attention_rollout(model: ViT, variables: Any, inputs: jax.Array) -> jax.Array:
    """Abnar & Zuidema, Quantifying Attention Flow in Transformers (2020), section 3.

    The attention of each block, averaged over its heads, is mixed with the identity, half and half, for
    the residual connection, and the blocks are multiplied. The map is what the class token takes from
    the patches; in a network with an attention pool, what its query takes.

    Args:
      model: the network.
      variables: its parameters.
      inputs: as the network takes them, float32 [B, S, S, 3].

    Returns:
      Maps float32 [B, h, w], 0 or more and not scaled.
    """
    # Queries and keys are outputs of layers with these names. So attention stays one fused function.
    _, found = model.apply(
        variables,
        inputs,
        capture_intermediates=lambda layer, _: (layer.name or "").endswith(("_query", "_key")),
        mutable=["intermediates"],
    )
    captured: Any = found["intermediates"]

    def attention(stage: str) -> jax.Array:
        """The mean over the heads of the attention weights, float32 [B, Q, N]."""
        query, key = (
            captured[f"{stage}_{name}"]["__call__"][0].astype(jnp.float32)
            for name in ("query", "key")
        )
        heads = model.design.heads
        query, key = (x.reshape(*x.shape[:2], heads, -1) for x in (query, key))
        products = jnp.einsum("bqhc,bnhc->bhqn", query, key) / jnp.sqrt(query.shape[-1])
        return nn.softmax(products).mean(axis=1)

    rolled: jax.Array | None = None
    for number in range(1, model.design.depth + 1):
        of_block = attention(f"block{number}")
        identity = jnp.eye(of_block.shape[-1], dtype=jnp.float32)[None]
        mixed = (of_block + identity) / 2
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None  # a design has blocks
    taken = attention("pooled") @ rolled if model.design.attention_pool else rolled[:, :1]
    return model.places_of(taken[:, 0, :, None])[..., 0]
