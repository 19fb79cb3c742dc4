"""Mixup and CutMix: images of two works. Each label is weighted by its work's share of the image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from artjax.augment.geometry import box_mask

_QUANTILES = 4096


def partner(values: jax.Array) -> jax.Array:
    """For each work, the values of its partner: the work before it in the global batch; [B, …].

    The order of the works is random already. A roll by one moves only one image to the next device, and
    the pairs do not depend on the number of devices.
    """
    return jnp.roll(values, 1, axis=0)


def mix(
    key: jax.Array, images: jax.Array, *, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Mixes each image with its partner's.

    Mixup (Zhang et al., mixup: Beyond Empirical Risk Minimization (2018), section 2) is the weighted
    mean of both images. CutMix (Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers
    with Localizable Features (2019), section 3.1) replaces a box of the image by the same box of its
    partner. The part of the box outside the image does not count.

    The weight is drawn from Beta(a, a) for each image, not once for each batch: that would be a single
    sample of the distribution. If both are on, each image uses one of them, with probability 1/2.

    Args:
      key: a PRNG key.
      images: float [B, H, W, 3], on any scale.
      mixup: the parameter a of mixup's Beta distribution; 0 = no mixup.
      cutmix: the parameter a of CutMix's Beta distribution; 0 = no CutMix.

    Returns:
      The mixed images, of the same dtype, and the share of each image that is its own, float32 [B]. The
      rest is its partner's.
    """
    batch = images.shape[0]
    choice_key, mixup_key, share_key, x_key, y_key = jax.random.split(key, 5)
    own_pixels, share = jnp.ones((batch, 1, 1, 1)), jnp.ones((batch,))
    if cutmix:
        side = jnp.sqrt(1 - _beta(share_key, cutmix, batch))
        left = jax.random.uniform(x_key, (batch,)) - side / 2
        top = jax.random.uniform(y_key, (batch,)) - side / 2
        box = box_mask(left, top, side, side, (images.shape[1], images.shape[2]))
        own_pixels = 1 - box.astype(jnp.float32)
        share = own_pixels.mean(axis=(1, 2, 3))
    if mixup:
        weight = _beta(mixup_key, mixup, batch)
        chosen = jax.random.bernoulli(choice_key, 0.5 if cutmix else 1.0, (batch,))
        share = jnp.where(chosen, weight, share)
        in_4d = (batch, 1, 1, 1)
        own_pixels = jnp.where(chosen.reshape(in_4d), weight.reshape(in_4d), own_pixels)
    pixels = images.astype(jnp.float32)
    mixed = own_pixels * pixels + (1 - own_pixels) * partner(pixels)
    return mixed.astype(images.dtype), share


def _beta(key: jax.Array, a: float, batch: int) -> jax.Array:
    """Draws from Beta(a, a), float32 [batch].

    It draws one of 4,096 equally likely quantiles. `jax.random.beta` uses rejection sampling in a loop,
    and for the condition of a loop a GPU waits for the host.
    """
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    quantiles = jnp.asarray(special.betaincinv(a, a, middles), jnp.float32)
    return quantiles[jax.random.randint(key, (batch,), 0, _QUANTILES)]
