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
"""Channels of each convolution, by stage; a 2x2 max-pool ends every stage."""

# He et al., Delving Deep into Rectifiers (2015), section 2.2: keeps the variance through ReLUs.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")

# A quarter of the channels and no hidden layers: learns 64 px pictures on a CPU in minutes.
SMALL = ((16,), (32,), (64, 64), (128, 128))

# A GPU's tensor cores take 8 channels at once: on an H200 the first layer of a VGG does 57 to 117
# TFLOP/s with them, 12 to 20 without. On a CPU the zeros cost more than they bring.
_STEM_CHANNELS = {"gpu": 8}


class VGG(nn.Module):
    """A VGG with one linear head for each task.

    Attributes:
      stages: channels of each 3x3 convolution, by stage.
      hidden: widths of the fully connected layers; with none, the features are averaged over the
        picture instead and go straight to the heads.
      classes: number of classes for each task.
      batch_norm: BatchNorm after each convolution, which then has no bias.
      dropout: rate after each hidden layer (before the heads where there is none), in [0, 1).
      relu_after_pool: the last ReLU of each stage comes after its max-pool: both only pick or clip,
        so the values are the same, on a quarter of the numbers.
      stem_channels: to which the picture's three are filled up with zeros, and the first kernel with
        them: the same values, but the tensor cores of a GPU want a multiple of 8.
      dtype: of the activations; parameters and statistics are float32.
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
          train: uses the batch's own statistics, and dropout (which needs the "dropout" key).

        Returns:
          Logits for each task, float32 [B, classes].
        """
        x = images.astype(self.dtype)
        convolve = partial(_filled_up_convolution, self.stem_channels)
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
            # 7x7 is what a 224 px picture has left after five halvings.
            x = adaptive_average_pool(x, 7)
            x = x.reshape(x.shape[0], -1)
        else:
            x = dropout()(x.mean(axis=(1, 2)))
        for i, width in enumerate(self.hidden, start=1):
            x = nn.Dense(width, kernel_init=HE_NORMAL, dtype=self.dtype, name=f"fc{i}")(x)
            x = dropout()(nn.relu(x))
        # Zero kernels: every class starts equally likely, so the first loss is ln(classes) exactly.
        return {
            task: nn.Dense(
                number,
                kernel_init=nn.initializers.zeros_init(),
                dtype=jnp.float32,
                name=f"head_{task}",
            )(x.astype(jnp.float32))
            for task, number in self.classes.items()
        }


def _filled_up_convolution(
    channels: int, inputs: jax.Array, kernel: jax.Array, *arguments: Any, **options: Any
) -> jax.Array:
    """`lax.conv_general_dilated` on [B, H, W, C] with C filled up to `channels` where it is less."""
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
    """`conv2_1/kernel` and `bn2_1/scale` are of stage2, `fc1/bias` of the last stage, hidden."""
    layer = path.partition("/")[0]
    if layer.startswith("head_"):
        return HEAD
    return "hidden" if layer.startswith("fc") else f"stage{layer.strip('convb').partition('_')[0]}"


register(
    Family(
        names=(*(f"{base}{norm}" for base in DEPTHS for norm in ("", "_bn")), "vgg_small"),
        create=_create,
        options=("dropout", "relu_after_pool"),
        # The max-pools halve it down to 1.
        size_multiple=lambda name: 2 ** len(_stages_of(name)),
        stages=lambda name: (
            *(f"stage{s}" for s in range(1, len(_stages_of(name)) + 1)),
            *(() if name == "vgg_small" else ("hidden",)),
        ),
        part_of=_part_of,
    )
)
