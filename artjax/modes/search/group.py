"""Trials that one compiled program trains at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from artjax.data import sources
from artjax.data.sources import Batch
from artjax.errors import ConfigError
from artjax.modes.search.space import Hyperparameters
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes
from artjax.training import memory
from artjax.training.state import TrainState
from artjax.training.training import Training

# The axis of the trials in each part of a stacked state. All trials are at the same step. The type is
# ignored because `vmap` wants the state's own one, with axes in place of its arrays.
_AXES = TrainState(step=None, params=0, model_state=0, opt_state=0, ema=0)  # type: ignore[arg-type]


class Group:
    """Trials whose networks have the same form, so that one program trains them all.

    Attributes:
      training: one of theirs; the learning rate, weight decay and label smoothing of each are arguments
        of the program.
      frozen: the frozen variables, on the devices.
      trials: their numbers, in the order of the rows of `state`.
      state: the states of all of them; each array has the trials as its first axis.
    """

    def __init__(self, training: Training, frozen: Mapping[str, Any], trials: list[int]) -> None:
        self.training = training
        self.frozen = frozen
        self.trials = trials
        one = training.initial_state()
        # All begin with the same weights, as they would one after the other.
        self.state = put(training, _of_each(lambda x: _repeated(x, len(trials)), one))

    def keep(self, trials: Sequence[int]) -> None:
        """Drops all other trials."""
        indices = np.asarray([self.trials.index(trial) for trial in trials], np.int32)
        self.state = put(self.training, _of_each(lambda x: np.asarray(x)[indices], self.state))
        self.trials = list(trials)

    def of(self, trial: int) -> TrainState:
        """The state of one trial, as a run of its own has it."""
        row = self.trials.index(trial)
        return _of_each(lambda x: x[row], self.state)

    def compile(self, drawn: Sequence[Hyperparameters], source: sources.Source) -> Any:
        """Compiles the step of all trials: (state, batch) → (state, metrics of each, float32 [T])."""
        training, frozen = self.training, self.frozen.get("params")
        values = {
            name: jnp.asarray([getattr(drawn[t], name) for t in self.trials], jnp.float32)
            for name in ("peak_lr", "weight_decay", "label_smoothing")
        }

        def one(state: TrainState, values: Mapping[str, jax.Array], batch: Batch) -> Any:
            return training.train_step_with(**values)(state, batch, frozen)

        def step(state: TrainState, works: Batch, batch: Batch, values: Any) -> Any:
            whole = source.gather(works, batch) if source.works else batch
            return jax.vmap(one, in_axes=(_AXES, 0, None), out_axes=(_AXES, 0))(
                state, values, whole
            )

        jitted = jax.jit(step, donate_argnums=0, compiler_options=training.train_options)
        compiled = jitted.lower(self.state, source.works, source.batch(0), values).compile()
        needed, free = memory.needed_bytes(compiled), memory.free_bytes(training.network.mesh)
        if needed and free and needed > free + _bytes(self.state):
            raise ConfigError(
                f"{len(self.trials)} trials at once need {format_bytes(needed)}, and "
                f"{format_bytes(free)} are free; set fewer --config.search.trials (now {len(drawn)}), "
                "or narrower layers with --config.search.width"
            )
        return lambda state, batch: compiled(state, source.works, batch, values)


def _of_each(function: Callable[[Any], Any], state: TrainState) -> TrainState:
    """Applies a function to every array but the step, which the trials share."""
    changed = {
        name: jax.tree.map(function, getattr(state, name))
        for name in ("params", "model_state", "opt_state", "ema")
    }
    return state.replace(**changed)


def _repeated(array: jax.Array, count: int) -> np.ndarray:
    values = np.asarray(array)
    return np.broadcast_to(values[None], (count, *values.shape))


def put(training: Training, state: TrainState) -> TrainState:
    """The state on all devices of a training."""
    put: TrainState = jax.device_put(state, mesh_lib.replicated(training.network.mesh))
    return put


def _bytes(state: TrainState) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))
