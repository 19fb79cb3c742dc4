"""SqueezeNet: Iandola et al., SqueezeNet (2016), table 1, and its version 1.1, as in torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.pooling import max_pool_3x3
from artjax.models.registry import Family, Translated, register
from artjax.models.staged import Stage, StagedNetwork, part_in_name
from artjax.models.translation import (
    CAFFE,
    IMAGENET,
    TORCHVISION,
    TorchNames,
    alone,
    from_keras,
    from_torch,
    knows,
)


@dataclass(frozen=True)
class Plan:
    """What differs between the versions.

    Attributes:
      stem_channels: channels of the first convolution.
      stem_size: side of its kernel.
      fires: stage by stage, the channels that each fire module squeezes to. It returns 8 times as many.
        A max-pool follows each stage but the last.
    """

    stem_channels: int
    stem_size: int
    fires: tuple[tuple[int, ...], ...]


PLANS: Mapping[str, Plan] = {
    "squeezenet1_0": Plan(96, 7, ((16, 16, 32), (32, 48, 48, 64), (64,))),
    "squeezenet1_1": Plan(64, 3, ((16, 16), (32, 32), (48, 48, 64, 64))),
}

_EXPANSION = 4  # of each of the two expanding convolutions


class Fire(nn.Module):
    """Section 3.1: a 1x1 convolution squeezes, a 1x1 and a 3x3 one expand.

    Attributes:
      squeeze: number of channels to which it squeezes.
      dtype: dtype of the activations. Parameters are float32.
    """

    squeeze: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] → [B, H, W, 8 squeeze]."""
        x = _convolution(self.squeeze, 1, 1, 0, self.dtype, "squeeze", x)
        wide = _EXPANSION * self.squeeze
        expanded = [
            _convolution(wide, size, 1, size // 2, self.dtype, f"expand{size}x{size}", x)
            for size in (1, 3)
        ]
        return jnp.concatenate(expanded, axis=-1)


class SqueezeNet(StagedNetwork):
    """The convolutions of a SqueezeNet. Its own classifier, a 1x1 convolution, is not part of it.

    Attributes:
      plan: the version.
    """

    plan: Plan

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `stem`, `stage1` to `stage3`, and `pooled`.

        The images are [B, H, W, 3]; H and W are at least 21.
        """
        yield "stem", self._stem
        for s in range(1, len(self.plan.fires) + 1):
            yield f"stage{s}", partial(self._fires, s)
        yield "pooled", lambda x: x.mean(axis=(1, 2))

    def _stem(self, x: jax.Array) -> jax.Array:
        plan = self.plan
        x = _convolution(plan.stem_channels, plan.stem_size, 2, 0, self.dtype, "stem_conv", x)
        return _max_pool(x)

    def _fires(self, s: int, x: jax.Array) -> jax.Array:
        for f, squeeze in enumerate(self.plan.fires[s - 1], start=1):
            x = Fire(squeeze, dtype=self.dtype, name=f"stage{s}_fire{f}")(x)
        return _max_pool(x) if s < len(self.plan.fires) else x


def _convolution(
    channels: int, size: int, stride: int, padding: int, dtype: jnp.dtype, name: str, x: jax.Array
) -> jax.Array:
    x = nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        padding=((padding, padding), (padding, padding)),
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        name=name,
    )(x)
    return nn.relu(x)


def _max_pool(x: jax.Array) -> jax.Array:
    """[B, H, W, C] → [B, H // 2, W // 2, C]: window 3, stride 2, and a last window that may be cut off.

    So an even side is padded by one pixel at its end: torch's `ceil_mode`.
    """
    height, width = x.shape[1:3]
    padding = ((0, 1 - height % 2), (0, 1 - width % 2))
    return max_pool_3x3(x, padding)


def _create(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> SqueezeNet:
    return SqueezeNet(PLANS[name], classes=classes, dtype=dtype, **options)


def _translate(name: str, arrays: Mapping[str, np.ndarray], side: int) -> Translated:
    """Knows torchvision's `features.0.weight` …, also without `features.`, and Caffe's, in Keras."""
    translated = _from_torchvision(name, arrays) or _from_caffe(name, arrays)
    if translated is None:
        raise ValueError(f"its names are not those of {name} in torchvision or Caffe")
    return translated


def _from_torchvision(name: str, arrays: Mapping[str, np.ndarray]) -> Translated | None:
    layers = _features(name)
    for names in (layers, alone(layers)):
        if knows(arrays, names):
            return Translated(*from_torch(arrays, names, unused={"classifier"}), TORCHVISION)
    return None


def _features(name: str) -> dict[str, str]:
    """Name in torchvision → path here."""
    layers = {"features.0": "stem_conv"}
    index = 3  # after the first convolution, its ReLU and a max-pool
    for s, fires in enumerate(PLANS[name].fires, start=1):
        for f in range(1, len(fires) + 1):
            for part in ("squeeze", "expand1x1", "expand3x3"):
                layers[f"features.{index}.{part}"] = f"stage{s}_fire{f}/{part}"
            index += 1
        index += 1  # the max-pool
    return layers


def _from_caffe(name: str, arrays: Mapping[str, np.ndarray]) -> Translated | None:
    layers = {"conv1": "stem_conv"}
    number = 2
    for s, fires in enumerate(PLANS[name].fires, start=1):
        for f in range(1, len(fires) + 1):
            layers[f"fire{number}/squeeze1x1"] = f"stage{s}_fire{f}/squeeze"
            for size in ("1x1", "3x3"):
                layers[f"fire{number}/expand{size}"] = f"stage{s}_fire{f}/expand{size}"
            number += 1
    found = from_keras(arrays, layers, unused={"conv10"})
    return Translated(*found, CAFFE) if found else None


register(
    Family(
        names=tuple(PLANS),
        create=_create,
        # The strides multiply to 16, but nothing is left of a 16 px image after the three max-pools. No
        # convolution or pool needs an exact multiple.
        size_multiple=lambda name: 32,
        part_of=part_in_name,
        preprocessing=IMAGENET,
        translate=_translate,
        # Its own classifier is a convolution with a ReLU behind, before the mean: no linear layer.
        torch_names=lambda name: TorchNames(_features(name)),
    )
)
