"""Depthwise convolution as a sum of shifted products: XLA's own is many times slower on a CPU."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_vjp
def depthwise_convolution(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves each channel with its own kernel; the output has the size of the input.

    Values and gradients are those of `lax.conv_general_dilated` with `feature_group_count` = C, up to
    rounding. On two CPU cores it takes a tenth of the time or less; figures are in docs/performance.md.

    Args:
      inputs: floating point [B, H, W, C].
      kernel: the same dtype, [N, N, 1, C] with odd N.

    Returns:
      The inputs' dtype, [B, H, W, C].
    """
    products = (
        window * kernel[i, j, 0][None, None, None] for i, j, window in _windows(inputs, len(kernel))
    )
    return sum(products, start=jnp.zeros((), inputs.dtype))


def _windows(inputs: jax.Array, size: int) -> list[tuple[int, int, jax.Array]]:
    """For each position in a kernel of this size: the values that it is multiplied with."""
    height, width = inputs.shape[1:3]
    margin = size // 2
    padded = jnp.pad(inputs, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    return [
        (i, j, padded[:, i : i + height, j : j + width]) for i in range(size) for j in range(size)
    ]


def _forward(inputs: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return depthwise_convolution(inputs, kernel), (inputs, kernel)


def _backward(saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    of_inputs = depthwise_convolution(gradient, kernel[::-1, ::-1])
    sums = [(window * gradient).sum((0, 1, 2)) for _, _, window in _windows(inputs, len(kernel))]
    return of_inputs, jnp.stack(sums).reshape(kernel.shape)


depthwise_convolution.defvjp(_forward, _backward)
