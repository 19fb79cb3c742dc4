"""From a configuration and the sizes of the data to everything that runs on the devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from artjax import augment, optim
from artjax import mesh as mesh_lib
from artjax.compiler import compiler_options
from artjax.data.sources import Batch, Source
from artjax.models import create_model
from artjax.state import TrainState, create_state
from artjax.step import activation_dtype, create_eval_step, create_train_step, keys_of_step


class Experiment:
    """Model, optimizer, schedule and compiled steps of one configuration on one mesh.

    Attributes:
      config: the configuration, checked.
      steps: length of the whole run.
      steps_per_epoch: global batches in one pass over the training split.
      train_step: (state, batch) → (state, metrics), compiled at its first call; the state is donated.
      eval_step: (params, model_state, batch) → logits by task, the same on every host.
    """

    def __init__(
        self, config: ConfigDict, classes: Mapping[str, int], train_works: int, mesh: Mesh
    ) -> None:
        self.config = config
        self.mesh = mesh
        self.steps_per_epoch = train_works / config.batch_size
        self.steps = config.steps or max(1, math.ceil(config.epochs * self.steps_per_epoch))
        platform = mesh.devices.flat[0].platform
        self._options = compiler_options(platform)
        self.dtype = activation_dtype(config.precision, platform)
        self.schedule = optim.create_schedule(config.optim, self.steps, self.steps_per_epoch)
        self._optimizer = optim.create_optimizer(config.optim, self.schedule)
        self._model = create_model(
            config.model.name,
            classes,
            dropout=config.model.dropout,
            relu_after_pool=config.model.relu_after_pool,
            dtype=self.dtype,
        )
        self._create_state = partial(
            create_state,
            self._model,
            self._optimizer,
            config.image_size,
            config.seed,
            with_ema=config.ema_decay > 0,
        )
        shapes = jax.eval_shape(self._create_state)
        shardings = mesh_lib.state_sharding(mesh, shapes)
        self.batch_sharding = mesh_lib.batch_sharding(mesh)
        everywhere = mesh_lib.replicated(mesh)
        self.abstract_state: TrainState = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            shardings,
        )
        self._shardings = shardings
        self._train_step = create_train_step(self._model, self._optimizer, self.schedule, config)
        self.train_step = jax.jit(
            self._train_step,
            in_shardings=(shardings, self.batch_sharding),
            out_shardings=(shardings, everywhere),
            donate_argnums=0,
            compiler_options=self._options,
        )
        self._crop_boxes = jax.jit(
            lambda step, aspect: augment.crop_boxes(
                keys_of_step(jax.random.key(config.seed), step)[0], aspect, config.augment
            )
        )
        self.eval_step = jax.jit(
            create_eval_step(self._model, config.image_size),
            out_shardings=everywhere,
            compiler_options=self._options,
        )

    def train_step_from(
        self, source: Source
    ) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
        """`train_step` for the batches of a source; what it holds is gathered within the step."""
        if not source.works:
            return self.train_step

        def step(state: TrainState, works: Batch, batch: Batch) -> Any:
            return self._train_step(state, source.gather(works, batch))

        held = jax.tree.map(lambda array: array.sharding, source.works)
        compiled = jax.jit(
            step,
            in_shardings=(self._shardings, held, self.batch_sharding),
            out_shardings=(self._shardings, mesh_lib.replicated(self.mesh)),
            donate_argnums=0,
            compiler_options=self._options,
        )
        return lambda state, batch: compiled(state, source.works, batch)

    def crop_boxes(self, step: int, aspect: np.ndarray) -> np.ndarray:
        """The boxes that the step's crops are, where pictures are cropped before it; float32 [B, 4].

        Computed on the CPU, so that the accelerators' queues are left alone.
        """
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return np.asarray(self._crop_boxes(step, aspect))

    def initial_state(self) -> TrainState:
        """The state at step 0, on the devices."""
        return jax.jit(self._create_state, out_shardings=self._shardings)()

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_state.params))

    @property
    def eval_every(self) -> int:
        """Steps between validations: as set, else an epoch, but at most about 40 in a run."""
        return self.config.eval_every or max(1, round(self.steps_per_epoch), self.steps // 40)

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints: as set, else at each validation."""
        return self.config.checkpoint_every or self.eval_every

    @property
    def log_every(self) -> int:
        """Steps between rows of metrics: as set, else about 2 % of the run, at most 50."""
        return self.config.log_every or min(50, max(1, self.steps // 50))

    @property
    def eval_batch_size(self) -> int:
        """Works in an evaluation batch: the training batch, rounded up to a multiple of the devices."""
        return -(-self.config.batch_size // self.mesh.size) * self.mesh.size

    def logits(self, state: TrainState, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Logits by task, float32 [B, classes], from the parameters that evaluation uses."""
        return self.eval_step(state.evaluation_params, state.model_state, batch)
