"""Convolutions and matrix products by oneDNN, which jaxlib for x86 brings and does not use by itself.

oneDNN (Apache-2.0) is Intel's library of layers, which PyTorch uses on a CPU, too. XLA calls it by a
custom call whose description is internal to XLA. So it is called only from versions of jaxlib with which
it was tried, and only where a first call gives the right values.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from artjax.models.faster_convolutions import is_plain
from artjax.models.rewriting import aval, rewritten

# xla/service/cpu/onednn_config.proto, message OneDnnConvolutionConfig.
_TARGET = "__onednn$convolution"
_FEWEST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_TRIED_JAXLIB = ((0, 10),)
# By the names of the functions: flax.linen's, and `activations.gelu`.
_ACTIVATIONS = {"relu": "RELU", "gelu": "GELU_ERF", "silu": "SWISH"}

Sides = tuple[int, int]


@functools.cache
def is_there() -> bool:
    """Whether this jaxlib has oneDNN, and it computes a small convolution rightly."""
    version = tuple(map(int, jax.lib.__version__.split(".")[:2]))
    if version not in _TRIED_JAXLIB or platform.machine() != "x86_64":
        return False
    images = np.arange(2 * 5 * 5 * 16, dtype=np.float32).reshape(2, 5, 5, 16) % 7 - 3
    kernel = np.arange(9 * 16 * 16, dtype=np.float32).reshape(3, 3, 16, 16) % 5 - 2
    bias, others = np.arange(16, dtype=np.float32), images[:, ::2, ::2] + 1
    padding = ((1, 1), (1, 1))
    trial = _Affine(images, kernel, (2, 2), padding, (2, 3, 3, 16), None, bias, others)
    numbers = ("NHWC", "HWIO", "NHWC")
    expected = lax.conv_general_dilated(
        jnp.asarray(images), jnp.asarray(kernel), (2, 2), padding, dimension_numbers=numbers
    )
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]), not_kept():
            found = jax.jit(lambda: trial.computed("RELU"))()
    except jax.errors.JaxRuntimeError:
        return False
    return bool(np.allclose(found, np.maximum(np.asarray(expected) + bias + others, 0)))


def with_onednn(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the outputs of another, but for rounding; to be compiled, not differentiated.

    oneDNN computes its float32 convolutions and its products of images or tokens with a matrix, each
    together with what follows it: factors and terms for each channel (of a normalisation, for one), the
    sum with one more array, ReLU, GELU or SiLU. Those within loops, branches and inner programs are left
    as they are.

    Compile it within `not_kept`.

    Args:
      function: pure; its arguments are arrays, or nested dicts, tuples and None. It computes on one
        device of a CPU.
    """
    return rewritten(function, _with_epilogue, _computed)


@contextmanager
def not_kept() -> Iterator[None]:
    """In the block, compiled programs are not written to the disk: jaxlib fails to write these."""
    before = getattr(jax.config, _FEWEST_SECONDS)
    jax.config.update(_FEWEST_SECONDS, math.inf)
    try:
        yield
    finally:
        jax.config.update(_FEWEST_SECONDS, before)


@dataclasses.dataclass(frozen=True)
class _Affine:
    """scale · (images ∗ kernel) + shift + others, which is not computed yet.

    Attributes:
      images: float32 [B, H, W, C].
      kernel: float32 [h, w, C, D].
      strides: of height and width.
      padding: of both, before and after.
      shape: of the result; its elements are those of [B, H', W', D] in this order.
      scale, shift: [D], or None for 1 and 0.
      others: of the shape of the result, or None for 0.
    """

    images: Any
    kernel: Any
    strides: Sides
    padding: tuple[Sides, Sides]
    shape: tuple[int, ...]
    scale: Any = None
    shift: Any = None
    others: Any = None

    def of_channels(self, values: Any) -> Any:
        """Values for each channel as [D], or None of values that are something else."""
        if isinstance(values, _Affine) or values.size != self.kernel.shape[-1]:
            return None
        shape = tuple(values.shape)
        trailing = self.shape[len(self.shape) - len(shape) :]
        ones = next((i for i, side in enumerate(shape) if side != 1), len(shape))
        return values.reshape(-1) if shape[ones:] == trailing[ones:] else None

    def times(self, factors: Any) -> Self:
        scale = factors if self.scale is None else self.scale * factors
        shift = None if self.shift is None else self.shift * factors
        return dataclasses.replace(self, scale=scale, shift=shift)

    def plus(self, terms: Any) -> Self:
        return dataclasses.replace(self, shift=terms if self.shift is None else self.shift + terms)

    def computed(self, activation: str | None = None) -> jax.Array:
        kernel = self.kernel if self.scale is None else self.kernel * self.scale[None, None, None]
        sides = [
            (side + sum(padding) - size) // stride + 1
            for side, padding, size, stride in zip(
                self.images.shape[1:3], self.padding, kernel.shape[:2], self.strides, strict=True
            )
        ]
        shape = self.images.shape[0], *sides, kernel.shape[-1]
        terms = {} if self.shift is None else {"BIAS": self.shift}
        if self.others is not None:
            terms["BINARY_ADD"] = self.others.reshape(shape)
        config = {
            "dims": "4",
            "feature_groups": "1",
            "input": _images_layout(),
            "kernel": {
                "filter": {
                    "input_feature_dim": "2",
                    "output_feature_dim": "3",
                    "spatial_dims": ["0", "1"],
                }
            },
            "output": _images_layout(),
            "window": {
                "pad_left": [str(before) for before, _ in self.padding],
                "pad_right": [str(after) for _, after in self.padding],
                "strides": [str(stride) for stride in self.strides],
                "window_dilations": ["1", "1"],
            },
            "fusions": {"ops": [*terms, *([activation] if activation else [])]},
            "optimization_config": {"bias_broadcast": self.shift is not None},
        }
        call = jax.ffi.ffi_call(
            _TARGET,
            jax.ShapeDtypeStruct(shape, jnp.float32),
            custom_call_api_version=2,
            legacy_backend_config=json.dumps({"onednn_conv_config": config}),
        )
        result: jax.Array = call(self.images, kernel, *terms.values())
        return result.reshape(self.shape)


def _images_layout() -> dict[str, Any]:
    return {"data": {"batch_dim": "0", "feature_dim": "3", "spatial_dims": ["1", "2"]}}


def _computed(value: Any) -> Any:
    return value.computed() if isinstance(value, _Affine) else value


def _with_epilogue(
    equation: core.JaxprEqn, inputs: list[Any], used_here_only: Sequence[bool]
) -> Any:
    if is_plain(equation):
        return _of_convolution(equation, *map(_computed, inputs))
    name = equation.primitive.name
    if name == "dot_general" and _multiplies_by_matrix(equation):
        return _of_product(equation, *map(_computed, inputs))
    open_ones = [
        i for i, value in enumerate(inputs) if isinstance(value, _Affine) and used_here_only[i]
    ]
    if not open_ones:
        return None
    if activation := _activation(equation):
        return inputs[0].computed(activation)
    if name not in ("add", "sub", "mul") or (len(open_ones) > 1 and name == "mul"):
        return None
    affine, other = inputs[open_ones[-1]], inputs[1 - open_ones[-1]]
    if affine.others is not None or (name == "sub" and open_ones[-1] == 1):
        return None
    values = affine.of_channels(other)
    if name == "mul":
        return None if values is None else affine.times(values)
    if values is not None:
        return affine.plus(values if name == "add" else -values)
    other = _computed(other)
    if name == "add" and other.shape == affine.shape:
        return dataclasses.replace(affine, others=other)
    return None


def _activation(equation: core.JaxprEqn) -> str | None:
    """What oneDNN calls an activation; None of any other equation."""
    name = equation.primitive.name
    if name == "custom_jvp_call":  # a function with a gradient of its own; inside is the function
        equation = equation.params["call_jaxpr"].eqns[0]
        name = equation.primitive.name
    return _ACTIVATIONS.get(equation.params["name"]) if name == "jit" else None


def _of_convolution(equation: core.JaxprEqn, images: jax.Array, kernel: jax.Array) -> _Affine:
    params = equation.params
    shape = aval(equation.outvars[0]).shape
    return _Affine(images, kernel, params["window_strides"], params["padding"], shape)


def _multiplies_by_matrix(equation: core.JaxprEqn) -> bool:
    """Whether the last axes of at least three are summed up with the first ones of a float32 array."""
    (left, right), batch = equation.params["dimension_numbers"]
    shapes = [aval(atom).shape for atom in equation.invars]
    return (
        batch == ((), ())
        and len(shapes[0]) - len(left) >= 2
        and tuple(left) == tuple(range(len(shapes[0]) - len(left), len(shapes[0])))
        and tuple(right) == tuple(range(len(right)))
        and {aval(atom).dtype for atom in equation.invars} == {jnp.dtype(jnp.float32)}
    )


def _of_product(equation: core.JaxprEqn, inputs: jax.Array, matrix: jax.Array) -> _Affine:
    (_, summed), _ = equation.params["dimension_numbers"]
    rows = math.prod(matrix.shape[: len(summed)])
    return _Affine(
        inputs.reshape(len(inputs), -1, 1, rows),
        matrix.reshape(1, 1, rows, -1),
        (1, 1),
        ((0, 0), (0, 0)),
        aval(equation.outvars[0]).shape,
    )
