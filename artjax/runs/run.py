"""Loads the network of a run from its workdir; nothing else is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from artjax import config as config_lib
from artjax.data import canvases
from artjax.data.canvases import Canvases
from artjax.data.folds import divided_anew
from artjax.errors import ConfigError, WorkdirError
from artjax.models.preprocessing import Preprocessing
from artjax.places import Places
from artjax.runs.record import Record
from artjax.runs.workdir import why_no_checkpoint
from artjax.runtime.mesh import create_mesh
from artjax.training import frozen
from artjax.training.checkpoint import Checkpoints, NoCheckpointError
from artjax.training.features import Features, features_of
from artjax.training.network import Network
from artjax.training.networks import network_of

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

CHECKPOINTS = ("best", "last")


@dataclass(frozen=True)
class Run:
    """The network of a run, with what it has learnt.

    Attributes:
      workdir: the folder of the run.
      network: the network, on devices.
      variables: whole ones: parameters and statistics, as evaluation uses them.
      step: of the checkpoint.
      record: of the checkpoint.
      which: as which it was asked for: `best` by validation, or `last`.
    """

    workdir: Path
    network: Network
    variables: Mapping[str, Any]
    step: int
    record: Record
    which: str = "best"

    @classmethod
    def load(
        cls, workdir: Path, which: str = "best", devices: Sequence[jax.Device] | None = None
    ) -> Run:
        """Loads a checkpoint of a workdir.

        Args:
          workdir: the folder of a run.
          which: `best` by validation, or `last`.
          devices: default: all devices.

        Raises:
          ConfigError: if `which` is neither of them.
          WorkdirError: if there is no checkpoint, or it cannot be read.
        """
        with closing(open_checkpoint(workdir, which)) as checkpoint:
            record = checkpoint.record
            # The present number of devices may not be divisible by the run's `fsdp`.
            count = len(devices) if devices is not None else jax.device_count()
            mesh = create_mesh(math.gcd(record.config.fsdp, count), devices)
            network = network_of(record.config, record.numbers_of_classes, mesh)
            variables = checkpoint.checkpoints.restore_variables(
                checkpoint.step, network.abstract_variables, ema=record.config.ema_decay > 0
            )
            whole = network.whole(variables, frozen.load(workdir, network))
        return cls(workdir, network, whole, checkpoint.step, record, which)

    @property
    def config(self) -> ConfigDict:
        """The configuration of the run."""
        return self.record.config

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """For each task, the names of its classes in the order of the logits."""
        return self.record.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """The input of the network."""
        return self.network.preprocessing


@dataclass(frozen=True)
class OpenRun:
    """A run together with the data that it was trained with.

    Attributes:
      run: the run.
      data: the collection; of a fold, divided as in training.
      places: where the run and its data are now.
    """

    run: Run
    data: Canvases
    places: Places

    @cached_property
    def features(self) -> Features | None:
        """The features on which the run is trained and evaluated; None if it has none."""
        return features_of(self.run.network, self.run.variables, self.data, self.places.features)


def open_run(
    workdir: Path,
    which: str = "best",
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
) -> OpenRun:
    """Loads a checkpoint of a workdir, and opens the data that it was trained with.

    Args:
      workdir: the folder of a run.
      which: `best` by validation, or `last`.
      data_dir: the present data directory, if it is another than in training.
      canvas_dir: the present folder for canvases, if it is another. Without room for canvases there,
        images are streamed.

    Raises:
      ConfigError: for an unknown checkpoint.
      WorkdirError: if there is no checkpoint, or the data has changed since training.
      DataError: if the data cannot be found.
    """
    return with_data(Run.load(workdir, which), data_dir, canvas_dir)


def with_data(run: Run, data_dir: Path | None = None, canvas_dir: Path | None = None) -> OpenRun:
    """Opens the data that a loaded run was trained with; see `open_run`."""
    config = run.config
    # The set by its full name: another one may have been prepared since.
    settings = config_lib.collection_settings(config) | {"collection": run.record.collection}
    request = canvases.Request(**settings)
    if request.source != "stream":
        # The source of the run does not matter here. `auto` streams if there is no room for canvases.
        request = replace(request, source="auto")
    places = run.record.places(run.workdir, data_dir, canvas_dir)
    data = canvases.open_collection(request, places.data_dir, places.canvas_dir)
    run.record.check_same_data(run.workdir, data.prepared)
    divided = divided_anew(data, config.folds, config.fold, config.split_by, config.seed)
    return OpenRun(run, divided, places)


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint whose state is not read yet.

    Attributes:
      checkpoints: all of the workdir.
      step: of this one.
      record: of this one.
    """

    checkpoints: Checkpoints
    step: int
    record: Record

    def close(self) -> None:
        """Frees the threads that read it."""
        self.checkpoints.close()


def open_checkpoint(workdir: Path, which: str) -> OpenCheckpoint:
    """Opens a checkpoint of a workdir.

    Args:
      workdir: the folder of a run.
      which: `best` by validation, or `last`.

    Raises:
      ConfigError: if `which` is neither of them.
      WorkdirError: if there is no checkpoint, or its record cannot be read.
    """
    if which not in CHECKPOINTS:
        raise ConfigError(f"--checkpoint {which}: valid are {', '.join(CHECKPOINTS)}")
    try:
        checkpoints = Checkpoints(workdir, read_only=True)
    except NoCheckpointError as error:
        raise WorkdirError(why_no_checkpoint(workdir)) from error
    step = checkpoints.best_step if which == "best" else checkpoints.latest_step
    assert step is not None  # `Checkpoints` refuses to read a workdir without checkpoints
    return OpenCheckpoint(checkpoints, step, read_record(checkpoints, workdir, step))


def read_record(checkpoints: Checkpoints, workdir: Path, step: int) -> Record:
    """The record of a checkpoint. Raises `WorkdirError` if it cannot be read."""
    where = workdir / "checkpoints" / str(step)
    return Record.from_json(checkpoints.record(step), where)


def latest_record(workdir: Path) -> Record | None:
    """The record of a workdir's last checkpoint; None if it has none."""
    try:
        checkpoints = Checkpoints(workdir, read_only=True)
    except NoCheckpointError:
        return None
    with closing(checkpoints):
        for step in reversed(checkpoints.steps):
            with suppress(WorkdirError):  # a damaged one; training reports it
                return read_record(checkpoints, workdir, step)
    return None
