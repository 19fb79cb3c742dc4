"""Builds everything that runs on the devices, from a configuration and the sizes of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from artjax import augment, models
from artjax import config as config_lib
from artjax.data.sources import Batch, Source
from artjax.models import create_model
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import throughput
from artjax.runtime.xla_options import compiler_options
from artjax.training import optim
from artjax.training.state import TrainState, create_state
from artjax.training.step import (
    activation_dtype,
    create_eval_step,
    create_train_step,
    keys_of_step,
    save_stages,
)

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]

# Batch size of a traced forward pass. No other axis has this size, so an array whose first axis has it
# is known to grow with the batch.
_TRACED_BATCH_SIZE = 11


def create_crop_boxes(config: ConfigDict) -> Callable[[int, np.ndarray], np.ndarray]:
    """Builds a function (step, aspects of its works) → the boxes of its crops, float32 [B, 4].

    It is for images that are cropped before the step. The boxes equal those of `augment.crop_boxes`.
    They are computed on the CPU, so as not to wait in the queue of an accelerator.
    """

    @jax.jit
    def drawn(step: jax.Array, aspect: jax.Array) -> jax.Array:
        key, _ = keys_of_step(jax.random.key(config.seed), step)
        return augment.crop_boxes(key, aspect, config.augment)

    def crop_boxes(step: int, aspect: np.ndarray) -> np.ndarray:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return np.asarray(drawn(step, aspect))

    return crop_boxes


def bytes_on_each_device(tree: Any) -> int:
    """Bytes that the arrays of a tree, or their shapes, take on each device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


class Experiment:
    """Model, optimizer, schedule and compiled steps of one configuration on one mesh.

    Attributes:
      config: the configuration; it has been checked.
      mesh: the devices.
      steps: length of the whole run in steps.
      steps_per_epoch: number of global batches in one pass over the training split.
      dtype: dtype of the activations.
      schedule: step → learning rate.
      abstract_state: shapes, dtypes and shardings of the state.
      batch_sharding: sharding of the first axis of a batch.
      train_step: (state, batch) → (state, metrics). It is compiled at its first call. The state is
        donated.
      eval_step: (variables, batch) → logits for each task, the same in every process.
      crop_boxes: the function from `create_crop_boxes`.
    """

    def __init__(
        self, config: ConfigDict, classes: Mapping[str, int], train_works: int, mesh: Mesh
    ) -> None:
        self.config = config
        self.mesh = mesh
        self._classes = classes
        self._train_works = train_works
        self.steps_per_epoch = train_works / config.batch_size
        self.steps = config.steps or max(1, math.ceil(config.epochs * self.steps_per_epoch))
        platform = mesh.devices.flat[0].platform
        self._options = compiler_options(platform)
        self._options_once = compiler_options(platform, runs_once=True)
        self.dtype = activation_dtype(config.precision, platform)
        self.schedule = optim.create_schedule(config.optim, self.steps, self.steps_per_epoch)
        self._optimizer = optim.create_optimizer(config.optim, self.schedule)
        name = config.model.name
        self._family = models.family_of(name)
        self._stages = self._family.stages(name)
        self._model = self._create_model(platform)
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
        self._train_step = create_train_step(
            self._model,
            self._optimizer,
            self.schedule,
            config,
            self._family.preprocessing,
            self._stages,
        )
        self.train_step = jax.jit(
            self._train_step,
            in_shardings=(shardings, self.batch_sharding),
            out_shardings=(shardings, everywhere),
            donate_argnums=0,
            compiler_options=self._options,
        )
        self.crop_boxes = create_crop_boxes(config)
        self.eval_step = jax.jit(
            create_eval_step(
                self._model, config.image_size, config.accumulate, self._family.preprocessing
            ),
            out_shardings=everywhere,
            compiler_options=self._options,
        )

    def _create_model(self, platform: str) -> nn.Module:
        options = {name: value for name, value in self.config.model.items() if name != "name"}
        return create_model(
            self.config.model.name, self._classes, dtype=self.dtype, platform=platform, **options
        )

    def initial_state(self) -> TrainState:
        """Computes the state at step 0, on the devices."""
        return jax.jit(
            self._create_state,
            out_shardings=self._shardings,
            compiler_options=self._options_once,
        )()

    def with_batch_size(self, batch_size: int) -> Experiment:
        """Returns the same experiment with another batch size, so its numbers of steps differ, too."""
        config = config_lib.with_batch_size(self.config, batch_size)
        return Experiment(config, self._classes, self._train_works, self.mesh)

    @property
    def abstract_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes, dtypes and shardings of a batch that contains its images."""
        canvas, works = config_lib.canvas_size(self.config), self.config.batch_size
        arrays = {
            "image": ((works, canvas, canvas, 3), jnp.uint8),
            "aspect": ((works,), jnp.float32),
            **{f"label/{task}": ((works,), jnp.int32) for task in self._classes},
            "mask": ((works,), jnp.bool_),
        }
        return {
            name: jax.ShapeDtypeStruct(shape, dtype, sharding=self.batch_sharding)
            for name, (shape, dtype) in arrays.items()
        }

    def compile_train_step(self) -> jax.stages.Compiled:
        """Compiles `train_step` for batches that contain their images."""
        return self.train_step.lower(self.abstract_state, self.abstract_batch).compile()

    def compile_from(self, source: Source) -> tuple[jax.stages.Compiled, TrainStep]:
        """Compiles the step for the batches of a source.

        Returns:
          The program, and a function (state, result of `source.batch`) → (state, metrics) that calls it.
        """
        step, held = self._step_and_held(source)
        compiled = step.lower(self.abstract_state, *held, source.batch(0)).compile()
        return compiled, lambda state, batch: compiled(state, *held, batch)

    def _step_and_held(self, source: Source) -> tuple[Any, tuple[Batch, ...]]:
        if not source.works:
            return self.train_step, ()

        def step(state: TrainState, works: Batch, batch: Batch) -> Any:
            return self._train_step(state, source.gather(works, batch))

        held = jax.tree.map(lambda array: array.sharding, source.works)
        jitted = jax.jit(
            step,
            in_shardings=(self._shardings, held, self.batch_sharding),
            out_shardings=(self._shardings, mesh_lib.replicated(self.mesh)),
            donate_argnums=0,
            compiler_options=self._options,
        )
        return jitted, (source.works,)

    def _forward(
        self, params: Any, model_state: Any, images: jax.Array, model: nn.Module | None = None
    ) -> Any:
        logits, _ = (model or self._model).apply(
            {"params": params, **model_state},
            images,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=list(model_state),
        )
        return logits

    @property
    def _forward_arguments(self) -> tuple[Any, Any, Any]:
        size = self.config.image_size
        images = jax.ShapeDtypeStruct((_TRACED_BATCH_SIZE, size, size, 3), jnp.float32)
        return self.abstract_state.params, self.abstract_state.model_state, images

    @cached_property
    def flops_per_image(self) -> float:
        """FLOPs of training on one image: three times those of the forward pass.

        For each convolution and matrix product, the backward pass computes two gradients: of the inputs
        and of the kernels. Not counted are recomputation (rematerialisation), elementwise operations,
        and padding for an accelerator, such as zeros in the stem. This is the definition of model FLOPs
        utilisation: PaLM, Chowdhery et al. (2022), appendix B.
        """
        forward = partial(self._forward, model=self._create_model("cpu"))
        jaxpr = jax.make_jaxpr(forward)(*self._forward_arguments).jaxpr
        return 3 * throughput.count_flops(jaxpr) / _TRACED_BATCH_SIZE

    def estimated_bytes(self) -> tuple[float, float, float]:
        """Estimates the bytes of state, gradient and activations on each device, from shapes alone.

        The activations are the arrays that JAX keeps for the backward pass. The compiler may keep less,
        and needs temporary memory, so the sum is only an estimate.
        """

        forward = self._forward
        if self.config.remat:
            forward = jax.checkpoint(forward, policy=save_stages(self._stages))
        saved = jax.eval_shape(
            lambda params, *rest: jax.vjp(lambda params: forward(params, *rest), params)[1],
            *self._forward_arguments,
        )
        kept = sum(
            leaf.size * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(saved)
            if leaf.shape[:1] == (_TRACED_BATCH_SIZE,)
        )
        works = self.config.batch_size / self.config.accumulate / self.mesh.size
        params = bytes_on_each_device(self.abstract_state.params)
        state = bytes_on_each_device(self.abstract_state)
        return state, params, kept / _TRACED_BATCH_SIZE * works

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_state.params))

    @property
    def eval_every(self) -> int:
        """Steps between validations: as set, else one epoch, but at most about 40 validations."""
        return self.config.eval_every or max(1, round(self.steps_per_epoch), self.steps // 40)

    @property
    def warmup_steps(self) -> int:
        """Length of the warm-up of the learning rate in steps."""
        return optim.warmup_steps(self.config.optim, self.steps, self.steps_per_epoch)

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints: as set, else as between validations."""
        return self.config.checkpoint_every or self.eval_every

    @property
    def log_every(self) -> int:
        """Steps between rows of the log: as set, else about 2 % of the run, but at most 50."""
        return self.config.log_every or min(50, max(1, self.steps // 50))

    @property
    def eval_batch_size(self) -> int:
        """Size of an evaluation batch: that of a training batch, rounded up to equal shares."""
        shares = self.mesh.size * self.config.accumulate
        return -(-self.config.batch_size // shares) * shares

    def logits(self, variables: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Logits for each task, float32 [B, classes]; `variables` as from `TrainState.variables`."""
        return self.eval_step(variables, batch)
