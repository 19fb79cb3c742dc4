"""Colour: brightness, contrast, saturation, hue and PCA colour, as one affine map for each picture.

Each of them is an affine map of a pixel's RGB, and so are all of them together: one 3x3 matrix and one
shift for each picture, applied in a single pass. One after the other, they would be computed again for
each use of a channel where XLA fuses them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# From RGB to luma: ITU-R BT.601, section 2.5.1; Pillow and torchvision grey pictures with it.
_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)

# From R - Y and B - Y to the chroma of YIQ: the NTSC standard of 1953, which Python's colorsys has as
# well. Y is the luma above (that of 1953 is the same in two digits).
_IQ_OF_DIFFERENCES = np.asarray(((0.74, -0.27), (0.48, 0.41)))
_YIQ = np.vstack((_LUMA, _IQ_OF_DIFFERENCES @ (np.eye(3)[[0, 2]] - _LUMA))).astype(np.float64)

# Of the RGB values, in [0, 1], of ImageNet's pictures, as published with fb.resnet.torch
# (datasets/imagenet.lua). Columns are the eigenvectors.
_EIGENVALUES = np.asarray((0.2175, 0.0188, 0.0045), np.float32)
_EIGENVECTORS = np.asarray(
    ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)),
    np.float32,
)


def random_color(
    key: jax.Array,
    images: jax.Array,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    pca_color: float = 0.0,
) -> jax.Array:
    """`adjust_color` by amounts that each picture draws for itself.

    Args:
      key: a PRNG key; each amount has its own, so that switching one on leaves the others as they were.
      images: float [B, H, W, 3] in [0, 255].
      brightness: factors are uniform in [1 - brightness, 1 + brightness].
      contrast: the same.
      saturation: the same.
      hue: turns are uniform in [-hue, hue].
      pca_color: multiples are normal with this deviation.

    Returns:
      The same shape, range and dtype; what is 0 is left out.
    """
    batch = images.shape[0]

    def uniform(number: int, center: float, reach: float) -> jax.Array | None:
        if not reach:
            return None
        own = jax.random.fold_in(key, number)
        return jax.random.uniform(own, (batch,), minval=center - reach, maxval=center + reach)

    multiples = jax.random.normal(jax.random.fold_in(key, 4), (batch, 3)) * pca_color
    return adjust_color(
        images,
        brightness=uniform(0, 1.0, brightness),
        contrast=uniform(1, 1.0, contrast),
        saturation=uniform(2, 1.0, saturation),
        hue=uniform(3, 0.0, hue),
        pca_multiples=multiples if pca_color else None,
    )


def adjust_color(
    images: jax.Array,
    *,
    brightness: jax.Array | None = None,
    contrast: jax.Array | None = None,
    saturation: jax.Array | None = None,
    hue: jax.Array | None = None,
    pca_multiples: jax.Array | None = None,
) -> jax.Array:
    """Changes the colours of each picture, in the order of the arguments; None leaves one out.

    Args:
      images: float [B, H, W, 3] in [0, 255].
      brightness: factor, float32 [B]; 0 is black. As Pillow's `ImageEnhance.Brightness` and
        torchvision's ColorJitter, and so the next two.
      contrast: factor of the distance from the picture's mean luma, float32 [B]; 0 is flat grey.
      saturation: factor of the distance from each pixel's luma, float32 [B]; 0 is a grey picture.
      hue: turn about the grey axis as a share of the full circle, float32 [B]; 1/3 takes red to green.
        A rotation of the chroma plane of YIQ, which keeps each pixel's luma; torchvision's shift of
        HSV's hue turns about as far, keeps HSV's value instead, and has branches for each pixel.
      pca_multiples: float32 [B, 3]; the principal components of RGB times their eigenvalues times
        these are added: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural
        Networks (2012), section 4.1. ImageNet's published components and not the batch's own, which
        would make a picture a function of its neighbours.

    Returns:
      The same shape and dtype, clipped to [0, 255] after the last change, not between them.
    """
    pixels = images.astype(jnp.float32)
    matrix = jnp.broadcast_to(jnp.eye(3), (images.shape[0], 3, 3))
    shift = jnp.zeros((images.shape[0], 3))
    if brightness is not None:
        matrix *= brightness[:, None, None]
    if contrast is not None:
        # The mean goes through the map so far: the maps are affine.
        mean = _apply(matrix, shift, pixels.mean(axis=(1, 2)))
        grey = (mean * _LUMA[None]).sum(axis=-1, keepdims=True)
        matrix, shift = (
            matrix * contrast[:, None, None],
            shift * contrast[:, None] + grey * (1 - contrast[:, None]),
        )
    if saturation is not None:
        # All rows of the map to grey are the luma; what grey shift there is stays.
        own = saturation[:, None, None]
        matrix = own * matrix + (1 - own) * jnp.einsum("i,bij->bj", _LUMA, matrix)[:, None, :]
    if hue is not None:
        matrix = jnp.einsum("bij,bjk->bik", _hue_rotation(hue), matrix, precision="highest")
    if pca_multiples is not None:
        shift += 255 * ((pca_multiples * _EIGENVALUES[None])[:, None, :] * _EIGENVECTORS[None]).sum(
            axis=-1
        )
    changed = _apply(matrix[:, None, None], shift[:, None, None], pixels)
    return jnp.clip(changed, 0, 255).astype(images.dtype)


def _apply(matrix: jax.Array, shift: jax.Array, colors: jax.Array) -> jax.Array:
    """Not a matrix product: it stays elementwise, and exact to float32 on every device."""
    return sum((matrix[..., c] * colors[..., c : c + 1] for c in range(3)), shift)


def _hue_rotation(turn: jax.Array) -> jax.Array:
    """Rotations of RGB about the grey axis, float32 [B, 3, 3]."""
    angle = 2 * jnp.pi * turn[:, None, None]
    # The sum of what is kept, what goes with the cosine, and what goes with the sine.
    kept, plane, across = (
        jnp.asarray(np.linalg.inv(_YIQ) @ np.asarray(part, np.float64) @ _YIQ, jnp.float32)[None]
        for part in (
            ((1, 0, 0), (0, 0, 0), (0, 0, 0)),
            ((0, 0, 0), (0, 1, 0), (0, 0, 1)),
            ((0, 0, 0), (0, 0, 1), (0, -1, 0)),
        )
    )
    return kept + jnp.cos(angle) * plane + jnp.sin(angle) * across
