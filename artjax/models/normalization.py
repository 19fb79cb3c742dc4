"""BatchNorm with a hand-written gradient, and LayerNorm."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

_BATCH_AXES = (0, 1, 2)
_MOMENTUM = 0.9  # of the running averages; the default of torch, which writes it as 0.1


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    inputs: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises each channel by its mean and variance over batch, height and width.

    Ioffe & Szegedy, Batch Normalization (2015), algorithm 1, computed in float32. No gradient flows
    through the returned mean and variance.

    The gradient is written by hand (section 3). Automatic differentiation computes three sums over the
    batch, where two are enough, and reads the activations once more.

    Args:
      inputs: floating point, [B, H, W, C].
      scale: float32 [C].
      bias: float32 [C].
      epsilon: added to the variance.

    Returns:
      The normalised inputs, in the inputs' dtype; their mean and their variance (with divisor B H W),
      each float32 [C].
    """
    return _forward(inputs, scale, bias, epsilon)[0]


def _over_pixels(channels: jax.Array) -> jax.Array:
    """[C] → [1, 1, 1, C]. It is explicit because the tests forbid implicit rank promotion."""
    return channels[None, None, None]


def _forward(
    inputs: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
    x = inputs.astype(jnp.float32)
    mean = x.mean(_BATCH_AXES)
    # One pass computes both sums. Rounding may make the difference negative.
    variance = jnp.maximum((x * x).mean(_BATCH_AXES) - mean * mean, 0)
    inverse = lax.rsqrt(variance + epsilon)
    outputs = (
        (x - _over_pixels(mean)) * _over_pixels(inverse * scale) + _over_pixels(bias)
    ).astype(inputs.dtype)
    return (outputs, mean, variance), (inputs, mean, inverse, scale)


def _backward(
    epsilon: float, saved: tuple[jax.Array, ...], gradients: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    inputs, mean, inverse, scale = saved
    gradient = gradients[0].astype(jnp.float32)
    centred = inputs.astype(jnp.float32) - _over_pixels(mean)
    count = inputs.size // inputs.shape[-1]
    of_bias = gradient.sum(_BATCH_AXES)
    of_scale = (gradient * centred).sum(_BATCH_AXES) * inverse
    of_inputs = _over_pixels(scale * inverse) * (
        gradient
        - _over_pixels(of_bias / count)
        - centred * _over_pixels(inverse * of_scale / count)
    )
    return of_inputs.astype(inputs.dtype), of_scale, of_bias


batch_norm.defvjp(_forward, _backward)


class BatchNorm(nn.Module):
    """Replaces `flax.linen.BatchNorm` for inputs [B, H, W, C]; variables and names are the same.

    Attributes:
      epsilon: added to the variance.
      fixed_norms: paths within the network of the BatchNorm layers that use their running averages in
        training, too, such as `bn1_1` and `stage1_block1/bn2`. It may have those of the whole network.
      dtype: dtype of the outputs. Parameters and statistics are float32.
    """

    epsilon: float = 1e-5
    fixed_norms: frozenset[str] = frozenset()
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Normalises by the batch's statistics in training, else by the running averages.

        Args:
          inputs: floating point, [B, H, W, C].
          train: whether to use the batch's statistics, and to update the running averages, unless this
            layer is among `fixed_norms`.

        Returns:
          The normalised inputs, of dtype `dtype`, [B, H, W, C].
        """
        channels = (inputs.shape[-1],)
        scale = self.param("scale", nn.initializers.ones_init(), channels)
        bias = self.param("bias", nn.initializers.zeros_init(), channels)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_variance = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train or "/".join(self.path) in self.fixed_norms:
            factor = scale * lax.rsqrt(running_variance.value + self.epsilon)
            centred = inputs.astype(jnp.float32) - _over_pixels(running_mean.value)
            outputs = centred * _over_pixels(factor) + _over_pixels(bias)
            return outputs.astype(self.dtype)
        outputs, mean, variance = batch_norm(inputs, scale, bias, self.epsilon)
        if not self.is_initializing():
            for average, value in ((running_mean, mean), (running_variance, variance)):
                average.value = _MOMENTUM * average.value + (1 - _MOMENTUM) * value
        return outputs.astype(self.dtype)


class LayerNorm(nn.LayerNorm):
    """`flax.linen.LayerNorm` over the channels, where `jax_numpy_dtype_promotion` may be `strict`.

    Flax 0.12.8 promotes bfloat16 inputs and float32 statistics implicitly. The variance is of the
    centred values: the fast one, E[x²] − E[x]², loses digits where the mean is large.
    """

    use_fast_variance: bool = False

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalises over the last axis; floating point [..., C] → `dtype`, [..., C]."""
        with jax.numpy_dtype_promotion("standard"):
            return super().__call__(x, mask=mask)
