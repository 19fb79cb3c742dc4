"""Builds everything that runs on the devices, from a configuration and the sizes of the data."""

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
from flax import linen as nn
from jax.sharding import Mesh

from artjax import augment, models
from artjax import config as config_lib
from artjax.data.sources import Batch, Source
from artjax.errors import ConfigError
from artjax.models import HEAD, create_model
from artjax.models.preprocessing import Preprocessing
from artjax.models.staged import StagedNetwork, stage_names
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.fastest import Candidate, FastestProgram
from artjax.runtime.xla_options import compiler_options
from artjax.training import estimates, losses, optim
from artjax.training.groups import flat, group_parameters, merged, nested, split
from artjax.training.layers import Layer, layers_of
from artjax.training.state import TrainState, create_state
from artjax.training.step import (
    activation_dtype,
    create_eval_step,
    create_feature_step,
    create_train_step,
    keys_of_step,
)

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]

# Batch size of a traced forward pass. No other axis has this size, so an array whose first axis has it
# is known to grow with the batch.
_TRACED_BATCH_SIZE = 11
# Fields of `config.model` that are no options of the network.
_NO_OPTIONS = ("name", "weights", "fix_norms")


def preprocessing_of(config: ConfigDict, default: Preprocessing) -> Preprocessing:
    """The input of the network: as set in the configuration, else the default."""
    own = {name: value for name, value in config.preprocessing.items() if value}
    return replace(default, **own)


def _with_shardings(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )


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


class Overlay:
    """A section of a configuration with other values, which may be traced, for some of its fields."""

    def __init__(self, section: Any, **values: Any) -> None:
        self._section = section
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._section, name)


class Experiment:
    """Model, optimizer, schedule and compiled steps of one configuration on one mesh.

    Attributes:
      config: the configuration; it has been checked.
      mesh: the devices.
      steps: length of the whole run in steps.
      steps_per_epoch: number of global batches in one pass over the training split.
      dtype: dtype of the activations.
      schedule: step → learning rate.
      groups: which parameters are trained, and how.
      boundary: the last stage up to which all parameters are frozen; empty if there is none.
      preprocessing: the input of the network.
      abstract_state: shapes, dtypes and shardings of the state.
      abstract_frozen: the same of the frozen variables: parameters that are not trained, and statistics
        of BatchNorm that do not move; `{}` if there are none.
      frozen: these variables on the devices. Whoever trains or evaluates sets them.
      batch_sharding: sharding of the first axis of a batch.
      train_step: (state, batch) → (state, metrics). It is compiled at its first call. The state is
        donated.
      eval_step: (variables, batch[, view]) → logits for each task, the same in every process.
      crop_boxes: the function from `create_crop_boxes`.
    """

    def __init__(
        self,
        config: ConfigDict,
        classes: Mapping[str, int],
        train_works: int,
        mesh: Mesh,
        class_counts: Mapping[str, np.ndarray] | None = None,
        *,
        schedule: optax.Schedule | None = None,
        watch: optax.GradientTransformation | None = None,
    ) -> None:
        """Builds everything but the programs, which compile at their first call.

        Args:
          config: the configuration; it has been checked.
          classes: number of classes for each task.
          train_works: number of works in the training split.
          mesh: the devices.
          class_counts: from `losses.class_counts` of the training split; evaluation needs none.
          schedule: step → learning rate, instead of the one that the configuration describes.
          watch: sees each gradient before the optimizer; its state is `opt_state[0]`.
        """
        self.config = config
        self.mesh = mesh
        self._classes = classes
        self._train_works = train_works
        self._class_counts = class_counts
        self.steps_per_epoch = train_works / config.batch_size
        self.steps = config.steps or max(1, math.ceil(config.epochs * self.steps_per_epoch))
        platform = mesh.devices.flat[0].platform
        self._options = compiler_options(platform)
        self._options_forward = compiler_options(platform, forward_only=True)
        self._options_once = compiler_options(platform, runs_once=True)
        self.dtype = activation_dtype(config.precision, platform)
        self.schedule = schedule or optim.create_schedule(
            config.optim, self.steps, self.steps_per_epoch
        )
        name = config.model.name
        self._family = models.family_of(name)
        self.preprocessing = preprocessing_of(config, self._family.preprocessing)
        self._fixed_norms: frozenset[str] = frozenset()
        self._model = self._create_model(platform)
        self._stages = stage_names(self._model)
        whole = self._whole_shapes()
        self.groups = group_parameters(
            config.optim, whole["params"], self._stages, self._family.part_of
        )
        self.boundary = self.groups.boundary
        if config.features.views and not self.boundary:
            raise ConfigError(
                f"--config.features.views={config.features.views}: no stage of the network is frozen; "
                "freeze the first ones, or all with --config.optim.groups=\"(('(?!head_).*',0.0),)\""
            )
        if config.features.views and jax.process_count() > 1:
            raise ConfigError(
                "--config.features.views: features are computed by one process; use one, or 0 views"
            )
        self._fixed_norms = self._norms_to_fix(whole.get("batch_stats", {}))
        self._model = self._create_model(platform)
        own = self._create_optimizer(config.optim, self.schedule)
        self._optimizer = optax.chain(watch, own) if watch else own
        frozen = self.groups.frozen
        self._create_state = partial(
            create_state,
            self._model,
            self._optimizer,
            config.image_size,
            config.seed,
            with_ema=config.ema_decay > 0,
            **({"frozen": frozen} if frozen else {}),
        )
        shapes = jax.eval_shape(self._create_state)
        self._shardings = shardings = mesh_lib.state_sharding(mesh, shapes)
        self.batch_sharding = mesh_lib.batch_sharding(mesh)
        everywhere = mesh_lib.replicated(mesh)
        self.abstract_state: TrainState = _with_shardings(shapes, shardings)
        self.abstract_frozen: dict[str, Any] = {}
        if frozen:
            frozen_shapes = self._frozen_of(whole)
            self.abstract_frozen = _with_shardings(
                frozen_shapes, mesh_lib.state_sharding(mesh, frozen_shapes)
            )
        self.frozen: dict[str, Any] = {}
        self._train_step = create_train_step(
            self._model,
            self._optimizer,
            self.schedule,
            config,
            self.preprocessing,
            self._stages,
            self.boundary,
            self._class_weights(),
        )
        self.train_step = jax.jit(
            self._train_step,
            in_shardings=(shardings, self.batch_sharding, *self._frozen_shardings),
            out_shardings=(shardings, everywhere),
            donate_argnums=0,
            compiler_options=self._options,
        )
        self.crop_boxes = create_crop_boxes(config)
        self.eval_step = jax.jit(
            create_eval_step(
                self._model,
                config.image_size,
                config.accumulate,
                self.preprocessing,
                self.boundary,
            ),
            out_shardings=everywhere,
            compiler_options=self._options_forward,
        )

    def _create_model(self, platform: str) -> StagedNetwork:
        options = {
            name: value for name, value in self.config.model.items() if name not in _NO_OPTIONS
        }
        model = create_model(
            self.config.model.name, self._classes, dtype=self.dtype, platform=platform, **options
        )
        return model.clone(fixed_norms=self._fixed_norms) if self._fixed_norms else model

    def _whole_shapes(self) -> dict[str, Any]:
        """The shapes of all variables of the network, trained and frozen ones."""
        size = self.config.image_size
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        shapes: dict[str, Any] = jax.eval_shape(self._model.init, jax.random.key(0), images)
        return shapes

    def _norms_to_fix(self, statistics: Mapping[str, Any]) -> frozenset[str]:
        frozen = self.groups.fixed_norms(statistics)
        if not self.config.model.fix_norms:
            return frozen
        layers = {path.rpartition("/")[0] for path in flat(statistics)}
        return frozen.union(
            name for name in layers if self._family.part_of(f"{name}/scale") != HEAD
        )

    def _class_weights(self) -> dict[str, np.ndarray] | None:
        loss = self.config.loss
        if self._class_counts is None or loss.class_weights == "none":
            return None
        return {
            task: losses.class_weights(loss, counts) for task, counts in self._class_counts.items()
        }

    def _create_optimizer(
        self, section: Any, schedule: optax.Schedule
    ) -> optax.GradientTransformation:
        first = round(self.config.optim.head_first * self.steps)
        if self.groups.uniform and not first:
            return optim.create_optimizer(section, schedule)
        head_first = first, min(self.warmup_steps, self.steps - first)
        return optim.create_optimizer(section, schedule, self.groups, head_first)

    def train_step_with(
        self, peak_lr: Any, weight_decay: Any, label_smoothing: Any
    ) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
        """The training step with other hyperparameters, not compiled.

        Args:
          peak_lr: in place of `optim.peak_lr`; may be traced, float32 scalar, as the others.
          weight_decay: in place of `optim.weight_decay`.
          label_smoothing: in place of `optim.label_smoothing`.
        """
        given = self.config.optim
        one = optim.create_schedule(Overlay(given, peak_lr=1.0), self.steps, self.steps_per_epoch)

        def schedule(step: Any) -> Any:
            return peak_lr * one(step)

        own = Overlay(given, weight_decay=weight_decay, label_smoothing=label_smoothing)
        return create_train_step(
            self._model,
            self._create_optimizer(own, schedule),
            schedule,
            Overlay(self.config, optim=own),
            self.preprocessing,
            self._stages,
            self.boundary,
            self._class_weights(),
        )

    @property
    def train_options(self) -> dict[str, str]:
        """The compiler options for programs with gradients."""
        return dict(self._options)

    def after_validation(self, state: TrainState, loss: float) -> TrainState:
        """The state after a validation. Only with the schedule `plateau` does it differ.

        All processes must call this together, with the same loss (sum over the tasks, in nats).
        """
        if self.config.optim.schedule != "plateau":
            return state
        opt_state = self._after_validation(state.opt_state, np.float32(loss))
        return state.replace(opt_state=opt_state)

    def learning_rate_scale(self, state: TrainState) -> float:
        """What the schedule `plateau` has made of the learning rate, as a factor; 1 without it."""
        scale = optim.plateau_scale(state.opt_state)
        return 1.0 if scale is None else float(scale)

    @cached_property
    def _after_validation(self) -> Callable[[Any, np.float32], Any]:
        return jax.jit(
            partial(optim.after_validation, self.config.optim),
            out_shardings=self._shardings.opt_state,
            donate_argnums=0,
        )

    def initial_state(self) -> TrainState:
        """Computes the state at step 0, on the devices."""
        return jax.jit(
            self._create_state,
            out_shardings=self._shardings,
            compiler_options=self._options_once,
        )()

    @cached_property
    def all_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Path → shape of every variable of the network, such as `params/conv1_1/kernel`."""
        return flat(self._whole_shapes())

    def initial_frozen(self) -> dict[str, Any]:
        """Computes the initial values of the frozen variables, on the devices."""

        def create() -> Any:
            size = self.config.image_size
            images = jnp.zeros((1, size, size, 3), jnp.float32)
            return self._frozen_of(self._model.init(jax.random.key(self.config.seed), images))

        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_frozen)
        frozen: dict[str, Any] = jax.jit(
            create, out_shardings=shardings, compiler_options=self._options_once
        )()
        return frozen

    def with_arrays(self, tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        """A tree of parameters or statistics in which arrays, given by path, replace some leaves."""
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                jax.device_put(arrays[key].astype(leaf.dtype), leaf.sharding)
                if (key := "/".join(entry.key for entry in path)) in arrays
                else leaf
            ),
            tree,
        )

    def _frozen_of(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The frozen variables among all variables of the network, or among their shapes."""
        found = {"params": split(variables["params"], self.groups.frozen)[1]}
        statistics = {
            path: leaf
            for path, leaf in flat(variables.get("batch_stats", {})).items()
            if path.rpartition("/")[0] in self._fixed_norms
        }
        return found | ({"batch_stats": nested(statistics)} if statistics else {})

    @property
    def _frozen_shardings(self) -> tuple[Any, ...]:
        if not self.abstract_frozen:
            return ()
        return (jax.tree.map(lambda leaf: leaf.sharding, self.abstract_frozen["params"]),)

    def with_batch_size(self, batch_size: int) -> Experiment:
        """Returns the same experiment with another batch size, so its numbers of steps differ, too."""
        config = config_lib.with_batch_size(self.config, batch_size)
        given = self._classes, self._train_works, self.mesh, self._class_counts
        return Experiment(config, *given)

    def with_config(
        self,
        config: ConfigDict,
        schedule: optax.Schedule | None = None,
        watch: optax.GradientTransformation | None = None,
    ) -> Experiment:
        """Returns an experiment on the same data and devices; the arguments are those of the class."""
        given = self._classes, self._train_works, self.mesh, self._class_counts
        return Experiment(config, *given, schedule=schedule, watch=watch)

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
        frozen = (self.abstract_frozen["params"],) if self.abstract_frozen else ()
        return self.train_step.lower(self.abstract_state, self.abstract_batch, *frozen).compile()

    def compile_from(self, source: Source) -> tuple[jax.stages.Compiled, TrainStep]:
        """Compiles the step for the batches of a source.

        Returns:
          The program, and a function (state, result of `source.batch`) → (state, metrics) that calls it.
        """
        frozen = (self.frozen["params"],) if self.frozen else ()
        if not source.works:
            compiled = self.train_step.lower(
                self.abstract_state, source.batch(0), *frozen
            ).compile()
            return compiled, lambda state, batch: compiled(state, batch, *frozen)

        def step(state: TrainState, works: Batch, batch: Batch, *frozen: Any) -> Any:
            return self._train_step(state, source.gather(works, batch), *frozen)

        held = jax.tree.map(lambda array: array.sharding, source.works)
        jitted = jax.jit(
            step,
            in_shardings=(self._shardings, held, self.batch_sharding, *self._frozen_shardings),
            out_shardings=(self._shardings, mesh_lib.replicated(self.mesh)),
            donate_argnums=0,
            compiler_options=self._options,
        )
        compiled = jitted.lower(
            self.abstract_state, source.works, source.batch(0), *frozen
        ).compile()
        return compiled, lambda state, batch: compiled(state, source.works, batch, *frozen)

    @property
    def _forward_arguments(self) -> tuple[Any, Any, Any, Any]:
        size = self.config.image_size
        images = jax.ShapeDtypeStruct((_TRACED_BATCH_SIZE, size, size, 3), jnp.float32)
        state = self.abstract_state
        return state.params, self.abstract_frozen.get("params", {}), state.model_state, images

    @cached_property
    def flops_per_image(self) -> float:
        """FLOPs of training on one image; see `estimates.Forward.training_flops`."""
        forward = estimates.Forward(self._create_model("cpu"), self.boundary)
        passes = 2 if self.config.optim.sam_rho else 1
        flops = passes * forward.training_flops(*self._forward_arguments)
        return flops / _TRACED_BATCH_SIZE

    def estimated_bytes(self) -> tuple[float, float, float]:
        """Estimates the bytes of state, gradient and activations on each device, from shapes alone.

        The activations are the arrays that JAX keeps for the backward pass. The compiler may keep less,
        and needs temporary memory, so the sum is only an estimate.
        """
        remat = self._stages if self.config.remat else None
        forward = estimates.Forward(self._model, self.boundary)
        kept = forward.kept_bytes(*self._forward_arguments, remat)
        works = self.config.batch_size / self.config.accumulate / self.mesh.size
        params = bytes_on_each_device(self.abstract_state.params)
        state = bytes_on_each_device(self.abstract_state)
        return state, params, kept / _TRACED_BATCH_SIZE * works

    def layers(self) -> list[Layer]:
        """The layers of the network, with their parameters and the FLOPs of a forward pass."""
        model = self._create_model("cpu")
        return layers_of(model, self.config.image_size, self._family.part_of, stage_names(model))

    @property
    def classes(self) -> Mapping[str, int]:
        """Number of classes for each task."""
        return self._classes

    def part_of(self, path: str) -> str:
        """The stage of a parameter, such as `conv1_1/kernel`, or `HEAD`."""
        return self._family.part_of(path)

    @property
    def parameters(self) -> int:
        """Number of parameters that are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_state.params))

    @property
    def frozen_parameters(self) -> int:
        """Number of parameters that are not trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_frozen.get("params", {})))

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

    def whole_variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Variables as from `TrainState.variables` together with the frozen ones, which count."""
        return merged(variables, self.frozen) if self.frozen else dict(variables)

    @cached_property
    def feature_step(self) -> Callable[[Any, Batch, jax.Array | None], jax.Array]:
        """The compiled function from `create_feature_step`: the outputs of the stage `boundary`."""

        def step(model: nn.Module) -> Callable[..., jax.Array]:
            return create_feature_step(model, self.config, self.preprocessing, self.boundary)

        own = step(self._model)
        candidates = [Candidate(own, self._options_forward)]
        if self._options_forward:
            # What is best for one network is not for another.
            candidates.append(Candidate(own, {}))
        if self.mesh.devices.flat[0].platform == "cpu":
            for model in self._model.other_arithmetic():
                candidates.append(Candidate(step(model), self._options_forward, "other arithmetic"))
        return FastestProgram(candidates, out_shardings=mesh_lib.replicated(self.mesh))

    def trunk_outputs(self, variables: Mapping[str, Any], batch: Batch) -> jax.Array | None:
        """The outputs of the last stage, as evaluation sees a batch, float16; None without stages."""
        names = stage_names(self._model)
        if not names:
            return None
        step = create_feature_step(self._model, self.config, self.preprocessing, names[-1])
        outputs: jax.Array = jax.jit(
            lambda variables, batch: step(variables, batch, None),
            out_shardings=mesh_lib.replicated(self.mesh),
        )(self.whole_variables(variables), batch)
        return outputs

    @cached_property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of the stage `boundary` for one image."""
        size = self.config.image_size
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        of = partial(self._model.apply, until=self.boundary)
        shape: Any = jax.eval_shape(of, self._whole_shapes(), images)
        return tuple(shape.shape[1:])

    def is_before_boundary(self, path: str) -> bool:
        """Whether a variable, such as `params/conv1_1/kernel`, belongs to a stage up to the boundary."""
        names = stage_names(self._model)
        part = self._family.part_of(path.partition("/")[2])
        return part in names[: names.index(self.boundary) + 1]

    def logits(
        self, variables: Any, batch: Mapping[str, Any], view: augment.View | None = None
    ) -> dict[str, jax.Array]:
        """Logits for each task, float32 [B, classes]; `variables` as from `TrainState.variables`.

        Without a view, they are of what a network is usually evaluated on; see `create_eval_step`.
        """
        of_view = () if view is None else (view,)
        return self.eval_step(self.whole_variables(variables), batch, *of_view)
