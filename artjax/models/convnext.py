"""ConvNeXt-Tiny: Liu et al., A ConvNet for the 2020s (2022), as in torchvision and timm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.activations import gelu
from artjax.models.depthwise import depthwise_convolution
from artjax.models.normalization import LayerNorm
from artjax.models.registry import Family, Translated, register
from artjax.models.staged import Stage, StagedNetwork, part_in_name
from artjax.models.translation import IMAGENET, TORCHVISION, TorchNames, from_torch, knows


@dataclass(frozen=True)
class Plan:
    """What differs between the sizes: number of blocks, and of channels, of each stage."""

    blocks: tuple[int, ...]
    channels: tuple[int, ...]


PLANS: Mapping[str, Plan] = {"convnext_tiny": Plan((3, 3, 9, 3), (96, 192, 384, 768))}

# Appendix A.1: truncated normal initialisation, and layer scales that leave out every block at first.
_KERNEL = nn.initializers.truncated_normal(0.02)
_LAYER_SCALE = 1e-6


class Block(nn.Module):
    """Figure 4: a depthwise 7x7 convolution, LayerNorm, two 1x1 ones with GELU, and a shortcut.

    Attributes:
      shifted: whether the depthwise convolution is computed as `depthwise_convolution`.
      dtype: dtype of the activations. Parameters are float32.
    """

    shifted: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] → [B, H, W, C]."""
        channels = x.shape[-1]
        scale = self.param("layer_scale", nn.initializers.constant(_LAYER_SCALE), (channels,))
        y = nn.Conv(
            channels,
            (7, 7),
            padding=((3, 3), (3, 3)),
            feature_group_count=channels,
            kernel_init=_KERNEL,
            dtype=self.dtype,
            conv_general_dilated=_by_shifts if self.shifted else None,
            name="depthwise",
        )(x)
        y = _norm(self.dtype, "norm")(y)
        y = nn.Dense(4 * channels, kernel_init=_KERNEL, dtype=self.dtype, name="fc1")(y)
        y = gelu(y)
        y = nn.Dense(channels, kernel_init=_KERNEL, dtype=self.dtype, name="fc2")(y)
        return x + y * scale[None, None, None].astype(self.dtype)


class ConvNeXt(StagedNetwork):
    """A ConvNeXt without stochastic depth.

    Attributes:
      plan: the size.
      shifted: as in `Block`. The values are the same up to rounding; it is faster on a CPU.
    """

    plan: Plan
    shifted: bool = False

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `stem`, `stage1` … and `pooled`.

        The images are [B, H, W, 3]; H and W are multiples of 2 ** (1 + number of stages).
        """
        yield "stem", self._stem
        for s in range(1, len(self.plan.blocks) + 1):
            yield f"stage{s}", partial(self._blocks, s)
        # The norm before the classifier of torchvision and timm: the weights that follow expect it.
        yield "pooled", lambda x: _norm(self.dtype, "pooled_norm")(x.mean(axis=(1, 2)))

    def _stem(self, x: jax.Array) -> jax.Array:
        x = _patches(self.plan.channels[0], 4, self.dtype, "stem_conv", x)
        return _norm(self.dtype, "stem_norm")(x)

    def _blocks(self, s: int, x: jax.Array) -> jax.Array:
        if s > 1:
            x = _norm(self.dtype, f"stage{s}_norm")(x)
            x = _patches(self.plan.channels[s - 1], 2, self.dtype, f"stage{s}_conv", x)
        for b in range(1, self.plan.blocks[s - 1] + 1):
            x = Block(self.shifted, self.dtype, name=f"stage{s}_block{b}")(x)
        return x


def _by_shifts(inputs: jax.Array, kernel: jax.Array, *rest: Any, **options: Any) -> jax.Array:
    return depthwise_convolution(inputs, kernel)


def _norm(dtype: jnp.dtype, name: str) -> LayerNorm:
    return LayerNorm(epsilon=1e-6, dtype=dtype, name=name)


def _patches(channels: int, size: int, dtype: jnp.dtype, name: str, x: jax.Array) -> jax.Array:
    """[B, H, W, C] → [B, H / size, W / size, channels]."""
    return nn.Conv(
        channels,
        (size, size),
        (size, size),
        padding="VALID",
        kernel_init=_KERNEL,
        dtype=dtype,
        name=name,
    )(x)


def _create(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> ConvNeXt:
    return ConvNeXt(PLANS[name], classes=classes, shifted=platform == "cpu", dtype=dtype, **options)


def _torchvision_names(plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Layers, and layer scales: name there → path here."""
    layers = {
        "features.0.0": "stem_conv",
        "features.0.1": "stem_norm",
        "classifier.0": "pooled_norm",
    }
    scales = {}
    for s, count in enumerate(plan.blocks, start=1):
        if s > 1:
            layers[f"features.{2 * s - 2}.0"] = f"stage{s}_norm"
            layers[f"features.{2 * s - 2}.1"] = f"stage{s}_conv"
        for b in range(count):
            there, here = f"features.{2 * s - 1}.{b}", f"stage{s}_block{b + 1}"
            names = {"0": "depthwise", "2": "norm", "3": "fc1", "5": "fc2"}
            layers |= {f"{there}.block.{i}": f"{here}/{name}" for i, name in names.items()}
            scales[f"{there}.layer_scale"] = f"{here}/layer_scale"
    return layers, scales


def _torch_names(name: str) -> TorchNames:
    layers, scales = _torchvision_names(PLANS[name])
    vectors = {there: (here, (-1, 1, 1)) for there, here in scales.items()}
    return TorchNames(layers, classifier="classifier.2", vectors=vectors)


def _timm_names(plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Layers, and layer scales: name there → path here."""
    layers = {"stem.0": "stem_conv", "stem.1": "stem_norm", "head.norm": "pooled_norm"}
    scales = {}
    for s, count in enumerate(plan.blocks, start=1):
        if s > 1:
            layers[f"stages.{s - 1}.downsample.0"] = f"stage{s}_norm"
            layers[f"stages.{s - 1}.downsample.1"] = f"stage{s}_conv"
        for b in range(count):
            there, here = f"stages.{s - 1}.blocks.{b}", f"stage{s}_block{b + 1}"
            names = {"conv_dw": "depthwise", "norm": "norm", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}
            layers |= {f"{there}.{i}": f"{here}/{name}" for i, name in names.items()}
            scales[f"{there}.gamma"] = f"{here}/layer_scale"
    return layers, scales


def _translate(name: str, arrays: Mapping[str, np.ndarray], side: int) -> Translated:
    """Knows `features.1.0.block.0.weight` of torchvision, `stages.0.blocks.0.conv_dw.weight` of timm."""
    for names, classifier, preprocessing in (
        (_torchvision_names, "classifier.2", replace(IMAGENET, crop_share=224 / 236)),
        (_timm_names, "head.fc", replace(TORCHVISION, interpolation="cubic")),
    ):
        layers, scales = names(PLANS[name])
        if knows(arrays, layers):
            translated = from_torch(arrays, layers, unused={classifier}, vectors=scales)
            return Translated(*translated, preprocessing)
    raise ValueError(f"its names are not those of {name} in torchvision or timm")


register(
    Family(
        names=tuple(PLANS),
        create=_create,
        # The stem divides the side by 4, and each further stage by 2.
        size_multiple=lambda name: 2 ** (1 + len(PLANS[name].blocks)),
        part_of=part_in_name,
        preprocessing=IMAGENET,
        translate=_translate,
        torch_names=_torch_names,
    )
)
