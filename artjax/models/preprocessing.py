"""From pixels on the scale [0, 255] to the input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects as its input; the default is RGB in [-1, 1].

    Attributes:
      mean: of each channel of the input, in [0, 1], in the order RGB.
      std: of each channel, in (0, 1].
      channel_order: `RGB` or `BGR`.
      crop_share: side of the central square that evaluation looks at, as a share of the largest one that
        fits, in (0, 1].
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channel_order: str = "RGB"
    crop_share: float = 1.0

    def normalise(self, images: jax.Array) -> jax.Array:
        """The input of the network.

        Args:
          images: RGB on the scale [0, 255], [B, H, W, 3].

        Returns:
          float32 [B, H, W, 3], (x / 255 - mean) / std, in the order of `channel_order`.
        """
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        scale = jnp.asarray(255 * std, jnp.float32)[None, None, None]
        offset = jnp.asarray(mean / std, jnp.float32)[None, None, None]
        values = images.astype(jnp.float32) / scale - offset
        return values[..., ::-1] if self.channel_order == "BGR" else values
