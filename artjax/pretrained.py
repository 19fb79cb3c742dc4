"""Pretrained weights for a run: from a file, the hub, or the workdir of another run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artjax import config as config_lib
from artjax import models
from artjax import workdir as workdir_lib
from artjax.errors import WeightsError, WorkdirError
from artjax.evaluation import evaluate
from artjax.models import HEAD, Preprocessing, weights
from artjax.runtime import mesh as mesh_lib
from artjax.training.checks import check_config
from artjax.training.experiment import Experiment
from artjax.training.groups import flat, update_digest

_IMAGE_SIZE = 224  # of networks that were trained on ImageNet

if TYPE_CHECKING:
    from ml_collections import ConfigDict


@dataclass(frozen=True)
class Pretrained:
    """What a run starts from.

    Attributes:
      arrays: path → values, such as `params/conv1_1/kernel`; those of the trunk, and heads that fit.
      origin: where they come from, plain JSON, for the record of each checkpoint.
      heads: the tasks whose head is among the arrays.
    """

    arrays: Mapping[str, np.ndarray]
    origin: dict[str, Any]
    heads: tuple[str, ...] = field(default=())


class Source:
    """The weights that `--config.model.weights` names, opened before the network is built."""

    def __init__(self, source: str) -> None:
        """Opens a source.

        Raises:
          WeightsError: if it cannot be read.
          WorkdirError: if it is a folder without a checkpoint.
        """
        self.source = source
        self._run: evaluate.Restored | None = None
        self._file: weights.Weights | None = None
        self._translated: models.Translated | None = None
        if Path(source).is_dir():
            try:
                self._run = evaluate.restore(Path(source))
            except WorkdirError as error:
                raise WeightsError(f"--config.model.weights={source}: {error}") from error
        else:
            self._file = weights.read(source)

    def image_size(self) -> int:
        """The side of the images that the weights were trained with, in pixels."""
        return self._run.experiment.config.image_size if self._run is not None else _IMAGE_SIZE

    def settings(self, config: ConfigDict) -> dict[str, Any]:
        """The fields of `config.model` that follow from the weights where its name is `auto`.

        Raises:
          WeightsError: if no network, or more than one, fits the file.
        """
        if self._run is not None:
            own = self._run.experiment.config.model
            return {"name": own.name, "activation": own.activation}
        assert self._file is not None
        layers = config.model.head_layers
        fitting = weights.fitting(self._file, config.image_size, head_layers=layers)
        if not fitting:
            raise WeightsError(
                f"--config.model.weights={self.source}: these are the weights of none of the networks "
                f"here; there are {', '.join(models.names())}"
            )
        if len(fitting) > 1:
            raise WeightsError(
                f"--config.model.weights={self.source} fits several networks: set --config.model.name "
                f"to {' or '.join(fitting)}"
            )
        return {"name": fitting[0]}

    def check(self, config: ConfigDict) -> None:
        """Compares a file with the network, before data are opened. It has been named.

        Raises:
          WeightsError: if the weights are those of another network.
        """
        if self._file is None:
            return
        model = config.model
        expected = weights.trunk_shapes(
            model.name,
            config.image_size,
            activation=model.activation,
            head_layers=model.head_layers,
        )
        self._translated = weights.translated_for(
            model.name, self._file, expected, config.image_size
        )

    @property
    def activation(self) -> str:
        """The activation that the weights were trained with, where the network offers a choice."""
        return self._run.experiment.config.model.activation if self._run is not None else "relu"

    @property
    def preprocessing(self) -> Preprocessing:
        """The input that the weights expect; `check` came first."""
        if self._run is not None:
            return self._run.experiment.preprocessing
        assert self._translated is not None
        return self._translated.preprocessing

    def for_run(self, experiment: Experiment, classes: Mapping[str, Sequence[str]]) -> Pretrained:
        """The arrays for the network of an experiment.

        Args:
          experiment: its network takes the weights.
          classes: the class names of each task.

        Raises:
          WeightsError: if the weights are those of another network.
        """
        if self._run is not None:
            return self._from_run(self._run, experiment, classes)
        assert self._file is not None
        assert self._translated is not None  # `check` came first
        return Pretrained(self._translated.variables, dict(self._file.origin))

    def _from_run(
        self,
        run: evaluate.Restored,
        experiment: Experiment,
        classes: Mapping[str, Sequence[str]],
    ) -> Pretrained:
        name, other = experiment.config.model.name, run.experiment.config.model.name
        if name != other:
            raise WeightsError(
                f"--config.model.weights={self.source}: its network is {other}, not {name}; set "
                f"--config.model.name={other}"
            )
        part_of = models.family_of(name).part_of
        theirs = flat(mesh_lib.on_host(run.experiment.whole_variables(run.variables)))
        shared = tuple(
            task
            for task, names in classes.items()
            if run.record["classes"].get(task) == list(names)
        )
        heads = {f"params/head_{task}/{leaf}" for task in shared for leaf in ("kernel", "bias")}
        wanted = experiment.all_shapes
        trunk = {path for path in wanted if part_of(path.partition("/")[2]) != HEAD}
        hidden = {
            path
            for path in wanted
            if path.partition("/")[2].startswith(("head_fc", "head_bn")) and shared
        }
        fits = {
            path: path in theirs and theirs[path].shape == wanted[path].shape for path in wanted
        }
        wrong = [path for path in sorted(trunk) if not fits[path]]
        if wrong:
            raise WeightsError(
                f"--config.model.weights={self.source}: its {name} has another trunk; it differs in "
                f"{', '.join(wrong[:3])}{' and others' if len(wrong) > 3 else ''}: give this run the "
                "same settings of model.*"
            )
        # A head is of use only behind the same hidden layers.
        if not all(fits[path] for path in hidden | (heads & set(wanted))):
            shared, heads, hidden = (), set(), set()
        taken = trunk | hidden | (heads & set(wanted))
        arrays = {path: np.asarray(theirs[path]) for path in taken}
        digest = hashlib.sha256()
        update_digest(digest, arrays)
        origin = {"source": self.source, "step": run.step, "sha256": digest.hexdigest()}
        return Pretrained(arrays, origin, shared)


def open_source(config: ConfigDict, workdir: Path) -> Source | None:
    """The pretrained weights that a new run needs; None for one without, or one that is resumed."""
    if not config.model.weights or evaluate.latest_record(workdir):
        return None
    return Source(config.model.weights)


def with_model_found(config: ConfigDict, source: Source | None, workdir: Path) -> ConfigDict:
    """A copy of the configuration in which `model.name` and `image_size` are no longer automatic.

    Raises:
      WeightsError: as `Source.settings`.
    """
    if not config.model.weights or (config.model.name != models.AUTO and config.image_size):
        return config
    changed = _with(config, "model", {})
    if source is not None:
        changed.image_size = config.image_size or source.image_size()
        if config.model.name == models.AUTO:
            changed = _with(changed, "model", source.settings(changed))
        return changed
    previous = _config_of_run(workdir)
    changed.image_size = config.image_size or previous.image_size
    if config.model.name == models.AUTO:
        changed.model.name, changed.model.activation = (
            previous.model.name,
            previous.model.activation,
        )
    return changed


def resolved(config: ConfigDict, workdir: Path) -> ConfigDict:
    """A copy of the configuration with the network and image size of its pretrained weights."""
    found = with_model_found(config, open_source(config, workdir), workdir)
    check_config(found)
    return found


def with_preprocessing(
    config: ConfigDict, source: Source | None, workdir: Path
) -> tuple[ConfigDict, list[str]]:
    """A copy of the configuration that says what the network's input is, and lines for the user.

    Args:
      config: empty fields of `preprocessing` are filled.
      source: the pretrained weights, checked; None for a run without, or one that is resumed.
      workdir: of the run; a run that exists keeps its preprocessing.
    """
    if not config.model.weights:
        return config, []
    given = {name: value for name, value in config.preprocessing.items() if value}
    if source is None:
        kept = _config_of_run(workdir).preprocessing.to_dict()
        return _with(config, "preprocessing", kept | given), []
    theirs = asdict(source.preprocessing)
    lines = [
        f"warning: the pretrained weights expect {name} {theirs[name]}, and --config.preprocessing."
        f"{name} sets {value}"
        for name, value in given.items()
        if value != theirs[name]
    ]
    activation = config.model.activation
    if activation != source.activation and _has_activation(config.model.name):
        lines.append(
            f"warning: the pretrained weights were trained with the activation {source.activation}, and "
            f"--config.model.activation sets {activation}"
        )
    found = {name: value for name, value in theirs.items() if name in config.preprocessing}
    return _with(config, "preprocessing", found | given), lines


def _has_activation(model: str) -> bool:
    return "activation" in models.family_of(model).options


def _config_of_run(workdir: Path) -> ConfigDict:
    """The configuration of a run that has a checkpoint."""
    config = workdir_lib.read_config(workdir) or evaluate.recorded_config(workdir)
    assert config is not None
    return config


def describe(pretrained: Pretrained) -> str:
    """One line: where the weights come from."""
    origin = pretrained.origin
    of = f", revision {origin['revision'][:12]}" if origin.get("revision") else ""
    of += f", step {origin['step']:,}" if "step" in origin else ""
    heads = f", with the head for {' and '.join(pretrained.heads)}" if pretrained.heads else ""
    count = sum(
        array.size for path, array in pretrained.arrays.items() if path.startswith("params")
    )
    return (
        f"pretrained: {count:,} parameters from {origin['source']}{of}{heads} "
        f"(sha256 {origin['sha256'][:12]})"
    )


def _with(config: ConfigDict, section: str, values: Mapping[str, Any]) -> ConfigDict:
    copy = config_lib.from_json(config_lib.to_json(config))
    for name, value in values.items():
        copy[section][name] = tuple(value) if isinstance(value, list) else value
    return copy
