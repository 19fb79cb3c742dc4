"""The state of training: one plain pytree of named arrays."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from artjax.training.groups import split


class TrainState(flax.struct.PyTreeNode):
    """Everything that a training step changes.

    Attributes:
      step: number of steps done, int32 scalar.
      params: the model's parameters that are trained, float32.
      model_state: BatchNorm's running statistics (`{"batch_stats": …}`), or `{}`.
      opt_state: Optax's state.
      ema: EMA of what evaluation uses, parameters and running statistics alike, in the form of
        `variables`; `None` where there is none.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    ema: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What evaluation uses, the argument of a model's `apply`: the EMA, where there is one.

        Parameters and running statistics belong together: BatchNorm's statistics of one set of
        parameters are wrong for another.
        """
        return variables_of(self.params, self.model_state) if self.ema is None else self.ema


def variables_of(params: Any, model_state: Any) -> dict[str, Any]:
    """The variables for a model's `apply`."""
    return {"params": params, **model_state}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_size: int,
    seed: int,
    *,
    with_ema: bool,
    frozen: frozenset[str] = frozenset(),
) -> TrainState:
    """Initialises a state. It is pure, so it can be jitted, or traced for its shapes.

    Args:
      model: takes images float32 [B, H, W, 3].
      optimizer: its state is created from the parameters.
      image_size: side of the images in pixels.
      seed: determines the initial parameters.
      with_ema: whether to keep an EMA.
      frozen: paths of parameters that are not trained; the state does not hold them.
    """
    key = jax.random.key(seed)
    variables = model.init(key, jnp.zeros((1, image_size, image_size, 3), jnp.float32))
    params = variables["params"]
    if frozen:
        params, _ = split(params, frozen)
    model_state = {name: value for name, value in variables.items() if name != "params"}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        # A copy, because the state is donated and the same buffer must not be donated twice.
        ema=jax.tree.map(jnp.copy, variables_of(params, model_state)) if with_ema else None,
    )
