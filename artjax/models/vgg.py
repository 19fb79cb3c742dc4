"""VGG: Simonyan & Zisserman, Very Deep Convolutional Networks (2015), table 1, A, B, D and E."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from artjax.models.activations import ACTIVATIONS, activate
from artjax.models.normalization import BatchNorm
from artjax.models.pooling import adaptive_average_pool, max_pool_2x2
from artjax.models.preprocessing import Preprocessing
from artjax.models.registry import HEAD, Family, Translated, register
from artjax.models.staged import Stage, StagedNetwork
from artjax.models.translation import (
    TORCHVISION,
    TorchNames,
    alone,
    from_keras,
    from_torch,
    knows,
)

DEPTHS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "vgg11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}
"""Channels of each convolution, stage by stage. Every stage ends with a 2x2 max-pool."""

# He et al., Delving Deep into Rectifiers (2015), section 2.2: layers with ReLU keep the variance.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")

# A quarter of the channels and no hidden layers: trains on 64 px images on a CPU in minutes.
SMALL = ((16,), (32,), (64, 64), (128, 128))

# GPU tensor cores process 8 channels at once. On an H200 the first layer of a VGG reaches 57 to 117
# TFLOP/s with 8 channels, 12 to 20 with 3. On a CPU the padding with zeros makes it slower.
_STEM_CHANNELS = {"gpu": 8}


class VGG(StagedNetwork):
    """A VGG.

    Attributes:
      stages: channels of each 3x3 convolution, stage by stage.
      hidden: widths of the fully connected layers, which `dropout` follows, too. Without them the
        features are averaged over the image. If `head_layers` replace them, the features are those of
        the last stage, pooled to 7x7.
      batch_norm: whether BatchNorm follows each convolution, which then has no bias.
      relu_after_pool: whether the last ReLU of each stage comes after its max-pool. The two commute, so
        the values are the same, but the ReLU has a quarter of the values to process.
      activation: a name in `activations.ACTIVATIONS`. All but `relu` come before the max-pool.
      stem_channels: number of channels to which the three channels of the image, and the first kernel,
        are padded with zeros. The values are the same; GPU tensor cores need a multiple of 8.
    """

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    batch_norm: bool = False
    relu_after_pool: bool = True
    activation: str = "relu"
    stem_channels: int = 3

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `stage1` …, and `hidden` or `pooled`.

        The images are [B, H, W, 3]; H and W are multiples of 2 ** len(stages).
        """
        for s, widths in enumerate(self.stages, start=1):
            yield f"stage{s}", partial(self._convolutions, s, widths, train)
        if not self.hidden:
            yield "pooled", lambda x: x.mean(axis=(1, 2))
        elif self.head_layers:
            yield "pooled", _pooled_7x7
        else:
            yield "hidden", partial(self._hidden_layers, train)

    def _convolutions(
        self, s: int, widths: tuple[int, ...], train: bool, x: jax.Array
    ) -> jax.Array:
        gain = ACTIVATIONS[self.activation].gain
        relu_last = self.relu_after_pool and self.activation == "relu"
        for c, channels in enumerate(widths, start=1):
            x = nn.Conv(
                channels,
                (3, 3),
                use_bias=not self.batch_norm,
                kernel_init=nn.initializers.variance_scaling(gain, "fan_in", "truncated_normal"),
                dtype=self.dtype,
                conv_general_dilated=partial(_convolution, self.stem_channels),
                name=f"conv{s}_{c}",
            )(x)
            if self.batch_norm:
                norm = BatchNorm(fixed_norms=self.fixed_norms, dtype=self.dtype, name=f"bn{s}_{c}")
                x = norm(x, train=train)
            if c < len(widths) or not relu_last:
                x = activate(self.activation, x, f"act{s}_{c}")
        x = max_pool_2x2(x)
        return nn.relu(x) if relu_last else x

    def _hidden_layers(self, train: bool, x: jax.Array) -> jax.Array:
        gain = ACTIVATIONS[self.activation].gain
        x = _pooled_7x7(x)
        for i, width in enumerate(self.hidden, start=1):
            if i > 1:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = nn.Dense(
                width,
                kernel_init=nn.initializers.variance_scaling(gain, "fan_in", "truncated_normal"),
                dtype=self.dtype,
                name=f"fc{i}",
            )(x)
            x = activate(self.activation, x, f"fc_act{i}")
        return x  # the head begins with the dropout after the last layer


def _pooled_7x7(x: jax.Array) -> jax.Array:
    """[B, H, W, C] → [B, 49 C]. A 224 px image has 7x7 features after five halvings."""
    x = adaptive_average_pool(x, 7)
    return x.reshape(x.shape[0], -1)


def _convolution(
    channels: int,
    inputs: jax.Array,
    kernel: jax.Array,
    *arguments: Any,
    **options: Any,
) -> jax.Array:
    """`lax.conv_general_dilated` on [B, H, W, C]. If C < `channels`, C is padded with zeros."""
    missing = max(0, channels - inputs.shape[-1])
    if missing:
        inputs = jnp.pad(inputs, ((0, 0), (0, 0), (0, 0), (0, missing)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, missing), (0, 0)))
    return lax.conv_general_dilated(inputs, kernel, *arguments, **options)


def _create(
    name: str,
    classes: Mapping[str, int],
    *,
    dtype: jnp.dtype,
    platform: str,
    **options: Any,
) -> VGG:
    small = name == "vgg_small"
    return VGG(
        stages=_stages_of(name),
        hidden=() if small else (4096, 4096),
        classes=classes,
        batch_norm=small or name.endswith("_bn"),
        stem_channels=_STEM_CHANNELS.get(platform, 3),
        dtype=dtype,
        **options,
    )


def _stages_of(name: str) -> tuple[tuple[int, ...], ...]:
    return SMALL if name == "vgg_small" else DEPTHS[name.partition("_")[0]]


def _part_of(path: str) -> str:
    """`conv2_1/kernel` and `bn2_1/scale` belong to `stage2`, `fc1/bias` to the stage `hidden`."""
    layer = path.partition("/")[0]
    if layer.startswith("head_"):
        return HEAD
    return "hidden" if layer.startswith("fc") else f"stage{layer.partition('_')[0][-1]}"


_HIDDEN = {"classifier.0": "fc1", "classifier.3": "fc2"}  # in torchvision

# Keras subtracts the mean of ImageNet on the scale [0, 255], in BGR, and does not divide.
KERAS = Preprocessing(
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
    channel_order="BGR",
)


def _translate(name: str, arrays: Mapping[str, np.ndarray], side: int) -> Translated:
    """Knows `features.0.weight` … of torchvision and timm, and `block1_conv1/0` … of Keras."""
    if name == "vgg_small":
        raise ValueError("vgg_small is a network of this package; nobody published weights for it")
    translated = _from_torch(name, arrays) or _from_keras(name, arrays)
    if translated is None:
        raise ValueError(f"its names are not those of {name} in torchvision, timm or Keras")
    return translated


def _from_torch(name: str, arrays: Mapping[str, np.ndarray]) -> Translated | None:
    layers = _features(name)
    if not knows(arrays, layers):
        layers = alone(layers)
    if not knows(arrays, layers):
        return None
    layers |= _HIDDEN
    layers |= {"pre_logits.fc1": "fc1", "pre_logits.fc2": "fc2"}  # timm
    variables, unused = from_torch(
        arrays,
        layers,
        unused={"classifier.6", "head.fc"},
        layouts={"fc1": _first_dense_kernel, "fc2": _dense_kernel},
    )
    if name.endswith("_bn"):
        _move_biases_into_means(variables)
    return Translated(variables, unused, TORCHVISION)


def _features(name: str) -> dict[str, str]:
    """The convolutions: name in torchvision and timm → path here."""
    batch_norm = name.endswith("_bn")
    layers = {}
    index = 0  # of the layer within `features`, where ReLUs and max-pools count, too
    for s, widths in enumerate(_stages_of(name), start=1):
        for c in range(1, len(widths) + 1):
            layers[f"features.{index}"] = f"conv{s}_{c}"
            if batch_norm:
                layers[f"features.{index + 1}"] = f"bn{s}_{c}"
            index += 3 if batch_norm else 2
        index += 1
    return layers


def _torch_names(name: str) -> TorchNames:
    if name == "vgg_small":
        raise KeyError(name)
    convolutions = _features(name)
    layers = {there: here for there, here in convolutions.items() if here.startswith("conv")}
    return TorchNames(
        {**convolutions, **_HIDDEN},
        classifier="classifier.6",
        layouts={"fc1": _first_dense_kernel_there},
        with_bias=tuple(layers) if name.endswith("_bn") else (),
    )


def _move_biases_into_means(variables: dict[str, np.ndarray]) -> None:
    """Removes the biases before BatchNorm, which torchvision and timm have, and which change nothing.

    The running mean contains the bias, so without it the mean is smaller by as much.
    """
    means = [path for path in variables if path.endswith("/mean")]
    for mean in means:
        bias = mean.replace("batch_stats/bn", "params/conv").replace("/mean", "/bias")
        if bias in variables and variables[bias].shape == variables[mean].shape:
            variables[mean] = variables[mean] - variables.pop(bias)


def _first_dense_kernel(array: np.ndarray) -> np.ndarray:
    """[out, C * 49] or [out, C, 7, 7] → [49 * C, out]: here the channels are the last axis of pixels."""
    out = array.shape[0]
    if array[0].size % 49:
        return array.T  # of a VGG for other images: its shape will be refused
    return array.reshape(out, -1, 7, 7).transpose(2, 3, 1, 0).reshape(-1, out)


def _first_dense_kernel_there(kernel: np.ndarray) -> np.ndarray:
    """[49 * C, out] → [out, C * 49], the inverse of `_first_dense_kernel`."""
    out = kernel.shape[1]
    return kernel.reshape(7, 7, -1, out).transpose(3, 2, 0, 1).reshape(out, -1)


def _dense_kernel(array: np.ndarray) -> np.ndarray:
    """[out, in] or [out, in, 1, 1] → [in, out]."""
    return array.reshape(array.shape[0], -1).T


def _from_keras(name: str, arrays: Mapping[str, np.ndarray]) -> Translated | None:
    layers = {
        f"block{s}_conv{c}": f"conv{s}_{c}"
        for s, widths in enumerate(_stages_of(name), start=1)
        for c in range(1, len(widths) + 1)
    }
    dense = {"fc1": "fc1", "fc2": "fc2"}
    found = from_keras(arrays, layers, unused={"predictions"}, optional=dense)
    return Translated(*found, KERAS) if found else None


register(
    Family(
        names=(*(f"{base}{norm}" for base in DEPTHS for norm in ("", "_bn")), "vgg_small"),
        create=_create,
        options=("relu_after_pool", "activation"),
        # Each stage halves the side, and at least one pixel must be left.
        size_multiple=lambda name: 2 ** len(_stages_of(name)),
        part_of=_part_of,
        translate=_translate,
        torch_names=_torch_names,
    )
)
