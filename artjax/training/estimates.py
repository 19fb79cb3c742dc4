"""What a training step needs, from shapes alone: FLOPs, and the activations of the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from flax import linen as nn

from artjax.runtime.throughput import count_flops
from artjax.training.groups import merged
from artjax.training.step import save_stages


@dataclass(frozen=True, eq=False)  # JAX hashes what it traces, and models have no hash
class Forward:
    """The forward pass of training, to be traced; nothing is computed.

    The methods take the shapes of trained parameters, frozen parameters, statistics, and images.

    Attributes:
      model: the network.
      boundary: the last stage up to which all parameters are frozen; empty if there is none.
    """

    model: nn.Module
    boundary: str = ""

    def __call__(self, params: Any, frozen: Any, model_state: Any, images: jax.Array) -> Any:
        """The logits of each task."""
        variables = {"params": merged(params, frozen) if frozen else params, **model_state}
        where: dict[str, Any] = {}
        if self.boundary:
            images = self.model.apply(variables, images, until=self.boundary)  # type: ignore[assignment]
            where = {"after": self.boundary}
        logits, _ = self.model.apply(
            variables,
            images,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=list(model_state),
            **where,
        )
        return logits

    def training_flops(self, params: Any, frozen: Any, model_state: Any, images: Any) -> float:
        """FLOPs of a training step: three times the FLOPs of the forward pass.

        For each convolution and matrix product, the backward pass computes two gradients: of the inputs
        and of the kernels. There is none of the stages up to the boundary. Not counted are recomputation
        (rematerialisation), elementwise operations, and padding for an accelerator, such as zeros in the
        stem. This is the definition of model FLOPs utilisation: PaLM, Chowdhery et al. (2022), appendix
        B.
        """
        flops = 3 * _flops(self, params, frozen, model_state, images)
        if self.boundary:
            variables = {"params": merged(params, frozen), **model_state}
            flops -= 2 * _flops(partial(self.model.apply, until=self.boundary), variables, images)
        return flops

    def kept_bytes(
        self, params: Any, frozen: Any, model_state: Any, images: Any, remat: Sequence[str] | None
    ) -> int:
        """Bytes of the arrays that JAX keeps for the backward pass, of those that grow with the batch.

        The batch size must be one that no other axis has, so that its arrays are known by it.

        Args:
          params: shapes of the trained parameters.
          frozen: shapes of the frozen parameters.
          model_state: shapes of the statistics.
          images: shape of a batch of images.
          remat: with rematerialisation, the stages whose outputs are kept; None without.
        """
        forward: Any = self
        if remat is not None:
            forward = jax.checkpoint(self, policy=save_stages(remat))
        rest = frozen, model_state, images
        saved = jax.eval_shape(
            lambda params, *rest: jax.vjp(lambda params: forward(params, *rest), params)[1],
            params,
            *rest,
        )
        return sum(
            leaf.size * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(saved)
            if leaf.shape[:1] == images.shape[:1]
        )


def _flops(function: Any, *shapes: Any) -> float:
    return count_flops(jax.make_jaxpr(function)(*shapes).jaxpr)
