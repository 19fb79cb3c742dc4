"""The same program with other arithmetic for its convolutions: which is fastest depends on the CPU.

A jaxpr is evaluated equation by equation, as in JAX's own tutorial on custom interpreters, and the
convolutions that pay are computed in another way. So no network needs to know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from artjax.models import winograd

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

    def faster(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(closed, jax.tree.leaves(arguments), use_winograd)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return faster


def _evaluate(closed: core.ClosedJaxpr, arguments: list[Any], use_winograd: bool) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[core.Var, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _convolved(equation, inputs, use_winograd)
        if outputs is None:
            primitive = equation.primitive
            outputs = primitive.bind(*inputs, **primitive.get_bind_params(equation.params))
            outputs = outputs if primitive.multiple_results else [outputs]
        values |= zip(equation.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _convolved(
    equation: core.JaxprEqn, inputs: list[Any], use_winograd: bool
) -> list[jax.Array] | None:
    """The outputs of a convolution that pays to be computed in another way; None of all else."""
    if equation.primitive is not lax.conv_general_dilated_p or not _is_plain(equation.params):
        return None
    images, kernel = inputs
    if images.dtype != jnp.float32:
        return None
    padding = tuple(map(tuple, equation.params["padding"]))
    if kernel.shape[:2] == (1, 1) and padding == ((0, 0), (0, 0)):
        return [images @ kernel[0, 0]]
    if use_winograd and padding == ((1, 1), (1, 1)) and winograd.pays(images.shape, kernel.shape):
        return [winograd.convolution_3x3(images, kernel)]
    return None


def _is_plain(params: dict[str, Any]) -> bool:
    """Whether a convolution is one of [B, H, W, C] with stride 1, no groups and no dilation."""
    numbers = params["dimension_numbers"]
    steps = (*params["window_strides"], *params["lhs_dilation"], *params["rhs_dilation"])
    return (
        numbers.lhs_spec == numbers.out_spec == _CHANNELS_LAST
        and numbers.rhs_spec == (3, 2, 0, 1)
        and set(steps) == {1}
        and params["feature_group_count"] == params["batch_group_count"] == 1
    )
