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

HEAD_OPTIONS = ("dropout", "head_layers", "head_norm")
"""The fields of `config.model` that every network has."""

Stage = tuple[str, Callable[[jax.Array], jax.Array]]


class StagedNetwork(nn.Module, kw_only=True):
    """Base of the families. A family declares its own fields and yields its stages; the head is here.

    Attributes:
      classes: number of classes for each task. Each task has its own head, a linear layer.
      dropout: rate after each hidden layer of the head (without one: before the heads), in [0, 1).
      head_layers: widths of hidden layers with ReLU between features and heads, shared by all tasks.
      head_norm: whether BatchNorm follows each of these, which then has no bias.
      fixed_norms: paths of the BatchNorm layers, in stages and head, that use their running averages in
        training, too, such as `bn1_1`, `stage1_block1/bn2` and `head_bn1`. A family passes them to each
        `BatchNorm`.
      dtype: dtype of the activations. Parameters, statistics and the heads are float32.
    """

    classes: Mapping[str, int]
    dropout: float = 0.0
    head_layers: tuple[int, ...] = ()
    head_norm: bool = False
    fixed_norms: frozenset[str] = frozenset()
    dtype: jnp.dtype = jnp.float32

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields name and function of each stage, in order. Each function maps activations.

        The last stage returns features [B, C], or [B, …], which the head flattens. Layers are made by
        the functions only, so that `stage_names` can ask a network that is not bound to variables.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run_stages")

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
        return self._head_logits(x, train)

    def last_place(self) -> str:
        """The last stage whose outputs belong to places of the picture, each of which counts afterwards.

        It is the stage that explanations look at. The last stage of all has pooled or flattened them.
        """
        return stage_names(self)[-2]

    def places_of(self, outputs: jax.Array) -> jax.Array:
        """Outputs of `last_place`, or of another stage with places, as they lie: [B, h, w, C].

        Raises:
          ValueError: if these outputs belong to no places.
        """
        if outputs.ndim != 4:
            raise ValueError(f"outputs of shape {outputs.shape} belong to no places of the picture")
        return outputs

    def _head_logits(self, features: jax.Array, train: bool) -> dict[str, jax.Array]:
        """Features [B, …] → logits for each task, float32 [B, classes]."""
        x = features.reshape(features.shape[0], -1)
        for i, width in enumerate(self.head_layers, start=1):
            x = nn.Dense(
                width,
                use_bias=not self.head_norm,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"head_fc{i}",
            )(x)
            if self.head_norm:
                norm = BatchNorm(fixed_norms=self.fixed_norms, dtype=self.dtype, name=f"head_bn{i}")
                x = norm(x[:, None, None], train=train)[:, 0, 0]
            x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
        if not self.head_layers:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
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


def stage_names(model: StagedNetwork) -> tuple[str, ...]:
    """The names of a network's stages, in order. Some may have no parameters, such as a pool."""
    return tuple(name for name, _ in model.run_stages(train=False))


def part_in_name(path: str) -> str:
    """The part of the network that a layer's name begins with, for `Family.part_of`.

    `stage1_block2/conv1/kernel` belongs to `stage1`, and `head_artist/bias` to `HEAD`.
    """
    return path.partition("_")[0]
