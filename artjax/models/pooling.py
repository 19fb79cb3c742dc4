"""Pooling for which XLA's `reduce_window` is slow or does not exist."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_vjp
def max_pool_2x2(inputs: jax.Array) -> jax.Array:
    """Max-pool with window and stride 2.

    Values and gradients equal those of `flax.linen.max_pool(inputs, (2, 2), (2, 2))`. If several values
    of a window are the maximum, the first one, row by row, takes the gradient. It is written as reshape
    and max, because the gradient of `reduce_window` is the slowest operation of a textbook VGG step.

    Args:
      inputs: floating point, [B, H, W, C] with even H and W.

    Returns:
      The inputs' dtype, [B, H/2, W/2, C].
    """
    return jnp.max(_windows(inputs), axis=(2, 4))


def _windows(inputs: jax.Array) -> jax.Array:
    batch, height, width, channels = inputs.shape
    return inputs.reshape(batch, height // 2, 2, width // 2, 2, channels)


def _forward(inputs: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    outputs = max_pool_2x2(inputs)
    return outputs, (inputs, outputs)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    inputs, outputs = saved
    windows = _windows(inputs)
    is_max = [windows[:, :, i, :, j, :] == outputs for i in (0, 1) for j in (0, 1)]
    taken = jnp.zeros_like(is_max[0])
    corners = []
    for here in is_max:
        corners.append(jnp.where(here & ~taken, gradient, 0))
        taken = taken | here
    rows = [jnp.stack(corners[0:2], axis=3), jnp.stack(corners[2:4], axis=3)]
    return (jnp.stack(rows, axis=2).reshape(inputs.shape),)


max_pool_2x2.defvjp(_forward, _backward)


def adaptive_average_pool(inputs: jax.Array, size: int) -> jax.Array:
    """Averages over a grid of size x size bins, for inputs of any height and width.

    So the fully connected layers have the same shapes for every image size. Bin i of n spans the rows
    floor(i H / n) to ceil((i + 1) H / n), as in torchvision's VGG. For H = W = size the result equals
    the inputs.

    Args:
      inputs: floating point, [B, H, W, C].
      size: number of bins on each side.

    Returns:
      The inputs' dtype, [B, size, size, C].
    """
    if inputs.shape[1:3] == (size, size):
        return inputs
    rows = jnp.asarray(_bins(inputs.shape[1], size), inputs.dtype)
    columns = jnp.asarray(_bins(inputs.shape[2], size), inputs.dtype)
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, inputs)


def _bins(length: int, size: int) -> np.ndarray:
    weights = np.zeros((size, length), np.float32)
    for i in range(size):
        start, stop = i * length // size, -(-(i + 1) * length // size)
        weights[i, start:stop] = 1 / (stop - start)
    return weights
