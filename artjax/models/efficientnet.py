"""EfficientNet-B0: Tan & Le, EfficientNet (2019), table 1, as in torchvision and timm.

timm's `tf_efficientnet_b0` has the same names, and other arithmetic: TensorFlow pads the lower and right
side only, and its BatchNorm adds 0.001 to the variance. It is not this network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.depthwise import depthwise_convolution
from artjax.models.normalization import BatchNorm
from artjax.models.registry import Family, Translated, register
from artjax.models.staged import Stage, StagedNetwork, part_in_name
from artjax.models.translation import IMAGENET, TORCHVISION, TorchNames, from_torch, knows


class Group(NamedTuple):
    """The blocks of a stage.

    Attributes:
      blocks: how many there are.
      channels: that each returns.
      size: side of the depthwise kernels.
      stride: of the first block.
      expansion: channels between, for each channel that comes in.
    """

    blocks: int
    channels: int
    size: int
    stride: int
    expansion: int


PLANS: Mapping[str, tuple[Group, ...]] = {
    "efficientnet_b0": (
        Group(1, 16, 3, 1, 1),
        Group(2, 24, 3, 2, 6),
        Group(2, 40, 5, 2, 6),
        Group(3, 80, 3, 2, 6),
        Group(3, 112, 5, 1, 6),
        Group(4, 192, 5, 2, 6),
        Group(1, 320, 3, 1, 6),
    )
}
"""The stages between stem and top."""

_STEM = 32  # channels
_TOP = 1280
_SQUEEZE = 4  # a block squeezes to a quarter of the channels that come in

# As in the authors' code and torchvision: normal, by the fan-out.
_KERNEL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Block(nn.Module):
    """The inverted bottleneck of Sandler et al., MobileNetV2 (2018), with squeeze-and-excitation.

    Attributes:
      group: its stage.
      stride: of the depthwise convolution.
      shifted: whether that is computed as `depthwise_convolution`.
      fixed_norms: as in `BatchNorm`.
      dtype: dtype of the activations. Parameters and statistics are float32.
    """

    group: Group
    stride: int
    shifted: bool
    fixed_norms: frozenset[str]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] → [B, H / stride, W / stride, channels]."""
        group, layer = self.group, partial(_convolution_and_norm, self, train)
        before, wide = x, group.expansion * x.shape[-1]
        if group.expansion > 1:
            x = nn.silu(layer("expand", wide, 1, 1, x))
        x = nn.silu(
            layer(
                "depthwise", wide, group.size, self.stride, x, depthwise=True, shifted=self.shifted
            )
        )
        x = self._excited(before.shape[-1] // _SQUEEZE, x)
        x = layer("project", group.channels, 1, 1, x)
        return x + before if x.shape == before.shape else x

    def _excited(self, squeezed: int, x: jax.Array) -> jax.Array:
        """A factor for each channel: Hu et al., Squeeze-and-Excitation Networks (2018), section 3."""
        dense = partial(nn.Dense, kernel_init=_KERNEL, dtype=self.dtype)
        factors = dense(squeezed, name="squeeze")(x.mean((1, 2)))
        factors = nn.sigmoid(dense(x.shape[-1], name="excite")(nn.silu(factors)))
        return x * factors[:, None, None]


class EfficientNet(StagedNetwork):
    """An EfficientNet without stochastic depth.

    Attributes:
      plan: the stages between stem and top.
      shifted: as in `Block`. The values are the same up to rounding; it is faster on a CPU.
    """

    plan: tuple[Group, ...]
    shifted: bool = False

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `stem`, `stage1` …, `top` and `pooled`.

        The images are [B, H, W, 3]; H and W are multiples of 32.
        """
        layer = partial(_convolution_and_norm, self, train)
        yield "stem", lambda x: nn.silu(layer("stem", _STEM, 3, 2, x))
        for s, group in enumerate(self.plan, start=1):
            yield f"stage{s}", partial(self._blocks, s, group, train)
        yield "top", lambda x: nn.silu(layer("top", _TOP, 1, 1, x))
        yield "pooled", lambda x: x.mean(axis=(1, 2))

    def _blocks(self, s: int, group: Group, train: bool, x: jax.Array) -> jax.Array:
        for b in range(1, group.blocks + 1):
            x = Block(
                group,
                stride=group.stride if b == 1 else 1,
                shifted=self.shifted,
                fixed_norms=self.fixed_norms,
                dtype=self.dtype,
                name=f"stage{s}_block{b}",
            )(x, train=train)
        return x


def _convolution_and_norm(
    module: Block | EfficientNet,
    train: bool,
    name: str,
    channels: int,
    size: int,
    stride: int,
    x: jax.Array,
    *,
    depthwise: bool = False,
    shifted: bool = False,
) -> jax.Array:
    """A convolution without bias, padded as torch does it, and BatchNorm, within a module."""
    x = nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        padding=((size // 2, size // 2), (size // 2, size // 2)),
        feature_group_count=channels if depthwise else 1,
        use_bias=False,
        kernel_init=_KERNEL,
        dtype=module.dtype,
        conv_general_dilated=partial(_by_shifts, stride) if shifted else None,
        name=f"{name}_conv",
    )(x)
    norm = BatchNorm(fixed_norms=module.fixed_norms, dtype=module.dtype, name=f"{name}_bn")
    return norm(x, train=train)


def _by_shifts(
    stride: int, inputs: jax.Array, kernel: jax.Array, *rest: Any, **options: Any
) -> jax.Array:
    return depthwise_convolution(inputs, kernel, stride)


def _create(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> EfficientNet:
    shifted = platform == "cpu"
    return EfficientNet(PLANS[name], classes=classes, shifted=shifted, dtype=dtype, **options)


def _torchvision_names(plan: tuple[Group, ...]) -> dict[str, str]:
    """Layer there → path here."""
    layers = _pair("features.0.0", "features.0.1", "stem")
    for s, group in enumerate(plan, start=1):
        for b in range(group.blocks):
            there, here = f"features.{s}.{b}.block", f"stage{s}_block{b + 1}"
            parts = (
                ["expand", "depthwise", "project"]
                if group.expansion > 1
                else ["depthwise", "project"]
            )
            for i, part in enumerate(parts):
                i += part == "project"  # after the squeeze-and-excitation
                layers |= _pair(f"{there}.{i}.0", f"{there}.{i}.1", f"{here}/{part}")
            excitation = f"{there}.{len(parts) - 1}"
            layers |= {
                f"{excitation}.fc1": f"{here}/squeeze",
                f"{excitation}.fc2": f"{here}/excite",
            }
    top = f"features.{len(plan) + 1}"
    return layers | _pair(f"{top}.0", f"{top}.1", "top")


def _timm_names(plan: tuple[Group, ...]) -> dict[str, str]:
    """Layer there → path here."""
    layers = _pair("conv_stem", "bn1", "stem") | _pair("conv_head", "bn2", "top")
    for s, group in enumerate(plan, start=1):
        wide = group.expansion > 1
        convolutions = ["conv_pw", "conv_dw", "conv_pwl"] if wide else ["conv_dw", "conv_pw"]
        parts = ["expand", "depthwise", "project"] if wide else ["depthwise", "project"]
        for b in range(group.blocks):
            there, here = f"blocks.{s - 1}.{b}", f"stage{s}_block{b + 1}"
            for i, (convolution, part) in enumerate(zip(convolutions, parts, strict=True), start=1):
                layers |= _pair(f"{there}.{convolution}", f"{there}.bn{i}", f"{here}/{part}")
            layers[f"{there}.se.conv_reduce"] = f"{here}/squeeze"
            layers[f"{there}.se.conv_expand"] = f"{here}/excite"
    return layers


def _pair(convolution: str, norm: str, here: str) -> dict[str, str]:
    return {convolution: f"{here}_conv", norm: f"{here}_bn"}


def _translate(name: str, arrays: Mapping[str, np.ndarray], side: int) -> Translated:
    """Knows `features.1.0.block.0.0.weight` of torchvision, `blocks.0.0.conv_dw.weight` of timm."""
    for names in (_torchvision_names, _timm_names):
        layers = names(PLANS[name])
        if knows(arrays, layers):
            dense = dict.fromkeys(_dense(layers), _as_dense)
            translated = from_torch(arrays, layers, unused={"classifier"}, layouts=dense)
            return Translated(*translated, replace(TORCHVISION, interpolation="cubic"))
    raise ValueError(f"its names are not those of {name} in torchvision or timm")


def _torch_names(name: str) -> TorchNames:
    layers = _torchvision_names(PLANS[name])
    layouts = dict.fromkeys(_dense(layers), lambda kernel: kernel.T[..., None, None])
    return TorchNames(layers, classifier="classifier.1", layouts=layouts)


def _dense(layers: Mapping[str, str]) -> list[str]:
    """The layers that are dense here, and 1x1 convolutions of single pixels there."""
    return [path for path in layers.values() if path.endswith(("squeeze", "excite"))]


def _as_dense(array: np.ndarray) -> np.ndarray:
    """[out, in, 1, 1] → [in, out]."""
    return array.reshape(array.shape[0], -1).T


register(
    Family(
        names=tuple(PLANS),
        create=_create,
        # Stem and four stages halve the side.
        size_multiple=lambda name: 32,
        part_of=part_in_name,
        preprocessing=IMAGENET,
        translate=_translate,
        torch_names=_torch_names,
    )
)
