"""3x3 convolution with a quarter of the multiplications, for wide layers on a CPU."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1.3, F(4x4, 3x3):
# from 6x6 inputs, 4x4 outputs with 36 multiplications instead of 144.
_TILE, _WINDOW = 4, 6
_OF_INPUTS = np.asarray(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_OF_KERNEL = np.asarray(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
_OF_OUTPUTS = np.asarray(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32
)

# With fewer channels, reading and writing the tiles takes longer than is saved; with fewer pixels,
# transforming the kernel does.
_FEWEST_CHANNELS, _FEWEST_OF_SMALL_SIDES, _SMALL_SIDE = 256, 128, 28
_FEWEST_PIXELS = 2  # of the whole batch, for each channel
_IMAGES_AT_ONCE = 8  # so that the tiles of 56 x 56 outputs with 256 channels are 60 MB


def pays(inputs_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> bool:
    """Whether `convolution_3x3` may be faster than XLA's own on a CPU.

    Args:
      inputs_shape: [B, H, W, C].
      kernel_shape: [3, 3, C, D]; for any other kernel it is not.
    """
    batch, height, width, _ = inputs_shape
    small = max(height, width) <= _SMALL_SIDE
    fewest = _FEWEST_OF_SMALL_SIDES if small else _FEWEST_CHANNELS
    return (
        kernel_shape[:2] == (3, 3)
        and min(kernel_shape[2:]) >= fewest
        and batch * height * width >= _FEWEST_PIXELS * max(kernel_shape[2:])
    )


def convolution_3x3(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 1 and zeros around, so that the output has the size of the input.

    The values equal `lax.conv_general_dilated` but for rounding: its errors are some ten times as
    large, in float32 about 1e-5 of the largest value. Lavin & Gray (2016), section 4.1.3.

    Args:
      inputs: float32 [B, H, W, C].
      kernel: float32 [3, 3, C, D].

    Returns:
      float32 [B, H, W, D].
    """
    transformed = _both_sides(_OF_KERNEL, kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])
    parts = [
        _convolved(inputs[i : i + _IMAGES_AT_ONCE], transformed)
        for i in range(0, len(inputs), _IMAGES_AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _both_sides(matrix: np.ndarray, values: jax.Array) -> jax.Array:
    """M X Mᵀ for each X, which are the columns of `values`, row by row: [N², K] → [R², K]."""
    return jnp.asarray(np.kron(matrix, matrix)) @ values


def _convolved(inputs: jax.Array, transformed: jax.Array) -> jax.Array:
    count, height, width, channels = inputs.shape
    down, across = -(-height // _TILE), -(-width // _TILE)
    margins = [(1, number * _TILE + 1 - side) for number, side in ((down, height), (across, width))]
    padded = jnp.pad(inputs, ((0, 0), *margins, (0, 0)))
    # [36, B, down, across, C]: each window of 6 x 6 inputs, which overlaps the next by 2.
    windows = jnp.stack(
        [
            padded[
                :, i : i + (down - 1) * _TILE + 1 : _TILE, j : j + (across - 1) * _TILE + 1 : _TILE
            ]
            for i, j in itertools.product(range(_WINDOW), repeat=2)
        ]
    )
    tiles = _both_sides(_OF_INPUTS, windows.reshape(36, -1)).reshape(36, -1, channels)
    products = lax.dot_general(tiles, transformed, (((2,), (1,)), ((0,), (0,))))
    outputs = _both_sides(_OF_OUTPUTS, products.reshape(36, -1))
    outputs = outputs.reshape(_TILE, _TILE, count, down, across, -1).transpose(2, 3, 0, 4, 1, 5)
    whole = outputs.reshape(count, down * _TILE, across * _TILE, -1)
    return whole[:, :height, :width]
