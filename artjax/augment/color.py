"""Brightness, contrast, saturation, hue and PCA colour, as one affine map for each image.

Each of them is an affine map of a pixel's RGB values. Together they are one affine map: a 3x3 matrix and
a shift for each image, applied in a single pass. As separate passes, XLA would fuse them and compute
them again for each use of a channel.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# From RGB to luma: ITU-R BT.601, section 2.5.1. Pillow and torchvision convert to grey with it.
_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)

# From R - Y and B - Y to the chroma of YIQ: the NTSC standard of 1953, as in Python's colorsys. Y is the
# luma above; the luma of 1953 has the same weights, rounded to two digits.
_IQ_OF_DIFFERENCES = np.asarray(((0.74, -0.27), (0.48, 0.41)))
_YIQ = np.vstack((_LUMA, _IQ_OF_DIFFERENCES @ (np.eye(3)[[0, 2]] - _LUMA))).astype(np.float64)

# Principal components of the RGB values, in [0, 1], of ImageNet's images, as published with
# fb.resnet.torch (datasets/imagenet.lua). The columns are the eigenvectors.
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
    """`adjust_color` with amounts drawn for each image. A change of magnitude 0 is left out.

    Args:
      key: a PRNG key. Each change folds its own number into it, so switching one on does not change the
        amounts of the others.
      images: float [B, H, W, 3] in [0, 255].
      brightness: the factor is uniform in [1 - brightness, 1 + brightness].
      contrast: the factor is uniform in [1 - contrast, 1 + contrast].
      saturation: the factor is uniform in [1 - saturation, 1 + saturation].
      hue: the rotation is uniform in [-hue, hue], as a share of the full circle.
      pca_color: standard deviation of the normal multiples.

    Returns:
      Images of the same shape, range and dtype.
    """
    batch = images.shape[0]

    def uniform(number: int, center: float, magnitude: float) -> jax.Array | None:
        if not magnitude:
            return None
        own_key = jax.random.fold_in(key, number)
        low, high = center - magnitude, center + magnitude
        return jax.random.uniform(own_key, (batch,), minval=low, maxval=high)

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
    """Changes the colours of each image, in the order of the arguments. None leaves a change out.

    Brightness, contrast and saturation equal those of Pillow's `ImageEnhance` and torchvision's
    ColorJitter.

    Args:
      images: float [B, H, W, 3] in [0, 255].
      brightness: factor, float32 [B]; 0 is black.
      contrast: factor of the distance from the image's mean luma, float32 [B]; 0 is a uniform grey.
      saturation: factor of the distance from each pixel's luma, float32 [B]; 0 is a grey image.
      hue: rotation about the grey axis as a share of the full circle, float32 [B]; 1/3 turns red into
        green. It rotates the chroma plane of YIQ and keeps each pixel's luma. torchvision shifts the hue
        of HSV: about the same rotation, but it keeps HSV's value and needs branches for each pixel.
      pca_multiples: float32 [B, 3]. Adds the principal components of RGB, times their eigenvalues, times
        these: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012),
        section 4.1. The components are the published ones of ImageNet. With components of the batch, an
        image would depend on the other images of its batch.

    Returns:
      Images of the same shape and dtype, clipped to [0, 255] once, after all changes.
    """
    pixels = images.astype(jnp.float32)
    matrix = jnp.broadcast_to(jnp.eye(3), (images.shape[0], 3, 3))
    shift = jnp.zeros((images.shape[0], 3))
    if brightness is not None:
        matrix *= brightness[:, None, None]
    if contrast is not None:
        # The mean of the changed pixels: the map so far is affine, so it can be applied to the mean.
        mean = _apply(matrix, shift, pixels.mean(axis=(1, 2)))
        grey = (mean * _LUMA[None]).sum(axis=-1, keepdims=True)
        matrix, shift = (
            matrix * contrast[:, None, None],
            shift * contrast[:, None] + grey * (1 - contrast[:, None]),
        )
    if saturation is not None:
        # All rows of the map to grey are the luma. The shift so far is grey, so it stays the same.
        factor = saturation[:, None, None]
        matrix = factor * matrix + (1 - factor) * jnp.einsum("i,bij->bj", _LUMA, matrix)[:, None, :]
    if hue is not None:
        matrix = jnp.einsum("bij,bjk->bik", _hue_rotation(hue), matrix, precision="highest")
    if pca_multiples is not None:
        shift += 255 * ((pca_multiples * _EIGENVALUES[None])[:, None, :] * _EIGENVECTORS[None]).sum(
            axis=-1
        )
    changed = _apply(matrix[:, None, None], shift[:, None, None], pixels)
    return jnp.clip(changed, 0, 255).astype(images.dtype)


def _apply(matrix: jax.Array, shift: jax.Array, colors: jax.Array) -> jax.Array:
    """Applies the map elementwise: a matrix product is less exact than float32 on some devices."""
    return sum((matrix[..., c] * colors[..., c : c + 1] for c in range(3)), shift)


def _hue_rotation(turn: jax.Array) -> jax.Array:
    """Rotations of RGB about the grey axis, float32 [B, 3, 3]."""
    angle = 2 * jnp.pi * turn[:, None, None]
    # In YIQ: the luma is constant, and I and Q are rotated. The terms of 1, cosine and sine.
    constant, of_cos, of_sin = (
        jnp.asarray(np.linalg.inv(_YIQ) @ np.asarray(term, np.float64) @ _YIQ, jnp.float32)[None]
        for term in (
            ((1, 0, 0), (0, 0, 0), (0, 0, 0)),
            ((0, 0, 0), (0, 1, 0), (0, 0, 1)),
            ((0, 0, 0), (0, 0, 1), (0, -1, 0)),
        )
    )
    return constant + jnp.cos(angle) * of_cos + jnp.sin(angle) * of_sin
