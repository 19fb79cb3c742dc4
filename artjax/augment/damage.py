"""What a picture loses: sharpness, clean pixels, single pixels, a box.

All take and return float [B, H, W, 3] in [0, 255] and keep the dtype.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from artjax.augment.geometry import box_mask

GREY = 127.5
"""What is put where something is missing: 0 for the network, which it takes for no light and no dark."""

MAX_BOX_STRETCH = 3.0
"""Of an erased box: its width / height or the inverse; about the 0.3 of Zhong et al., section 4."""


def random_blur(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """`gaussian_blur` with deviations uniform in [0, strength] pixels."""
    shape = images.shape[:1]
    return gaussian_blur(images, jax.random.uniform(key, shape, maxval=strength))


def gaussian_blur(images: jax.Array, deviation: jax.Array) -> jax.Array:
    """Convolves each picture with a Gaussian; near the edge, the part of it within the picture counts.

    Two matrix products for each picture, as resampling: a convolution with another kernel for each
    picture is what accelerators do worst. The ten bits that a GPU's TF32 keeps of each factor are a
    quarter of a grey level at most.

    Args:
      images: float [B, H, W, 3].
      deviation: of the Gaussian, in pixels, float32 [B]; 0 leaves the picture as it is.
    """

    def weights(size: int) -> jax.Array:
        apart = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
        # Far below a pixel the Gaussian is all in its centre; 0 itself would divide by zero.
        scaled = apart[None] / jnp.maximum(deviation, 1e-3)[:, None, None]
        gaussian = jnp.exp(-0.5 * scaled**2)
        return gaussian / gaussian.sum(axis=-1, keepdims=True)

    height, width = images.shape[1:3]
    pixels = images.astype(jnp.float32)
    pixels = jnp.einsum("byh,bhwc->bywc", weights(height), pixels)
    pixels = jnp.einsum("bxw,bywc->byxc", weights(width), pixels)
    return pixels.astype(images.dtype)


def random_noise(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Adds Gaussian noise of its own to each pixel and channel.

    Its deviation is uniform in [0, strength] for each picture, 1 being the range from black to white.
    """
    deviation_key, noise_key = jax.random.split(key)
    deviation = jax.random.uniform(deviation_key, (images.shape[0], 1, 1, 1), maxval=strength)
    noise = 255 * deviation * jax.random.normal(noise_key, images.shape)
    return jnp.clip(images.astype(jnp.float32) + noise, 0, 255).astype(images.dtype)


def random_pixel_drop(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Makes pixels grey, of each picture a share that is uniform in [0, strength]."""
    share_key, pixel_key = jax.random.split(key)
    share = jax.random.uniform(share_key, (images.shape[0], 1, 1, 1), maxval=strength)
    dropped = jax.random.uniform(pixel_key, (*images.shape[:3], 1)) < share
    return jnp.where(dropped, jnp.asarray(GREY, images.dtype), images)


def random_erase(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Makes a box of each picture grey.

    After Zhong et al., Random Erasing Data Augmentation (2020), section 3.2, algorithm 1, but for two
    things: the area (as a share of the picture) is uniform in [0, strength], which takes the place of
    the probability, and width / height is log-uniform over what fits, so no draw has to be repeated.
    """
    batch = images.shape[0]
    area_key, stretch_key, x_key, y_key = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, (batch,), maxval=strength)
    limit = jnp.minimum(jnp.log(MAX_BOX_STRETCH), -jnp.log(jnp.maximum(area, 1e-6)))
    stretch = jnp.exp(limit * jax.random.uniform(stretch_key, (batch,), minval=-1.0))
    width, height = jnp.sqrt(area * stretch), jnp.sqrt(area / stretch)
    left = jax.random.uniform(x_key, (batch,)) * (1 - width)
    top = jax.random.uniform(y_key, (batch,)) * (1 - height)
    erased = box_mask(left, top, width, height, (images.shape[1], images.shape[2]))
    return jnp.where(erased, jnp.asarray(GREY, images.dtype), images)
