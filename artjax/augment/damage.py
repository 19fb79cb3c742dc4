"""Blur, noise, dropped pixels and erased boxes.

All functions take and return float [B, H, W, 3] in [0, 255] and keep the dtype.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from artjax.augment.geometry import box_mask

GREY = 127.5
"""Replaces missing pixels. It is 0 in the default input of a network: neither light nor dark."""

MAX_BOX_STRETCH = 3.0
"""Largest ratio of the longer to the shorter side of an erased box; Zhong et al., section 4: 1 / 0.3."""


def random_blur(key: jax.Array, images: jax.Array, magnitude: float) -> jax.Array:
    """`gaussian_blur` with a standard deviation that is uniform in [0, magnitude] pixels."""
    shape = images.shape[:1]
    return gaussian_blur(images, jax.random.uniform(key, shape, maxval=magnitude))


def gaussian_blur(images: jax.Array, deviation: jax.Array) -> jax.Array:
    """Convolves each image with a Gaussian. Near the edge, only weights within the image are used.

    It is two matrix products for each image: accelerators are slow at convolutions with a different
    kernel for each image. A GPU's TF32 keeps ten bits of each factor, an error of at most a quarter of a
    grey level.

    Args:
      images: float [B, H, W, 3].
      deviation: standard deviation of the Gaussian in pixels, float32 [B]; 0 changes nothing.
    """

    def weights(size: int) -> jax.Array:
        distance = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
        # Avoids a division by zero. At 0.001 pixels the Gaussian is the identity.
        scaled = distance[None].astype(jnp.float32) / jnp.maximum(deviation, 1e-3)[:, None, None]
        gaussian = jnp.exp(-0.5 * scaled**2)
        return gaussian / gaussian.sum(axis=-1, keepdims=True)

    height, width = images.shape[1:3]
    pixels = images.astype(jnp.float32)
    pixels = jnp.einsum("byh,bhwc->bywc", weights(height), pixels)
    pixels = jnp.einsum("bxw,bywc->byxc", weights(width), pixels)
    return pixels.astype(images.dtype)


def random_noise(key: jax.Array, images: jax.Array, magnitude: float) -> jax.Array:
    """Adds independent Gaussian noise to each pixel and channel.

    Its standard deviation is uniform in [0, magnitude] for each image, where 1 is the range from black
    to white.
    """
    deviation_key, noise_key = jax.random.split(key)
    deviation = jax.random.uniform(deviation_key, (images.shape[0],), maxval=magnitude)
    return add_noise(noise_key, images, deviation)


def add_noise(key: jax.Array, images: jax.Array, deviation: jax.Array) -> jax.Array:
    """Adds Gaussian noise of a standard deviation for each image, float32 [B]; 1 is black to white."""
    noise = 255 * deviation[:, None, None, None] * jax.random.normal(key, images.shape)
    return jnp.clip(images.astype(jnp.float32) + noise, 0, 255).astype(images.dtype)


def random_pixel_drop(key: jax.Array, images: jax.Array, magnitude: float) -> jax.Array:
    """Makes a share of the pixels grey. The share is uniform in [0, magnitude] for each image."""
    share_key, pixel_key = jax.random.split(key)
    share = jax.random.uniform(share_key, images.shape[:1], maxval=magnitude)
    return drop_pixels(pixel_key, images, share)


def drop_pixels(key: jax.Array, images: jax.Array, share: jax.Array) -> jax.Array:
    """Makes a share of the pixels of each image grey, float32 [B] in [0, 1]."""
    dropped = jax.random.uniform(key, (*images.shape[:3], 1)) < share[:, None, None, None]
    return jnp.where(dropped, jnp.asarray(GREY, images.dtype), images)


def random_erase(key: jax.Array, images: jax.Array, magnitude: float) -> jax.Array:
    """Makes a box of each image grey.

    After Zhong et al., Random Erasing Data Augmentation (2020), section 3.2, algorithm 1, with two
    differences. The box's share of the area is uniform in [0, magnitude], which replaces the
    probability. Its width / height is log-uniform over the range that fits, so no draw is repeated.
    """
    area_key, *box_keys = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, images.shape[:1], maxval=magnitude)
    return _erase_box(box_keys, images, area)


def erase_box(key: jax.Array, images: jax.Array, area: jax.Array) -> jax.Array:
    """Makes a box of each image grey, of a share of its area, float32 [B] in [0, 1]; as above."""
    return _erase_box(jax.random.split(key, 3), images, area)


def _erase_box(keys: Any, images: jax.Array, area: jax.Array) -> jax.Array:
    batch = images.shape[0]
    stretch_key, x_key, y_key = keys
    limit = jnp.minimum(jnp.log(MAX_BOX_STRETCH), -jnp.log(jnp.maximum(area, 1e-6)))
    stretch = jnp.exp(limit * jax.random.uniform(stretch_key, (batch,), minval=-1.0))
    width, height = jnp.sqrt(area * stretch), jnp.sqrt(area / stretch)
    left = jax.random.uniform(x_key, (batch,)) * (1 - width)
    top = jax.random.uniform(y_key, (batch,)) * (1 - height)
    erased = box_mask(left, top, width, height, (images.shape[1], images.shape[2]))
    return jnp.where(erased, jnp.asarray(GREY, images.dtype), images)
