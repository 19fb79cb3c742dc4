"""The same program with other arithmetic for its convolutions: which is fastest depends on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from artjax.models import winograd
from artjax.models.rewriting import aval, rewritten

_CHANNELS_LAST = (0, 3, 1, 2)


def with_faster_convolutions(
    function: Callable[..., Any], *, use_winograd: bool = False
) -> Callable[..., Any]:
    """A function with the outputs of another, but for rounding; to be compiled, not differentiated.

    Convolutions in float32 of [B, H, W, C] with a kernel of 1x1 are computed as matrix products, and
    where it pays those of 3x3 as `winograd.convolution_3x3`. Those within loops, branches and inner
    programs are left as they are.

    Args:
      function: pure; its arguments are arrays, or nested dicts, tuples and None.
      use_winograd: whether 3x3 convolutions are computed in another way, too.
    """

    def convolved(
        equation: core.JaxprEqn, inputs: list[Any], used_here_only: Sequence[bool]
    ) -> jax.Array | None:
        if not is_plain(equation) or set(equation.params["window_strides"]) != {1}:
            return None
        images, kernel = inputs
        padding = tuple(map(tuple, equation.params["padding"]))
        if kernel.shape[:2] == (1, 1) and padding == ((0, 0), (0, 0)):
            product: jax.Array = images @ kernel[0, 0]
            return product
        pays = winograd.pays(images.shape, kernel.shape)
        if use_winograd and padding == ((1, 1), (1, 1)) and pays:
            return winograd.convolution_3x3(images, kernel)
        return None

    return rewritten(function, convolved)


def is_plain(equation: core.JaxprEqn) -> bool:
    """Whether it is a float32 convolution of [B, H, W, C], without groups and dilation."""
    if equation.primitive is not lax.conv_general_dilated_p:
        return False
    params = equation.params
    numbers = params["dimension_numbers"]
    return (
        numbers.lhs_spec == numbers.out_spec == _CHANNELS_LAST
        and numbers.rhs_spec == (3, 2, 0, 1)
        and {*params["lhs_dilation"], *params["rhs_dilation"]} == {1}
        and params["feature_group_count"] == params["batch_group_count"] == 1
        and {aval(atom).dtype for atom in equation.invars} == {jnp.dtype(jnp.float32)}
    )
