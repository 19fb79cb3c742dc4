"""Pooling for which XLA's `reduce_window` is slow or does not exist."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]


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


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool_3x3(inputs: jax.Array, padding: Padding = ((0, 0), (0, 0))) -> jax.Array:
    """Max-pool with window 3 and stride 2.

    Values and gradients equal those of `flax.linen.max_pool(inputs, (3, 3), (2, 2), padding)`: nan
    spreads, and if several values of a window are the maximum, the first one, row by row, takes the
    gradient. On a CPU it takes a fraction of the time of `reduce_window`: docs/performance.md.

    Args:
      inputs: floating point, [B, H, W, C].
      padding: rows above and below, columns left and right, 0 or 1 each, which are never the maximum.

    Returns:
      The inputs' dtype, [B, (H + above + below - 3) // 2 + 1, (W + left + right - 3) // 2 + 1, C].
    """
    rows, columns = padding
    return _largest_of_three(_largest_of_three(inputs, 1, rows), 2, columns)


def _largest_of_three(inputs: jax.Array, axis: int, margin: tuple[int, int]) -> jax.Array:
    first, second, third = _three(inputs, axis, margin)
    return jnp.maximum(jnp.maximum(first, second), third)


def _three(inputs: jax.Array, axis: int, margin: tuple[int, int]) -> list[jax.Array]:
    """The first, second and third value of each window of three along an axis, in steps of two."""
    padded = _with_margin(inputs, axis, margin)
    last = _windows_along(padded.shape[axis]) * 2 - 1
    return [lax.slice_in_dim(padded, i, i + last, 2, axis) for i in range(3)]


def _with_margin(inputs: jax.Array, axis: int, margin: tuple[int, int]) -> jax.Array:
    """With -inf before and after. Not `jnp.pad`, which takes ten times as long in what is fused."""
    if not any(margin):
        return inputs
    shapes = [(*inputs.shape[:axis], size, *inputs.shape[axis + 1 :]) for size in margin]
    # `jnp.full` does not survive jax2onnx with a free batch size.
    before, after = (lax.full(shape, -jnp.inf, inputs.dtype) for shape in shapes)
    return jnp.concatenate([before, inputs, after], axis)


def _windows_along(length: int) -> int:
    return (length - 3) // 2 + 1


def _forward_3x3(inputs: jax.Array, padding: Padding) -> tuple[jax.Array, jax.Array]:
    return max_pool_3x3(inputs, padding), inputs


def _backward_3x3(padding: Padding, inputs: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    # Columns first, so that the first row that has the maximum takes it, and in it the first column.
    rows, columns = padding
    of_rows = _largest_of_three(inputs, 2, columns)
    return (_to_first(inputs, 2, columns, _to_first(of_rows, 1, rows, gradient)),)


def _to_first(
    inputs: jax.Array, axis: int, margin: tuple[int, int], gradient: jax.Array
) -> jax.Array:
    """The gradient of `_largest_of_three`: that of each window goes to its first maximum."""
    first, second, third = _three(inputs, axis, margin)
    largest = jnp.maximum(jnp.maximum(first, second), third)
    is_first = first == largest
    is_second = (second == largest) & ~is_first
    is_third = ~is_first & ~is_second
    to = [jnp.where(here, gradient, 0) for here in (is_first, is_second, is_third)]
    # Windows overlap by one value: the third of one is the first of the next.
    nothing = jnp.zeros_like(lax.slice_in_dim(gradient, 0, 1, 1, axis))
    even = jnp.concatenate([to[0], nothing], axis) + jnp.concatenate([nothing, to[2]], axis)
    odd = jnp.concatenate([to[1], nothing], axis)
    both = jnp.stack([even, odd], axis + 1)
    count = gradient.shape[axis]
    joined = both.reshape(*inputs.shape[:axis], 2 * count + 2, *both.shape[axis + 2 :])
    before, length = margin[0], inputs.shape[axis]
    reached = lax.slice_in_dim(joined, before, min(2 * count + 1, before + length), 1, axis)
    missing = length - reached.shape[axis]  # values after the last window
    return (
        reached
        if not missing
        else jnp.pad(reached, [(0, missing if i == axis else 0) for i in range(inputs.ndim)])
    )


max_pool_3x3.defvjp(_forward_3x3, _backward_3x3)


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
