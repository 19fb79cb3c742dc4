"""Activation functions, and the gain of the kernels before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
from flax import linen as nn

_PRELU_SLOPE = 0.25  # at the start: He et al. (2015), section 2.1
_LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Attributes:
      function: elementwise; None for PReLU, which has parameters.
      gain: variance of a kernel times its fan-in that keeps the variance of the activations. It is
        1 / E[f(z)^2] for z of a standard normal distribution: He et al., Delving Deep into Rectifiers
        (2015), section 2.2, for ReLU and PReLU; the same integral for the others.
    """

    function: Callable[[jax.Array], jax.Array] | None
    gain: float


@jax.jit
def gelu(inputs: jax.Array) -> jax.Array:
    """Hendrycks & Gimpel, Gaussian Error Linear Units (2016), section 2: x Φ(x), not approximated.

    It is compiled by itself, so that its name stands in a jaxpr, where `onednn` looks for it.

    Args:
      inputs: floating point, of any shape; so is the result.
    """
    return nn.gelu(inputs, approximate=False)


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(nn.relu, 2.0),
    "prelu": Activation(None, 2 / (1 + _PRELU_SLOPE**2)),
    "leaky_relu": Activation(lambda x: nn.leaky_relu(x, _LEAKY_SLOPE), 2 / (1 + _LEAKY_SLOPE**2)),
    "elu": Activation(nn.elu, 1.5505),
    "gelu": Activation(gelu, 2.3517),
}
"""By the values of `--config.model.activation`."""


def activate(name: str, inputs: jax.Array, layer: str) -> jax.Array:
    """Applies an activation. It must be called within a compact method of a module.

    Args:
      name: in `ACTIVATIONS`.
      inputs: floating point [B, …, C].
      layer: name of the layer, for PReLU's parameter `negative_slope`: one number for the layer.
    """
    function = ACTIVATIONS[name].function
    if function is None:
        return nn.PReLU(negative_slope_init=_PRELU_SLOPE, name=layer)(inputs).astype(inputs.dtype)
    return function(inputs)
