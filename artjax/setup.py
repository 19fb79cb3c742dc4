"""What a run starts from: the one beginning of all modes that train, or look at a training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh

from artjax import config as config_lib
from artjax import pretrained as pretrained_lib
from artjax.data import batches, canvases, folds, sources
from artjax.data.canvases import Canvases
from artjax.data.sources import Choice, Source
from artjax.data.splits import SPLITS
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.places import Places
from artjax.prepare.picture_decoding import SHORT_SIDE_PX
from artjax.pretrained import Pretrained
from artjax.runs import Record, latest_record, read_config, seen
from artjax.runs.seen import LearntFrom
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes
from artjax.training import memory, solving
from artjax.training.checkpoint import library_versions
from artjax.training.checks import check_config
from artjax.training.features import Features, features_of
from artjax.training.groups import flat
from artjax.training.logs import Console
from artjax.training.losses import class_counts
from artjax.training.network import Network
from artjax.training.optim import is_solved, peak_lr
from artjax.training.state import TrainState, variables_of
from artjax.training.training import Training, TrainStep, bytes_on_each_device, create_training

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


@dataclass(frozen=True)
class Setup:
    """What a run starts from. Nothing is automatic any more, and nothing is computed yet.

    Attributes:
      training: the network, and how it is trained.
      places: the folders.
      data: the collection; of a fold, divided anew.
      splits: its splits, by name, as evaluation reads them.
      train: the training split, as training reads it: with features, every view of each work.
      choice: the source of the training batches, and what it takes.
      record: of each checkpoint.
      console: prints lines and the progress bar.
      pretrained: the weights that a new run starts from; None for one from scratch, or resumed.
      nominal_batch_size: whether the batch size is only a nominal one; see `open_setup`.
      weights_learnt_from: the works that the pretrained weights of a run have learnt from; None for
        weights that are not those of a run.
    """

    training: Training
    places: Places
    data: Canvases
    splits: dict[str, Split]
    train: Split
    choice: Choice
    record: Record
    console: Console
    pretrained: Pretrained | None = None
    nominal_batch_size: bool = False
    weights_learnt_from: LearntFrom | None = None

    @property
    def config(self) -> ConfigDict:
        """The configuration, in which nothing is automatic any more."""
        return self.training.config

    @property
    def network(self) -> Network:
        """The network."""
        return self.training.network

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The pretrained weights by path; empty for a run from scratch."""
        return self.pretrained.arrays if self.pretrained else {}

    def with_training(self, training: Training) -> Setup:
        """The same data and weights for another training."""
        return replace(self, training=training)

    def initial_state(self) -> TrainState:
        """The state of a new run at step 0, with its pretrained weights."""
        state, network = self.training.initial_state(), self.network
        if not self.arrays:
            return state
        variables = network.with_arrays(variables_of(state.params, state.model_state), self.arrays)
        params = variables.pop("params")
        ema = None if state.ema is None else network.with_arrays(state.ema, self.arrays)
        return state.replace(params=params, model_state=variables, ema=ema)

    def with_solved_heads(
        self, state: TrainState, frozen: Mapping[str, Any]
    ) -> tuple[TrainState, list[str]]:
        """The state of a new run with the heads of a linear probe, and a line on each.

        Args:
          state: from `initial_state`.
          frozen: the frozen variables, on the devices.
        """
        training = self.training
        network = solving.probe_of(training)
        variables = self.network.whole(variables_of(state.params, state.model_state), frozen)
        # Not `self.train`: with features, its rows are no longer those of the pictures.
        train = self.data.split("train", config_lib.label_features(self.config))
        features = Features(network, variables, self.data, self.places.features)
        groups = self.data.groups(train, self.data.split_by)
        return solving.solve_start(training, state, features.seen(train), groups)

    def initial_frozen(self) -> dict[str, Any]:
        """The frozen variables of a new run; `{}` if it trains everything."""
        network = self.network
        drawn: Any = network.abstract_frozen
        if not flat(drawn).keys() <= self.arrays.keys():
            drawn = network.initial_frozen()
        frozen: dict[str, Any] = network.with_arrays(drawn, self.arrays)
        return frozen

    @cached_property
    def first_batch(self) -> np.ndarray:
        """The works of the first batch of the run, as indices in the training split, int [B]."""
        return batches.create_order(self.config, self.splits["train"])(0)

    def save_learnt_from(self, workdir: Path) -> None:
        """Writes which works a run learns from into its workdir, for runs that take its weights."""
        # Not `self.splits`: with features, their rows are no longer those of the pictures.
        labels = config_lib.label_features(self.config)
        splits = [self.data.split(name, labels) for name in ("train", "validation")]
        seen.save(workdir, seen.of_splits(self.data, splits), self.weights_learnt_from)

    def with_features(
        self, frozen: Mapping[str, Any], seen: Collection[str] = SPLITS
    ) -> tuple[Setup, Features | None]:
        """With `features.views`, the set-up whose splits hold features, which are computed here.

        Args:
          frozen: the frozen variables, on the devices.
          seen: names of the splits that will be evaluated; the others keep their images.

        Returns:
          The set-up, and the features; without them the set-up as it is, and None.
        """
        config = self.config
        features = features_of(self.network, frozen, self.data, self.places.features)
        if features is None:
            return self, None
        splits = self.splits | {name: features.seen(self.splits[name]) for name in seen}
        of_train = features.seen_and_views if is_solved(config) else features.views
        train = of_train(self.splits["train"], config.features.views)
        choice = sources.choose_for(config, self.data, train, self.network.mesh)
        count = config.features.views
        self.console.say(
            f"features: {format_bytes(train.nbytes)} for {count} view{'s' * (count > 1)} of "
            f"train, computed once up to {self.network.boundary}, in {features.directory}"
        )
        return replace(self, splits=splits, train=train, choice=choice), features

    def open_source(self) -> Source:
        """Opens the source of the training batches; `device` puts the works on the devices."""
        training, mesh = self.training, self.network.mesh
        return sources.open_source(self.config, self.train, mesh, training.crop_boxes, self.choice)

    def compile(self, source: Source, frozen: Mapping[str, Any]) -> TrainStep:
        """Compiles the step for a source, before a state is allocated.

        Raises:
          TrainingError: if the step needs more memory than is free; the message says what would fit.
        """
        training = self.training
        free = memory.free_bytes(self.network.mesh)
        compiled, train_step = training.compile_from(source, frozen)
        needed = memory.needed_bytes(compiled)
        if needed is not None:
            # The canvases are arguments of the step, but no longer in the free memory.
            needed += memory.waiting_bytes(training, self.choice)
            needed -= bytes_on_each_device(source.works)
        if needed and free and needed > free:
            raise memory.too_large(training, self.choice, free, needed)
        return train_step

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """Running out of device memory in the block is one error that says what would fit.

        Raises:
          TrainingError: in place of JAX's own error.
        """
        free = memory.free_bytes(self.network.mesh)
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if not memory.is_out_of_memory(error):
                raise
            beside = None if free is None else max(0, free - self.choice.held_bytes)
            raise memory.too_large(self.training, self.choice, beside, None) from error


def open_setup(
    config: ConfigDict,
    places: Places,
    *,
    mode: str = "",
    devices: Sequence[jax.Device] | None = None,
    find_batch_size: bool = True,
    say: Callable[[str], None] | None = None,
) -> Setup:
    """Opens the data and the weights, builds the network, and resolves every automatic value.

    The order is this; each value depends on those before it only:

    1. the learning rate: as set, else that of the optimizer;
    2. seed and fold, where a mode only tries several seeds or a cross-validation out: the first;
    3. network and size of the images: as set, else those of the run in the workdir, else those of the
       pretrained weights;
    4. the data: of a run in the workdir, its own set, else the one that the collection's name means;
       canvases or TFRecords, in the splits of the collection or of the fold;
    5. the source of the batches: as set, else the first of device, host and stream that fits;
    6. the batch size: as set, else that of the run in the workdir, else the largest that fits;
    7. the input of the network: as set, else that of the run in the workdir, else what the pretrained
       weights expect, else that of the family;
    8. the weights: those of the run in the workdir, else the pretrained ones, else drawn.

    Nothing in the workdir is changed.

    Args:
      config: the configuration, with its collection.
      places: the folders; the workdir need not exist.
      mode: of a mode that tries a set-up out, its name. `describe` and `benchmark` look at the run that
        the workdir holds, if any; the others start as a new run does, but for an automatic batch size.
        Empty for a run itself.
      devices: the devices to use; default: all devices of all processes.
      find_batch_size: whether an automatic batch size that no run has found is sought, which compiles
        steps. Otherwise it is a nominal one, for a look at the first works: do not train with it.
      say: prints a line; default: the console, in process 0.

    Raises:
      ConfigError: if the configuration is invalid, or a mode for one process is called by several.
      WeightsError: if the pretrained weights cannot be read, or belong to another network.
      DataError: if the data cannot be opened.
    """
    if mode == "lr_find" and is_solved(config):
        raise ConfigError(
            "--mode lr_find: heads that are solved (--config.optim.name=lbfgs) have no learning rate; "
            "for one that is trained in steps add --config.optim.name=adamw --config.features.views=4"
        )
    if mode in _IN_STEPS and is_solved(config):
        computed = {} if config.features.views else {"features.views": 0}  # all in each step
        config = config_lib.changed(config, {**solving.IN_STEPS, **computed})
        (say or print)(
            f"--mode {mode} takes steps: in place of lbfgs {config.optim.name}, with a peak learning "
            f"rate of {config.optim.peak_lr:g}"
        )
    check_config(config)
    if mode and mode not in _FOR_SEVERAL_PROCESSES and jax.process_count() > 1:
        raise ConfigError(f"--mode {mode} is for one process; leave --coordinator out")
    mesh = mesh_lib.create_mesh(config.fsdp, devices)
    mesh_lib.check_batch_size(config.batch_size, mesh, config.accumulate)
    console = Console(enabled=mesh_lib.is_first_process())
    say = say or console.say
    config = config_lib.changed(config, {"optim.peak_lr": peak_lr(config.optim)})
    if mode and config.seeds:
        config.seed, config.seeds = config.seeds[0], ()
    if mode and config.folds and config.fold < 0:
        config.fold = 0
    of_run = not mode or mode in _OF_THE_RUN
    held = latest_record(places.workdir) if of_run else None
    earlier = held.config if held and config.model.weights else None
    weights = pretrained_lib.open_weights(config) if earlier is None else None
    config = pretrained_lib.with_model_found(config, weights, earlier)
    check_config(config)
    if weights is not None:
        weights.check(config)
    config, data = _open_data(config, places, held)
    data.check_group_label(config.eval.cluster_by)
    labels = config_lib.label_features(config)
    notes = folds.notes(data, labels)
    splits = {name: data.split(name, labels) for name in SPLITS}
    classes = {task: data.prepared.labels[feature] for task, feature in labels.items()}
    choice = sources.choose_for(config, data, splits["train"], mesh)
    counted = _Counted(classes, splits["train"], mesh)
    nominal = False
    if config.batch_size == 0:
        config, nominal = _with_batch_size(config, places, counted, choice, say, find_batch_size)
    config, lines = pretrained_lib.with_preprocessing(config, weights, earlier)
    training = counted.training(config)
    if is_solved(config):
        solving.check(training)
    if config.optim.head_solved:
        solving.check_start(training)
    pretrained = weights.for_network(training.network, classes) if weights else None
    if pretrained is not None:
        lines = [*pretrained_lib.describe(pretrained), *lines]
    learnt_from = seen.of_weights(places.workdir, held) if held else None
    if weights is not None:
        learnt_from = weights.learnt_from
        if learnt_from is not None:
            lines += seen.warnings(learnt_from, data, splits)
    for line in (*notes, *lines):
        say(line)
    record = Record(
        config=config,
        classes={task: tuple(names) for task, names in classes.items()},
        collection=data.prepared.name,
        version=data.prepared.version,
        fingerprint=data.prepared.fingerprint,
        data_dir=str(places.data_dir.absolute()),
        canvas_dir=str(places.canvas_dir.absolute()) if places.canvas_dir else "",
        feature_dir=str(places.feature_dir.absolute()) if places.feature_dir else "",
        train_works=len(splits["train"]),
        # `predict` scales images to the same size as the builder did.
        short_side_px=data.prepared.metadata.get("short_side_px", SHORT_SIDE_PX),
        versions=library_versions(),
        pretrained=pretrained.origin if pretrained else {},
    )
    train = splits["train"]
    return Setup(
        training,
        places,
        data,
        splits,
        train,
        choice,
        record,
        console,
        pretrained,
        nominal,
        learnt_from,
    )


# What a page shows of a batch is the same for all larger ones.
_NOMINAL_BATCH_SIZE = 16
# Modes that need no weights, only what follows from them, and so can do without their file.
_OF_THE_RUN = ("describe", "benchmark")
# Modes that take steps also where a training solves its heads.
_IN_STEPS = ("check", "benchmark")
# Modes that try a set-up out on all devices of all processes.
_FOR_SEVERAL_PROCESSES = ("benchmark",)


@dataclass(frozen=True)
class _Counted:
    """What a training needs to know of the data, before its batch size is known."""

    classes: Mapping[str, Sequence[str]]
    train: Split
    mesh: Mesh

    def training(self, config: ConfigDict) -> Training:
        """The training of a configuration on these data."""
        numbers = {task: len(names) for task, names in self.classes.items()}
        counts = class_counts(self.train.labels, numbers)
        return create_training(config, numbers, len(self.train), self.mesh, counts)


def _open_data(
    config: ConfigDict, places: Places, held: Record | None
) -> tuple[ConfigDict, Canvases]:
    settings = config_lib.collection_settings(config)
    if held is not None and held.config.collection == config.collection:
        # The set by its full name: another one may have been prepared since.
        settings["collection"] = held.collection
    request = canvases.Request(**settings)
    data = canvases.open_collection(request, places.data_dir, places.canvas_dir)
    if data.why_streamed:
        # Streamed pixels differ from those of canvases, so a streamed run must stay streamed.
        config = config_lib.changed(config, {"source": "stream"})
    divided = folds.divided_anew(data, config.folds, config.fold, config.split_by, config.seed)
    return config, divided


def _with_batch_size(
    config: ConfigDict,
    places: Places,
    counted: _Counted,
    choice: Choice,
    say: Callable[[str], None],
    find: bool,
) -> tuple[ConfigDict, bool]:
    """The configuration with a number in place of `auto`, and whether it is only a nominal one."""

    def with_size(size: int) -> ConfigDict:
        return config_lib.changed(config, {"batch_size": size})

    previous = read_config(places.workdir)
    if previous is not None and previous.batch_size:
        return with_size(previous.batch_size), False  # also if the free memory is different now
    if not find:
        shares = counted.mesh.size * config.accumulate
        return with_size(-(-_NOMINAL_BATCH_SIZE // shares) * shares), True
    works = len(counted.train)
    found = memory.find_batch_size(
        lambda size: counted.training(with_size(size)),
        counted.mesh,
        choice,
        works,
        config.accumulate,
    )
    say(f"batch size: auto is {found} here; the peak learning rate stays {peak_lr(config.optim):g}")
    return with_size(found), False
