"""A network on devices, apart from its training: what evaluation, prediction and exports need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from artjax import augment, models
from artjax.errors import ConfigError
from artjax.models import HEAD, create_model, onednn
from artjax.models.faster_convolutions import with_faster_convolutions
from artjax.models.preprocessing import Preprocessing
from artjax.models.presets import with_preset
from artjax.models.staged import StagedNetwork, stage_names
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.fastest import Candidate, FastestProgram
from artjax.runtime.xla_options import compiler_options
from artjax.training.forward import (
    Batch,
    activation_dtype,
    create_dropout_step,
    create_eval_step,
    create_feature_step,
)
from artjax.training.groups import flat, group_parameters, merged, nested, split
from artjax.training.layers import Layer, layers_of
from artjax.training.state import variables_of

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

# Fields of `config.model` that are no options of the network.
_NO_OPTIONS = ("name", "weights", "fix_norms")


def preprocessing_of(config: ConfigDict) -> Preprocessing:
    """The input of the network: as set in the configuration, else that of the family."""
    own = with_preset(config.preprocessing)
    return replace(models.family_of(config.model.name).preprocessing, **own)


class Network:
    """A network on a mesh, its parameters divided into those that are trained and frozen ones.

    Variables are nested dicts, `params` and the collections of statistics. *Whole* variables hold those
    that are trained and the frozen ones; `whole` puts them together.

    Attributes:
      config: the configuration; it has been checked. Read are `model`, `image_size`, `preprocessing`,
        `precision`, `augment`, `seed`, `batch_size`, `accumulate`, `features.views`, and of `optim` what
        says which parameters are frozen.
      classes: number of classes for each task.
      mesh: the devices.
      platform: `cpu`, `gpu` or `tpu`.
      dtype: dtype of the activations.
      preprocessing: the input of the network.
      model: the Flax module.
      stages: the names of its stages, in order.
      groups: which parameters are trained, and how.
      boundary: the last stage up to which all parameters are frozen; empty if there is none.
      batch_sharding: sharding of the first axis of a batch.
      shapes: shapes of all variables, nested dicts.
      abstract_variables: shapes, dtypes and shardings of the trained parameters and all statistics.
      abstract_frozen: the same of the frozen variables: parameters that are not trained, and statistics
        of BatchNorm that do not move; `{}` if there are none.
      counted: numbers that follow from the network alone, by name; who computes one may keep it here.
      eval_step: (whole variables, batch[, view]) → logits for each task, the same in every process.
      feature_step: the function from `create_feature_step`: (variables, batch, keys) → the outputs of
        the stage `boundary`.
    """

    def __init__(self, config: ConfigDict, classes: Mapping[str, int], mesh: Mesh) -> None:
        """Builds everything but the programs, which compile at their first call.

        Raises:
          ConfigError: if the configuration freezes nothing and wants features, or groups that no
            parameter matches.
        """
        self.config = config
        self.classes = classes
        self.mesh = mesh
        self.platform: str = mesh.devices.flat[0].platform
        self.dtype = activation_dtype(config.precision, self.platform)
        self.preprocessing = preprocessing_of(config)
        self._family = models.family_of(config.model.name)
        self._fixed_norms: frozenset[str] = frozenset()
        model = self._create_model(self.platform)
        self.stages = stage_names(model)
        self.shapes = self._shapes_of(model)
        self.groups = group_parameters(
            config.optim, self.shapes["params"], self.stages, self._family.part_of
        )
        self.boundary = self.groups.boundary
        self._check_features()
        self._fixed_norms = self._norms_to_fix(self.shapes.get("batch_stats", {}))
        self.model = self._create_model(self.platform)
        self.batch_sharding = mesh_lib.batch_sharding(mesh)
        self.abstract_variables = self._on_mesh(self._trained_of(self.shapes))
        self.abstract_frozen: dict[str, Any] = (
            self._on_mesh(self.frozen_of(self.shapes)) if self.groups.frozen else {}
        )
        self.counted: dict[str, float] = {}
        self._options_forward = compiler_options(self.platform, forward_only=True)
        self._options_once = compiler_options(self.platform, runs_once=True)
        self.eval_step = jax.jit(
            self._eval_step,
            out_shardings=mesh_lib.replicated(mesh),
            compiler_options=self._options_forward,
        )
        self.feature_step = self._fastest_feature_step()
        self._trunk_step = self._create_trunk_step()
        self._whole_step = self._create_whole_step()

    def _create_model(self, platform: str) -> StagedNetwork:
        options = {
            name: value for name, value in self.config.model.items() if name not in _NO_OPTIONS
        }
        model = create_model(
            self.config.model.name, self.classes, dtype=self.dtype, platform=platform, **options
        )
        return model.clone(fixed_norms=self._fixed_norms) if self._fixed_norms else model

    def _shapes_of(self, model: nn.Module) -> dict[str, Any]:
        shapes: dict[str, Any] = jax.eval_shape(model.init, jax.random.key(0), self.images(1))
        return shapes

    def _check_features(self) -> None:
        views = self.config.features.views
        if views and not self.boundary:
            raise ConfigError(
                f"--config.features.views={views}: no stage of the network is frozen; freeze the first "
                "ones, or all with --config.optim.groups=\"(('(?!head_).*',0.0),)\""
            )
        if views and jax.process_count() > 1:
            raise ConfigError(
                "--config.features.views: features are computed by one process; use one, or 0 views"
            )

    def _norms_to_fix(self, statistics: Mapping[str, Any]) -> frozenset[str]:
        frozen = self.groups.fixed_norms(statistics)
        if not self.config.model.fix_norms:
            return frozen
        layers = {path.rpartition("/")[0] for path in flat(statistics)}
        return frozen | {name for name in layers if self.part_of(f"{name}/scale") != HEAD}

    def _on_mesh(self, shapes: Any) -> Any:
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            mesh_lib.state_sharding(self.mesh, shapes),
        )

    def _trained_of(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The trained parameters, and all statistics."""
        statistics = {name: value for name, value in variables.items() if name != "params"}
        return variables_of(split(variables["params"], self.groups.frozen)[0], statistics)

    def frozen_of(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The frozen variables among all variables of the network, or among their shapes."""
        found = {"params": split(variables["params"], self.groups.frozen)[1]}
        statistics = {
            path: leaf
            for path, leaf in flat(variables.get("batch_stats", {})).items()
            if path.rpartition("/")[0] in self._fixed_norms
        }
        return found | ({"batch_stats": nested(statistics)} if statistics else {})

    def whole(self, variables: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
        """Variables as from `TrainState.variables` together with the frozen ones, which count."""
        return merged(variables, frozen) if frozen else dict(variables)

    def initial_frozen(self) -> dict[str, Any]:
        """Computes the initial values of the frozen variables, on the devices; `{}` without any."""
        if not self.abstract_frozen:
            return {}

        def create() -> Any:
            size = self.config.image_size
            images = jnp.zeros((1, size, size, 3), jnp.float32)
            return self.frozen_of(self.model.init(jax.random.key(self.config.seed), images))

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

    def images(self, count: int) -> jax.ShapeDtypeStruct:
        """The shape of `count` images as the network takes them, float32 [count, H, W, 3]."""
        size = self.config.image_size
        return jax.ShapeDtypeStruct((count, size, size, 3), jnp.float32)

    def logits(
        self, variables: Any, batch: Mapping[str, jax.Array], view: augment.View | None = None
    ) -> dict[str, jax.Array]:
        """Logits for each task, float32 [B, classes].

        Args:
          variables: whole ones.
          batch: images and aspects, or features in place of images.
          view: default: what a network is usually evaluated on; see `create_eval_step`.
        """
        return self.eval_step(variables, batch, *(() if view is None else (view,)))

    @cached_property
    def _eval_step(self) -> Callable[..., dict[str, jax.Array]]:
        config = self.config
        return create_eval_step(
            self.model, config.image_size, config.accumulate, self.preprocessing, self.boundary
        )

    def dropout_logits(
        self,
        variables: Any,
        batch: Batch,
        words: jax.Array,
        passes: int,
        view: augment.View | None = None,
    ) -> dict[str, jax.Array]:
        """Logits for each task of several passes with dropout on, float32 [B, passes, classes].

        Args:
          variables: whole ones.
          batch: images and aspects, or features in place of images.
          words: of each work a number from which its random keys are made, uint32 [B].
          passes: their number.
          view: as for `logits`.
        """
        found: dict[str, jax.Array] = self._dropout_step(
            variables, batch, words, self.config.seed, passes, view
        )
        return found

    @cached_property
    def _dropout_step(self) -> Callable[..., dict[str, jax.Array]]:
        config = self.config
        return jax.jit(
            create_dropout_step(
                self.model,
                config.image_size,
                config.accumulate,
                self.preprocessing,
                self.boundary,
                bool(config.features.views),
            ),
            static_argnums=(3, 4),  # the seed and the number of passes
            out_shardings=mesh_lib.replicated(self.mesh),
            compiler_options=self._options_forward,
        )

    def logits_and_trunk_outputs(
        self, variables: Any, batch: Batch
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """`logits` and `trunk_outputs` of the same images, for the time of one of them."""
        found: tuple[dict[str, jax.Array], jax.Array] = self._whole_step(variables, batch)
        return found

    def _create_whole_step(self) -> Callable[[Any, Batch], Any]:
        # In one program XLA computes what both have in common once.
        step = self._feature_step(self.model, self.stages[-1])
        return jax.jit(
            lambda variables, batch: (
                self._eval_step(variables, batch),
                step(variables, batch, None),
            ),
            out_shardings=mesh_lib.replicated(self.mesh),
            compiler_options=self._options_forward,
        )

    def _fastest_feature_step(self) -> FastestProgram:
        own = self._feature_step(self.model, self.boundary)
        candidates = [Candidate(own, self._options_forward)]
        if self._options_forward:
            # What is best for one network is not for another.
            candidates.append(Candidate(own, {}))
        if self.platform == "cpu":
            for name, use_winograd in (("matrix products", False), ("Winograd", True)):
                step = with_faster_convolutions(own, use_winograd=use_winograd)
                candidates.append(Candidate(step, self._options_forward, name))
            if self.mesh.size == 1 and onednn.is_there():
                step = onednn.with_onednn(own)
                options = self._options_forward
                candidates.append(Candidate(step, options, "oneDNN", onednn.not_kept))
        # With keys it computes crops as well, which take little of the time: one choice is enough.
        return FastestProgram(
            candidates, decided_by=2, out_shardings=mesh_lib.replicated(self.mesh)
        )

    def _feature_step(self, model: nn.Module, stage: str) -> Callable[..., jax.Array]:
        config = self.config
        return create_feature_step(
            model, config.image_size, config.augment, self.preprocessing, stage
        )

    def trunk_outputs(self, variables: Mapping[str, Any], batch: Batch) -> jax.Array:
        """The outputs of the last stage, as evaluation sees a batch, float16 [B, …].

        Args:
          variables: whole ones.
          batch: images and aspects.
        """
        outputs: jax.Array = self._trunk_step(variables, batch)
        return outputs

    def _create_trunk_step(self) -> Callable[[Any, Batch], Any]:
        step = self._feature_step(self.model, self.stages[-1])
        return jax.jit(
            lambda variables, batch: step(variables, batch, None),
            out_shardings=mesh_lib.replicated(self.mesh),
            compiler_options=self._options_forward,
        )

    @property
    def freezes_trunk(self) -> bool:
        """Whether all stages are frozen, so that features are the outputs of the last one."""
        return self.boundary == self.stages[-1]

    @cached_property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of the stage `boundary` for one image."""
        of = partial(self.model.apply, until=self.boundary)
        shape: Any = jax.eval_shape(of, self.shapes, self.images(1))
        return tuple(shape.shape[1:])

    def is_before_boundary(self, path: str) -> bool:
        """Whether a variable, such as `params/conv1_1/kernel`, belongs to a stage up to the boundary."""
        part = self.part_of(path.partition("/")[2])
        return part in self.stages[: self.stages.index(self.boundary) + 1]

    def part_of(self, path: str) -> str:
        """The stage of a parameter, such as `conv1_1/kernel`, or `HEAD`."""
        return self._family.part_of(path)

    def model_for_counting(self) -> StagedNetwork:
        """The network as it is on a CPU: without the padding that an accelerator wants."""
        return self._create_model("cpu")

    def layers(self) -> list[Layer]:
        """The layers of the network, with their parameters and the FLOPs of a forward pass."""
        model = self.model_for_counting()
        return layers_of(model, self.config.image_size, self._family.part_of, self.stages)

    @property
    def parameters(self) -> int:
        """Number of parameters that are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_variables["params"]))

    @property
    def frozen_parameters(self) -> int:
        """Number of parameters that are not trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_frozen.get("params", {})))

    @property
    def eval_batch_size(self) -> int:
        """Size of an evaluation batch: that of a training batch, rounded up to equal shares."""
        shares = self.mesh.size * self.config.accumulate
        return -(-self.config.batch_size // shares) * shares
