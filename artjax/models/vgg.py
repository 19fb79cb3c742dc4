"""VGG: Simonyan & Zisserman, Very Deep Convolutional Networks (2015), table 1, A, B, D and E."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from artjax.models.normalization import BatchNorm
from artjax.models.pooling import adaptive_average_pool, max_pool_2x2
from artjax.models.registry import HEAD, Family, register

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


class VGG(nn.Module):
    """A VGG with one linear head for each task.

    Attributes:
      stages: channels of each 3x3 convolution, stage by stage.
      hidden: widths of the fully connected layers. Without them the features are averaged over the
        image and passed directly to the heads.
      classes: number of classes for each task.
      batch_norm: whether BatchNorm follows each convolution, which then has no bias.
      dropout: rate after each hidden layer (without hidden layers: before the heads), in [0, 1).
      relu_after_pool: whether the last ReLU of each stage comes after its max-pool. The two commute, so
        the values are the same, but the ReLU has a quarter of the values to process.
      stem_channels: number of channels to which the three channels of the image, and the first kernel,
        are padded with zeros. The values are the same; GPU tensor cores need a multiple of 8.
      dtype: dtype of the activations. Parameters and statistics are float32.
    """

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    classes: Mapping[str, int]
    batch_norm: bool = False
    dropout: float = 0.5
    relu_after_pool: bool = True
    stem_channels: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Computes the logits.

        Args:
          images: float, [B, H, W, 3] in [-1, 1]; H and W are multiples of 2 ** len(stages).
          train: whether to use the batch's statistics, and dropout (which needs the "dropout" key).

        Returns:
          Logits for each task, float32 [B, classes].
        """
        x = images.astype(self.dtype)
        convolve = partial(_padded_convolution, self.stem_channels)
        for s, widths in enumerate(self.stages, start=1):
            for c, channels in enumerate(widths, start=1):
                x = nn.Conv(
                    channels,
                    (3, 3),
                    use_bias=not self.batch_norm,
                    kernel_init=HE_NORMAL,
                    dtype=self.dtype,
                    conv_general_dilated=convolve,
                    name=f"conv{s}_{c}",
                )(x)
                if self.batch_norm:
                    x = BatchNorm(dtype=self.dtype, name=f"bn{s}_{c}")(x, train=train)
                if c < len(widths) or not self.relu_after_pool:
                    x = nn.relu(x)
            x = max_pool_2x2(x)
            if self.relu_after_pool:
                x = nn.relu(x)
            x = checkpoint_name(x, f"stage{s}")

        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        if self.hidden:
            # A 224 px image has 7x7 features after five halvings.
            x = adaptive_average_pool(x, 7)
            x = x.reshape(x.shape[0], -1)
        else:
            x = dropout()(x.mean(axis=(1, 2)))
        for i, width in enumerate(self.hidden, start=1):
            x = nn.Dense(width, kernel_init=HE_NORMAL, dtype=self.dtype, name=f"fc{i}")(x)
            x = dropout()(nn.relu(x))
        # With zero kernels all classes are equally likely at first, so the loss is exactly ln(classes).
        return {
            task: nn.Dense(
                number,
                kernel_init=nn.initializers.zeros_init(),
                dtype=jnp.float32,
                name=f"head_{task}",
            )(x.astype(jnp.float32))
            for task, number in self.classes.items()
        }


def _padded_convolution(
    channels: int, inputs: jax.Array, kernel: jax.Array, *arguments: Any, **options: Any
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
    dropout: float,
    relu_after_pool: bool,
) -> VGG:
    small = name == "vgg_small"
    return VGG(
        stages=_stages_of(name),
        hidden=() if small else (4096, 4096),
        classes=classes,
        batch_norm=small or name.endswith("_bn"),
        dropout=dropout,
        relu_after_pool=relu_after_pool,
        stem_channels=_STEM_CHANNELS.get(platform, 3),
        dtype=dtype,
    )


def _stages_of(name: str) -> tuple[tuple[int, ...], ...]:
    return SMALL if name == "vgg_small" else DEPTHS[name.partition("_")[0]]


def _part_of(path: str) -> str:
    """`conv2_1/kernel` and `bn2_1/scale` belong to `stage2`, `fc1/bias` to the last stage, `hidden`."""
    layer = path.partition("/")[0]
    if layer.startswith("head_"):
        return HEAD
    return "hidden" if layer.startswith("fc") else f"stage{layer.strip('convb').partition('_')[0]}"


register(
    Family(
        names=(*(f"{base}{norm}" for base in DEPTHS for norm in ("", "_bn")), "vgg_small"),
        create=_create,
        options=("dropout", "relu_after_pool"),
        # Each stage halves the side, and at least one pixel must be left.
        size_multiple=lambda name: 2 ** len(_stages_of(name)),
        stages=lambda name: (
            *(f"stage{s}" for s in range(1, len(_stages_of(name)) + 1)),
            *(() if name == "vgg_small" else ("hidden",)),
        ),
        part_of=_part_of,
    )
)
