"""The training of a network: optimizer, schedule, the compiled step, and its numbers of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from artjax import augment
from artjax import config as config_lib
from artjax.data.sources import Batch, Source
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.xla_options import compiler_options
from artjax.training import estimates, losses, optim
from artjax.training.network import Network
from artjax.training.networks import network_of
from artjax.training.state import TrainState, create_state
from artjax.training.step import StepSettings, create_train_step, keys_of_step

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


def create_training(
    config: ConfigDict,
    classes: Mapping[str, int],
    train_works: int,
    mesh: Mesh,
    class_counts: Mapping[str, np.ndarray] | None = None,
) -> Training:
    """Builds a network, and its training; the arguments are those of `Network` and `Training`."""
    return Training(network_of(config, classes, mesh), train_works, class_counts)


def training_steps(config: ConfigDict, steps_per_epoch: float) -> int:
    """The length of a run in steps: as set, else of its epochs; of a solved head it is one."""
    if optim.is_solved(config):
        return 1  # a checkpoint, a validation and an evaluation, as of any run
    return int(config.steps) or max(1, math.ceil(config.epochs * steps_per_epoch))


class Training:
    """Optimizer, schedule and compiled step for a network.

    Attributes:
      network: the network.
      config: its configuration; it has been checked.
      train_works: number of works in the training split.
      steps: length of the whole run in steps.
      steps_per_epoch: number of global batches in one pass over the training split.
      schedule: step → learning rate.
      abstract_state: shapes, dtypes and shardings of the state.
      train_step: (state, batch[, frozen parameters]) → (state, metrics). It is compiled at its first
        call. The state is donated.
      crop_boxes: the function from `create_crop_boxes`.
    """

    def __init__(
        self,
        network: Network,
        train_works: int,
        class_counts: Mapping[str, np.ndarray] | None = None,
        *,
        schedule: optax.Schedule | None = None,
        watch: optax.GradientTransformation | None = None,
    ) -> None:
        """Builds everything but the programs, which compile at their first call.

        Args:
          network: what is trained.
          train_works: number of works in the training split.
          class_counts: from `losses.class_counts` of the training split; needed for class weights.
          schedule: step → learning rate, instead of the one that the configuration describes.
          watch: sees each gradient before the optimizer; its state is `opt_state[0]`.
        """
        config = network.config
        self.network, self.config, self.train_works = network, config, train_works
        self._class_counts = class_counts
        self.steps_per_epoch = train_works / config.batch_size
        self.steps = training_steps(config, self.steps_per_epoch)
        self.schedule = schedule or optim.create_schedule(
            config.optim, self.steps, self.steps_per_epoch
        )
        own = self._create_optimizer(self.schedule)
        optimizer = optax.chain(watch, own) if watch else own
        frozen = network.groups.frozen
        self._create_state = partial(
            create_state,
            network.model,
            optimizer,
            config.image_size,
            config.seed,
            with_ema=config.ema_decay > 0,
            **({"frozen": frozen} if frozen else {}),
        )
        shapes = jax.eval_shape(self._create_state)
        self._shardings = mesh_lib.state_sharding(network.mesh, shapes)
        self.abstract_state: TrainState = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            self._shardings,
        )
        self._options = compiler_options(network.platform)
        self._train_step = self._create_train_step(
            optimizer, self.schedule, StepSettings.of(config)
        )
        self.train_step = self._compiled_later(self._train_step, network.batch_sharding)
        self.crop_boxes = create_crop_boxes(config)

    def _create_train_step(
        self, optimizer: optax.GradientTransformation, schedule: Any, settings: StepSettings
    ) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
        network = self.network
        return create_train_step(
            network.model,
            optimizer,
            schedule,
            settings,
            network.preprocessing,
            network.stages,
            network.boundary,
            self.class_weights,
        )

    def _compiled_later(self, step: Callable[..., Any], *batch_shardings: Any) -> Any:
        """A step (state, …, frozen parameters) that is compiled at its first call."""
        frozen = self.network.abstract_frozen
        of_frozen = (jax.tree.map(lambda leaf: leaf.sharding, frozen["params"]),) if frozen else ()
        return jax.jit(
            step,
            in_shardings=(self._shardings, *batch_shardings, *of_frozen),
            out_shardings=(self._shardings, mesh_lib.replicated(self.network.mesh)),
            donate_argnums=0,
            compiler_options=self._options,
        )

    @property
    def class_weights(self) -> dict[str, np.ndarray] | None:
        """The weight of each class in the loss, by task, float32 [classes]; None if they are 1."""
        loss = self.config.loss
        if self._class_counts is None or loss.class_weights == "none":
            return None
        return {
            task: losses.class_weights(loss, counts) for task, counts in self._class_counts.items()
        }

    def _create_optimizer(
        self, schedule: optax.Schedule, weight_decay: Any = None
    ) -> optax.GradientTransformation:
        section, groups = self.config.optim, self.network.groups
        first = round(section.head_first * self.steps)
        if groups.uniform and not first:
            return optim.create_optimizer(section, schedule, weight_decay=weight_decay)
        head_first = first, min(self.warmup_steps, self.steps - first)
        return optim.create_optimizer(
            section, schedule, groups, head_first, weight_decay=weight_decay
        )

    def train_step_with(
        self, peak_lr: Any, weight_decay: Any, label_smoothing: Any
    ) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
        """The training step with other hyperparameters, not compiled.

        Args:
          peak_lr: in place of `optim.peak_lr`; may be traced, float32 scalar, as the others.
          weight_decay: in place of `optim.weight_decay`.
          label_smoothing: in place of `optim.label_smoothing`.
        """
        of_one = config_lib.changed(self.config, {"optim.peak_lr": 1.0}).optim
        one = optim.create_schedule(of_one, self.steps, self.steps_per_epoch)

        def schedule(step: Any) -> Any:
            return peak_lr * one(step)

        settings = replace(StepSettings.of(self.config), label_smoothing=label_smoothing)
        optimizer = self._create_optimizer(schedule, weight_decay)
        return self._create_train_step(optimizer, schedule, settings)

    @property
    def train_options(self) -> dict[str, str]:
        """The compiler options for programs with gradients."""
        return dict(self._options)

    def with_config(
        self,
        config: ConfigDict,
        schedule: optax.Schedule | None = None,
        watch: optax.GradientTransformation | None = None,
    ) -> Training:
        """Another training on the same data and devices; the other arguments as for the class."""
        network = network_of(config, self.network.classes, self.network.mesh)
        return Training(
            network, self.train_works, self._class_counts, schedule=schedule, watch=watch
        )

    def with_batch_size(self, batch_size: int) -> Training:
        """The same training with another batch size, so its numbers of steps differ, too."""
        return self.with_config(config_lib.changed(self.config, {"batch_size": batch_size}))

    def initial_state(self) -> TrainState:
        """Computes the state at step 0, on the devices."""
        return jax.jit(
            self._create_state,
            out_shardings=self._shardings,
            compiler_options=compiler_options(self.network.platform, runs_once=True),
        )()

    def after_validation(self, state: TrainState, loss: float) -> TrainState:
        """The state after a validation. Only with the schedule `plateau` does it differ.

        All processes must call this together, with the same loss (sum over the tasks, in nats).
        """
        if self.config.optim.schedule != "plateau":
            return state
        opt_state = self._after_validation(state.opt_state, np.float32(loss))
        return state.replace(opt_state=opt_state)

    @cached_property
    def _after_validation(self) -> Callable[[Any, np.float32], Any]:
        return jax.jit(
            partial(optim.after_validation, self.config.optim),
            out_shardings=self._shardings.opt_state,
            donate_argnums=0,
        )

    def learning_rate_scale(self, state: TrainState) -> float:
        """What the schedule `plateau` has made of the learning rate, as a factor; 1 without it."""
        scale = optim.plateau_scale(state.opt_state)
        return 1.0 if scale is None else float(scale)

    @property
    def abstract_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes, dtypes and shardings of a batch that contains its images."""
        canvas, works = config_lib.canvas_size(self.config), self.config.batch_size
        arrays = {
            "image": ((works, canvas, canvas, 3), jnp.uint8),
            "aspect": ((works,), jnp.float32),
            **{f"label/{task}": ((works,), jnp.int32) for task in self.network.classes},
            "mask": ((works,), jnp.bool_),
        }
        sharding = self.network.batch_sharding
        return {
            name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
            for name, (shape, dtype) in arrays.items()
        }

    def compile_train_step(self) -> jax.stages.Compiled:
        """Compiles `train_step` for batches that contain their images."""
        abstract_frozen = self.network.abstract_frozen
        frozen = (abstract_frozen["params"],) if abstract_frozen else ()
        return self.train_step.lower(self.abstract_state, self.abstract_batch, *frozen).compile()

    def compile_from(
        self, source: Source, frozen: Mapping[str, Any]
    ) -> tuple[jax.stages.Compiled, TrainStep]:
        """Compiles the step for the batches of a source.

        Args:
          source: of the batches.
          frozen: the frozen variables on the devices; `{}` if everything is trained.

        Returns:
          The program, and a function (state, result of `source.batch`) → (state, metrics) that calls it.
        """
        rest = (frozen["params"],) if frozen else ()
        if not source.works:
            compiled = self.train_step.lower(self.abstract_state, source.batch(0), *rest).compile()
            return compiled, lambda state, batch: compiled(state, batch, *rest)

        def step(state: TrainState, works: Batch, batch: Batch, *rest: Any) -> Any:
            return self._train_step(state, source.gather(works, batch), *rest)

        held = jax.tree.map(lambda array: array.sharding, source.works)
        jitted = self._compiled_later(step, held, self.network.batch_sharding)
        compiled = jitted.lower(self.abstract_state, source.works, source.batch(0), *rest).compile()
        return compiled, lambda state, batch: compiled(state, source.works, batch, *rest)

    @property
    def _forward_arguments(self) -> tuple[Any, Any, Any, Any]:
        state, frozen = self.abstract_state, self.network.abstract_frozen.get("params", {})
        return state.params, frozen, state.model_state, self.network.images(_TRACED_BATCH_SIZE)

    @cached_property
    def flops_per_image(self) -> float:
        """FLOPs of training on one image; see `estimates.Forward.training_flops`."""
        forward = estimates.Forward(self.network.model_for_counting(), self.network.boundary)
        passes = 2 if self.config.optim.sam_rho else 1
        counted = self.network.counted
        if "training FLOPs" not in counted:
            counted["training FLOPs"] = forward.training_flops(*self._forward_arguments)
        return passes * counted["training FLOPs"] / _TRACED_BATCH_SIZE

    def estimated_bytes(self) -> tuple[float, float, float]:
        """Estimates the bytes of state, gradient and activations on each device, from shapes alone.

        The activations are the arrays that JAX keeps for the backward pass. The compiler may keep less,
        and needs temporary memory, so the sum is only an estimate.
        """
        network = self.network
        remat = network.stages if self.config.remat else None
        forward = estimates.Forward(network.model, network.boundary)
        kept = forward.kept_bytes(*self._forward_arguments, remat)
        works = self.config.batch_size / self.config.accumulate / network.mesh.size
        params = bytes_on_each_device(self.abstract_state.params)
        state = bytes_on_each_device(self.abstract_state)
        return state, params, kept / _TRACED_BATCH_SIZE * works

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
