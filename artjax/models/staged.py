"""The frame of every network: stages one after the other, then a head for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from artjax.models.normalization import BatchNorm

STAGES = "stages"
"""The collection in which `apply(…, mutable=["stages"])` returns the output of each stage."""

Stage = tuple[str, Callable[[jax.Array], jax.Array]]


class StagedNetwork(nn.Module):
    """Base of the families. A family yields its stages; the head is here.

    A family declares these fields: `classes` (number of classes for each task), `dropout` (rate),
    `head_layers` and `head_norm` (as in `head_logits`), and `dtype` (of the activations).
    """

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields name and function of each stage, in order. Each function maps activations.

        The last stage returns features [B, C], or [B, …], which the head flattens.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run_stages")

    def other_arithmetic(self) -> tuple[nn.Module, ...]:
        """The same network computed in other ways, which may be faster on a CPU without gradients.

        The parameters are the same, and so are the outputs but for rounding.
        """
        return ()

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False, after: str = "", until: str = ""
    ) -> dict[str, jax.Array] | jax.Array:
        """Computes the logits, or a part of the network.

        Args:
          images: float [B, H, W, 3], as the family's preprocessing returns them; with `after`, the
            output of that stage.
          train: whether to use the batch's statistics, and dropout (which needs the "dropout" key).
          after: the stage after which to begin; empty = at the images.
          until: the stage whose output to return; empty = compute the logits.

        Returns:
          Logits for each task, float32 [B, classes]; with `until`, the output of that stage.
        """
        x = images.astype(self.dtype)
        running = not after
        for name, stage in self.run_stages(train):
            if running:
                x = checkpoint_name(stage(x), name)
                if not self.is_initializing():
                    self.sow(STAGES, name, x)
            running = running or name == after
            if running and name == until:
                return x
        return head_logits(
            x,
            self.classes,
            layers=self.head_layers,
            norm=self.head_norm,
            dropout=self.dropout,
            dtype=self.dtype,
            train=train,
        )


def stage_names(model: nn.Module) -> tuple[str, ...]:
    """The names of a network's stages, in order; none if it is no `StagedNetwork`."""
    if not isinstance(model, StagedNetwork):
        return ()
    return tuple(name for name, _ in model.run_stages(train=False))


def part_in_name(path: str) -> str:
    """The part of the network that a layer's name begins with, for `Family.part_of`.

    `stage1_block2/conv1/kernel` belongs to `stage1`, and `head_artist/bias` to `HEAD`.
    """
    return path.partition("_")[0]


def head_logits(
    features: jax.Array,
    classes: Mapping[str, int],
    *,
    layers: tuple[int, ...],
    norm: bool,
    dropout: float,
    dtype: jnp.dtype,
    train: bool,
) -> dict[str, jax.Array]:
    """Logits for each task. It must be called within a compact method of a module.

    Args:
      features: float [B, …].
      classes: number of classes for each task.
      layers: widths of hidden layers with ReLU between the features and the heads, shared by all tasks.
      norm: whether BatchNorm follows each hidden layer, which then has no bias.
      dropout: rate after each hidden layer; without one, before the heads.
      dtype: dtype of the hidden layers.
      train: as for the network.

    Returns:
      float32 [B, classes] for each task.
    """
    x = features.reshape(features.shape[0], -1)
    for i, width in enumerate(layers, start=1):
        x = nn.Dense(
            width,
            use_bias=not norm,
            kernel_init=nn.initializers.he_normal(),
            dtype=dtype,
            name=f"head_fc{i}",
        )(x)
        if norm:
            x = BatchNorm(dtype=dtype, name=f"head_bn{i}")(x[:, None, None], train=train)[:, 0, 0]
        x = nn.Dropout(dropout, deterministic=not train)(nn.relu(x))
    if not layers:
        x = nn.Dropout(dropout, deterministic=not train)(x)
    # With zero kernels all classes are equally likely at first, so the loss is exactly ln(classes).
    return {
        task: nn.Dense(
            number,
            kernel_init=nn.initializers.zeros_init(),
            dtype=jnp.float32,
            name=f"head_{task}",
        )(x.astype(jnp.float32))
        for task, number in classes.items()
    }
