"""Depthwise convolution as a sum of shifted products: XLA's own is many times slower on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_convolution(inputs: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves each channel with its own kernel; with stride 1 the output has the size of the input.

    Values and gradients are those of `lax.conv_general_dilated` with `feature_group_count` = C and a
    padding of N // 2 on each side, up to rounding. On two CPU cores it takes a tenth of the time or
    less; figures are in docs/performance.md.

    Args:
      inputs: floating point [B, H, W, C].
      kernel: the same dtype, [N, N, 1, C] with odd N.
      stride: of both directions.

    Returns:
      The inputs' dtype, [B, ceil(H / stride), ceil(W / stride), C].
    """
    products = (
        window * kernel[i, j, 0][None, None, None]
        for i, j, window in _windows(inputs, len(kernel), stride)
    )
    return sum(products, start=jnp.zeros((), inputs.dtype))


def _windows(inputs: jax.Array, size: int, stride: int) -> list[tuple[int, int, jax.Array]]:
    """For each position in a kernel of this size: the values that it is multiplied with."""
    height, width = inputs.shape[1:3]
    margin = size // 2
    padded = jnp.pad(inputs, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    return [
        (i, j, padded[:, i : i + height : stride, j : j + width : stride])
        for i in range(size)
        for j in range(size)
    ]


def _forward(inputs: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, Any]:
    return depthwise_convolution(inputs, kernel, stride), (inputs, kernel)


def _backward(stride: int, saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    sums = [
        (window * gradient).sum((0, 1, 2)) for _, _, window in _windows(inputs, len(kernel), stride)
    ]
    if stride > 1:  # as if the outputs between had been computed, and not used
        within = [
            (0, size - 1 - stride * (n - 1), stride - 1) for size, n in _sides(inputs, gradient)
        ]
        zero = jnp.zeros((), gradient.dtype)
        gradient = lax.pad(gradient, zero, ((0, 0, 0), *within, (0, 0, 0)))
    of_inputs = depthwise_convolution(gradient, kernel[::-1, ::-1], 1)
    return of_inputs, jnp.stack(sums).reshape(kernel.shape)


def _sides(inputs: jax.Array, outputs: jax.Array) -> list[tuple[int, int]]:
    return list(zip(inputs.shape[1:3], outputs.shape[1:3], strict=True))


depthwise_convolution.defvjp(_forward, _backward)
