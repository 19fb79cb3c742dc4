"""Maps pixels on the scale [0, 255] to the input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """The input that a network expects. The default is RGB in [-1, 1].

    Attributes:
      mean: mean of each channel, in [0, 1], in the order RGB.
      std: standard deviation of each channel, in (0, 1], in the order RGB.
      channel_order: `RGB` or `BGR`.
      crop_share: side of the central square that evaluation uses, as a share of the largest square that
        fits, in (0, 1].
      interpolation: `linear` or `cubic`, of the crops. Both filters are widened where a crop shrinks.
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channel_order: str = "RGB"
    crop_share: float = 1.0
    interpolation: str = "linear"

    def normalise(self, images: jax.Array) -> jax.Array:
        """Returns the input of the network.

        Args:
          images: RGB on the scale [0, 255], [B, H, W, 3].

        Returns:
          float32 [B, H, W, 3], (x / 255 - mean) / std, with the channels in `channel_order`.
        """
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        scale = jnp.asarray(255 * std, jnp.float32)[None, None, None]
        offset = jnp.asarray(mean / std, jnp.float32)[None, None, None]
        values = images.astype(jnp.float32) / scale - offset
        return values[..., ::-1] if self.channel_order == "BGR" else values
