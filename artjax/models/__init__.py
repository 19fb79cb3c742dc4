"""Flax Linen models, by name."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from artjax.models.vgg import DEPTHS, VGG


def create_model(
    name: str,
    classes: Mapping[str, int],
    *,
    dropout: float,
    relu_after_pool: bool,
    stem_channels: int = 3,
    dtype: jnp.dtype,
) -> nn.Module:
    """Builds the model that `--config.model.name` asks for.

    Args:
      name: `vgg11` … `vgg19`, each also as `vgg16_bn` with BatchNorm, or `vgg_small` for 64 px.
      classes: number of classes for each task; one head each.
      dropout: rate before each fully connected layer, in [0, 1).
      relu_after_pool: whether the last ReLU of each stage comes after its max-pool.
      stem_channels: to which the picture's channels are filled up with zeros.
      dtype: of the activations; parameters and statistics stay float32.

    Raises:
      KeyError: for a name that `artjax.config.check` would have refused.
    """
    if name == "vgg_small":
        # A quarter of the channels and no hidden layers: learns 64 px pictures on a CPU in minutes.
        return VGG(
            stages=((16,), (32,), (64, 64), (128, 128)),
            hidden=(),
            classes=dict(classes),
            batch_norm=True,
            dropout=dropout,
            relu_after_pool=relu_after_pool,
            stem_channels=stem_channels,
            dtype=dtype,
        )
    base, _, norm = name.partition("_")
    return VGG(
        stages=DEPTHS[base],
        hidden=(4096, 4096),
        classes=dict(classes),
        batch_norm=norm == "bn",
        dropout=dropout,
        relu_after_pool=relu_after_pool,
        stem_channels=stem_channels,
        dtype=dtype,
    )
