"""ResNets: He et al., Deep Residual Learning (2016), table 1, in the form of torchvision and timm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.normalization import BatchNorm
from artjax.models.pooling import max_pool_3x3
from artjax.models.registry import Family, Translated, register
from artjax.models.staged import Stage, StagedNetwork, part_in_name
from artjax.models.translation import IMAGENET, TORCHVISION, TorchNames, from_torch, knows

BLOCKS: Mapping[str, tuple[int, ...]] = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
}
"""Number of blocks of each stage."""
_BASIC = ("resnet18", "resnet34")
"""The networks whose blocks are `BasicBlock`."""

_STEM = 64  # channels
_EXPANSION = 4  # a block returns 4 channels for each channel of its 3x3 convolution


class Bottleneck(nn.Module):
    """Three convolutions and a shortcut: section 4.1, figure 5.

    The stride is in the 3x3 convolution ("version 1.5"), as in the weights that are published; the paper
    has it in the first 1x1.

    Attributes:
      channels: of the first two convolutions; the third returns 4 times as many.
      stride: of the 3x3 convolution and of the shortcut.
      projects: whether the shortcut is a convolution, for it must change the shape.
      fixed_norms: as in `BatchNorm`.
      dtype: dtype of the activations. Parameters and statistics are float32.
    """

    channels: int
    stride: int
    projects: bool
    fixed_norms: frozenset[str]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] → [B, H / stride, W / stride, 4 channels]."""
        layer = partial(_convolution_and_norm, self, train)
        wide = _EXPANSION * self.channels
        shortcut = layer("{}_shortcut", wide, 1, self.stride, x) if self.projects else x
        x = nn.relu(layer("{}1", self.channels, 1, 1, x))
        x = nn.relu(layer("{}2", self.channels, 3, self.stride, x))
        return nn.relu(layer("{}3", wide, 1, 1, x) + shortcut)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: figures 2 and 5; the attributes are as in `Bottleneck`."""

    channels: int
    stride: int
    projects: bool
    fixed_norms: frozenset[str]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] → [B, H / stride, W / stride, channels]."""
        layer = partial(_convolution_and_norm, self, train)
        shortcut = layer("{}_shortcut", self.channels, 1, self.stride, x) if self.projects else x
        x = nn.relu(layer("{}1", self.channels, 3, self.stride, x))
        return nn.relu(layer("{}2", self.channels, 3, 1, x) + shortcut)


class ResNet(StagedNetwork):
    """A ResNet.

    Attributes:
      blocks: number of blocks of each stage. Stage s has 256 * 2 ** (s - 1) channels, and a quarter of
        it with basic blocks.
      basic: whether the blocks are `BasicBlock`; otherwise they are `Bottleneck`.
    """

    blocks: tuple[int, ...]
    basic: bool = False

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `stem`, `stage1` … and `pooled`.

        The images are [B, H, W, 3]; H and W are multiples of 2 ** (1 + number of stages).
        """
        yield "stem", partial(self._stem, train)
        for s, count in enumerate(self.blocks, start=1):
            yield f"stage{s}", partial(self._blocks, s, count, train)
        yield "pooled", lambda x: x.mean(axis=(1, 2))

    def _stem(self, train: bool, x: jax.Array) -> jax.Array:
        x = nn.relu(_convolution_and_norm(self, train, "stem_{}", _STEM, 7, 2, x))
        return max_pool_3x3(x, ((1, 1), (1, 1)))

    def _blocks(self, s: int, count: int, train: bool, x: jax.Array) -> jax.Array:
        block = BasicBlock if self.basic else Bottleneck
        for b in range(1, count + 1):
            x = block(
                _STEM * 2 ** (s - 1),
                stride=2 if b == 1 and s > 1 else 1,
                # The first basic blocks have the shape of the stem's outputs.
                projects=b == 1 and (s > 1 or not self.basic),
                fixed_norms=self.fixed_norms,
                dtype=self.dtype,
                name=f"stage{s}_block{b}",
            )(x, train=train)
        return x


def _convolution_and_norm(
    module: BasicBlock | Bottleneck | ResNet,
    train: bool,
    label: str,
    channels: int,
    size: int,
    stride: int,
    x: jax.Array,
) -> jax.Array:
    """A convolution without bias, padded as torch does it, and BatchNorm, within a module.

    Their names are `conv` and `bn`, where `label` has the place of `{}`: `stem_{}`, `{}1`.
    """
    padding = size // 2
    x = nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        padding=((padding, padding), (padding, padding)),
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        dtype=module.dtype,
        name=label.format("conv"),
    )(x)
    norm = BatchNorm(fixed_norms=module.fixed_norms, dtype=module.dtype, name=label.format("bn"))
    return norm(x, train=train)


def _create(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> ResNet:
    return ResNet(BLOCKS[name], basic=name in _BASIC, classes=classes, dtype=dtype, **options)


# The parts of the network in torchvision and timm, and in `Sequential(*network.children())`, as fastai
# and many scripts cut its classifier off.
_PARTS: tuple[Mapping[str, str], ...] = (
    {"conv1": "conv1", "bn1": "bn1"} | {f"layer{s}": f"layer{s}" for s in (1, 2, 3, 4)},
    {"conv1": "0", "bn1": "1"} | {f"layer{s}": f"{s + 3}" for s in (1, 2, 3, 4)},
)


def _translate(name: str, arrays: Mapping[str, np.ndarray], side: int) -> Translated:
    """Knows `layer1.0.conv1.weight` … of torchvision and timm, and `4.0.conv1.weight`."""
    for parts in _PARTS:
        layers = _layers(name, parts)
        if knows(arrays, layers):
            return Translated(*from_torch(arrays, layers, unused={"fc"}), TORCHVISION)
    raise ValueError(f"its names are not those of {name} in torchvision or timm")


def _layers(name: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Name there → path here."""
    layers = {parts["conv1"]: "stem_conv", parts["bn1"]: "stem_bn"}
    for s, count in enumerate(BLOCKS[name], start=1):
        for b in range(count):
            there, here = f"{parts[f'layer{s}']}.{b}", f"stage{s}_block{b + 1}"
            for i in (1, 2) if name in _BASIC else (1, 2, 3):
                layers |= {f"{there}.{kind}{i}": f"{here}/{kind}{i}" for kind in ("conv", "bn")}
            if b == 0 and not (s == 1 and name in _BASIC):
                layers[f"{there}.downsample.0"] = f"{here}/conv_shortcut"
                layers[f"{there}.downsample.1"] = f"{here}/bn_shortcut"
    return layers


register(
    Family(
        names=tuple(BLOCKS),
        create=_create,
        # The stem divides the side by 4, and each further stage by 2.
        size_multiple=lambda name: 2 ** (1 + len(BLOCKS[name])),
        part_of=part_in_name,
        preprocessing=IMAGENET,
        translate=_translate,
        torch_names=lambda name: TorchNames(_layers(name, _PARTS[0]), classifier="fc"),
    )
)
