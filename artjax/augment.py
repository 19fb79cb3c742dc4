"""On-device transforms of batches: pure functions of (key, batch), used inside the compiled step.

A canvas is a whole picture squashed to a square; `aspect` is its true width / height. Boxes are
chosen in the picture's true proportions, so that what the network sees is not squashed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    *,
    min_area: float,
    max_stretch: float,
) -> jax.Array:
    """Cuts a random box out of each canvas and resamples it to a square.

    After Szegedy et al., Going Deeper with Convolutions (2015), section 6, with two differences: the
    box's proportions are those of the true picture, and its area is a share of the largest box of its
    proportions that fits (so no draw has to be repeated or clipped).

    Args:
      key: a PRNG key.
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      min_area: smallest share of the largest fitting box, in (0, 1]; the largest is 1.
      max_stretch: the box's true width / height is log-uniform in [1 / max_stretch, max_stretch].

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    batch = images.shape[0]
    area_key, stretch_key, x_key, y_key = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, (batch,), minval=min_area, maxval=1.0)
    limit = jnp.log(max_stretch)
    stretch = jnp.exp(jax.random.uniform(stretch_key, (batch,), minval=-limit, maxval=limit))
    width, height = _largest_box(aspect, stretch)
    width, height = width * jnp.sqrt(area), height * jnp.sqrt(area)
    left = jax.random.uniform(x_key, (batch,)) * (1 - width)
    top = jax.random.uniform(y_key, (batch,)) * (1 - height)
    return _resample(images, left, top, width, height, size)


def central_crop(images: jax.Array, aspect: jax.Array, size: int) -> jax.Array:
    """Cuts the largest central square of the true picture and resamples it.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    width, height = _largest_box(aspect, jnp.ones_like(aspect))
    return _resample(images, (1 - width) / 2, (1 - height) / 2, width, height, size)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each picture left to right with probability 1/2; [B, H, W, 3], any dtype."""
    flip = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def normalise(images: jax.Array) -> jax.Array:
    """Maps [0, 255] to float32 [-1, 1]; any shape."""
    return images.astype(jnp.float32) / 127.5 - 1.0


def _largest_box(aspect: jax.Array, stretch: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Width and height, as shares of the canvas, of the largest box with width / height = stretch."""
    width = jnp.minimum(1.0, stretch / aspect)
    return width, width * aspect / stretch


def _resample(
    images: jax.Array,
    left: jax.Array,
    top: jax.Array,
    width: jax.Array,
    height: jax.Array,
    size: int,
) -> jax.Array:
    """Resamples boxes, given as shares of the canvas, with an antialiased linear filter."""
    canvas = images.shape[1]

    def one(image: jax.Array, corner: jax.Array, extent: jax.Array) -> jax.Array:
        scale = size / (extent * canvas)
        return jax.image.scale_and_translate(
            image,
            (size, size, 3),
            spatial_dims=(0, 1),
            scale=scale,
            translation=-corner * canvas * scale,
            method="linear",
            antialias=True,
        )

    corners = jnp.stack([top, left], axis=-1)
    extents = jnp.stack([height, width], axis=-1)
    return jax.vmap(one)(images.astype(jnp.float32), corners, extents)
