"""Pretrained weights for a run: from a file, the hub, or the workdir of another run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artjax import config as config_lib
from artjax import models
from artjax.errors import WeightsError, WorkdirError
from artjax.models import HEAD, Preprocessing, named_weights, weights
from artjax.models.kept_heads import KeptHead, kept_heads
from artjax.models.presets import with_preset
from artjax.runs import Run, seen
from artjax.runs.seen import LearntFrom
from artjax.runtime import mesh as mesh_lib
from artjax.training.groups import flat, update_digest
from artjax.training.network import Network

_IMAGE_SIZE = 224  # of networks that were trained on ImageNet

if TYPE_CHECKING:
    from ml_collections import ConfigDict


@dataclass(frozen=True)
class Pretrained:
    """What a run starts from.

    Attributes:
      arrays: path → values, such as `params/conv1_1/kernel`; those of the trunk, and heads that fit.
      origin: where they come from, plain JSON, for the record of each checkpoint.
      expects: the input that the weights expect.
      says_input: whether that is known, not only usual for such names of arrays.
      heads: the tasks whose head is among the arrays, with which of its classes were kept.
      beside: other networks in the same file, by their keys, that were not read.
    """

    arrays: Mapping[str, np.ndarray]
    origin: dict[str, Any]
    expects: Preprocessing
    says_input: bool
    heads: Mapping[str, KeptHead] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


class OpenWeights:
    """The weights that `--config.model.weights` names, opened before the network is built."""

    def __init__(self, source: str) -> None:
        """Opens a file, a model of the hub or the workdir of a run.

        Raises:
          WeightsError: if it cannot be read.
          WorkdirError: if it is a folder without a checkpoint.
        """
        self.source = source
        self._run: Run | None = None
        self._file: weights.Weights | None = None
        self._translated: models.Translated | None = None
        is_run = Path(source).is_dir() and not named_weights.is_name(source)
        if is_run and not weights.is_folder_of_others(Path(source)):
            try:
                self._run = Run.load(Path(source))
            except WorkdirError as error:
                raise WeightsError(f"--config.model.weights={source}: {error}") from error
        else:
            self._file = weights.read(source)

    def image_size(self) -> int:
        """The side of the images that the weights were trained with, in pixels."""
        return self._run.config.image_size if self._run is not None else _IMAGE_SIZE

    def settings(self, config: ConfigDict) -> dict[str, Any]:
        """The fields of `config.model` that follow from the weights where its name is `auto`.

        Raises:
          WeightsError: if no network, or more than one, fits the file.
        """
        if self._run is not None:
            own = self._run.config.model
            return {"name": own.name, "activation": own.activation}
        assert self._file is not None
        layers = config.model.head_layers
        fitting = weights.fitting(self._file, config.image_size, head_layers=layers)
        if not fitting:
            raise WeightsError(
                f"--config.model.weights={self.source}: "
                f"{weights.why_none(self._file, config.image_size)}"
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

    @cached_property
    def learnt_from(self) -> LearntFrom | None:
        """The works that the weights of a run have learnt from; None for weights from a file."""
        return seen.of_run(self._run.workdir) if self._run is not None else None

    @property
    def activation(self) -> str:
        """The activation that the weights were trained with, where the network offers a choice."""
        return self._run.config.model.activation if self._run is not None else "relu"

    @property
    def preprocessing(self) -> Preprocessing:
        """The input that the weights expect; `check` came first."""
        if self._run is not None:
            return self._run.preprocessing
        assert self._translated is not None
        return self._translated.preprocessing

    @property
    def says_input(self) -> bool:
        """Whether it is known what input the weights expect, not only usual for such names of arrays."""
        return self._run is not None or named_weights.is_name(self.source)

    def for_network(self, network: Network, classes: Mapping[str, Sequence[str]]) -> Pretrained:
        """The arrays for a network.

        Args:
          network: takes the weights.
          classes: the class names of each task.

        Raises:
          WeightsError: if the weights are those of another network.
        """
        if self._run is not None:
            return self._from_run(self._run, network, classes)
        assert self._file is not None
        assert self._translated is not None  # `check` came first
        origin: dict[str, Any] = dict(self._file.origin)
        if self._translated.prefix:
            origin["prefix"] = self._translated.prefix
        arrays, beside = self._translated.variables, self._file.beside
        return Pretrained(arrays, origin, self.preprocessing, self.says_input, beside=beside)

    def _from_run(
        self, run: Run, network: Network, classes: Mapping[str, Sequence[str]]
    ) -> Pretrained:
        name, other = network.config.model.name, run.config.model.name
        if name != other:
            raise WeightsError(
                f"--config.model.weights={self.source}: its network is {other}, not {name}; set "
                f"--config.model.name={other}"
            )
        part_of = models.family_of(name).part_of
        theirs = flat(mesh_lib.on_host(run.variables))
        wanted = flat(network.shapes)
        trunk = {path for path in wanted if part_of(path.partition("/")[2]) != HEAD}
        self._check_same_trunk(name, trunk, theirs, wanted)
        arrays = {path: np.asarray(theirs[path]) for path in trunk}
        heads = kept_heads(classes, run.classes)
        hidden = {p for p in wanted if p.partition("/")[2].startswith(("head_fc", "head_bn"))}
        kernels = [f"params/head_{task}/kernel" for task in heads]
        # A head is of use only behind the same hidden layers, or the same features.
        if not all(_fits(path, theirs, wanted) for path in hidden) or any(
            theirs[path].shape[0] != wanted[path].shape[0] for path in kernels
        ):
            heads = {}
        if heads:
            arrays |= {path: np.asarray(theirs[path]) for path in hidden}
        for task, head in heads.items():
            for leaf in ("kernel", "bias"):
                path = f"params/head_{task}/{leaf}"
                arrays[path] = head.values(np.asarray(theirs[path]))
        digest = hashlib.sha256()
        update_digest(digest, arrays)
        origin = {"source": self.source, "step": run.step, "sha256": digest.hexdigest()}
        return Pretrained(arrays, origin, self.preprocessing, self.says_input, heads)

    def _check_same_trunk(
        self,
        name: str,
        trunk: Collection[str],
        theirs: Mapping[str, Any],
        wanted: Mapping[str, Any],
    ) -> None:
        wrong = [path for path in sorted(trunk) if not _fits(path, theirs, wanted)]
        if wrong:
            raise WeightsError(
                f"--config.model.weights={self.source}: its {name} has another trunk; it differs in "
                f"{', '.join(wrong[:3])}{' and others' if len(wrong) > 3 else ''}: give this run the "
                "same settings of model.*"
            )


def _fits(path: str, theirs: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return path in theirs and theirs[path].shape == wanted[path].shape


def open_weights(config: ConfigDict) -> OpenWeights | None:
    """The pretrained weights that a configuration names; None if it names none."""
    return OpenWeights(config.model.weights) if config.model.weights else None


def with_model_found(
    config: ConfigDict, found: OpenWeights | None, earlier: ConfigDict | None
) -> ConfigDict:
    """A copy of the configuration in which `model.name` and `image_size` are no longer automatic.

    Args:
      config: with weights; without them nothing is automatic.
      found: the weights; None for a run that is resumed.
      earlier: the configuration of the run that is resumed.

    Raises:
      WeightsError: as `OpenWeights.settings`.
    """
    values: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if found is not None:
        if not config.image_size:
            values["image_size"] = found.image_size()
        if config.model.name == models.AUTO:
            settings = found.settings(config_lib.changed(config, values))
    elif earlier is not None:
        if not config.image_size:
            values["image_size"] = earlier.image_size
        if config.model.name == models.AUTO:
            settings = {name: earlier.model[name] for name in ("name", "activation")}
    values |= {f"model.{name}": value for name, value in settings.items()}
    return config_lib.changed(config, values) if values else config


def with_preprocessing(
    config: ConfigDict, found: OpenWeights | None, earlier: ConfigDict | None
) -> tuple[ConfigDict, list[str]]:
    """A copy of the configuration that says what the network's input is, and lines for the user.

    Args:
      config: empty fields of `preprocessing` are filled.
      found: the pretrained weights, checked; None for a run without, or one that is resumed.
      earlier: the configuration of the run that is resumed, which keeps its preprocessing.
    """
    given = with_preset(config.preprocessing)
    if found is None:
        kept = earlier.preprocessing.to_dict() if config.model.weights and earlier else {}
        preset = config.preprocessing.preset or kept.get("preset", "")
        return _with_fields(config, kept | given | {"preset": preset}), []
    theirs = asdict(found.preprocessing)
    lines = _of_another_input(given, theirs, found.says_input)
    activation = config.model.activation
    if activation != found.activation and _has_activation(config.model.name):
        lines.append(
            f"warning: the pretrained weights were trained with the activation {found.activation}, and "
            f"--config.model.activation sets {activation}"
        )
    expected = {name: value for name, value in theirs.items() if name in config.preprocessing}
    return _with_fields(config, expected | given), lines


def _of_another_input(
    given: Mapping[str, Any], theirs: Mapping[str, Any], known: bool
) -> list[str]:
    """What is said where the user sets another input than the weights expect.

    Args:
      given: the fields of `preprocessing` that are set, by the user or a preset.
      theirs: those of the weights.
      known: whether the weights say what they expect; else weights with such names usually do.
    """
    differing = {name: value for name, value in given.items() if not _same(value, theirs[name])}
    if not differing:
        return []
    if known:
        return [
            f"warning: the pretrained weights expect {name} {_shown(theirs[name])}, and --config."
            f"preprocessing.{name} or preset sets {_shown(value)}"
            for name, value in differing.items()
        ]
    ours, usual = (
        ", ".join(f"{name} {_shown(fields[name])}" for name in differing)
        for fields in (given, theirs)
    )
    return [f"input: {ours}, as set; the file does not say (with such names it is often {usual})"]


def _same(value: Any, other: Any) -> bool:
    """Whether two values of a field are the same, but for the rounding of who typed them."""
    if isinstance(value, str):
        return bool(value == other)
    return np.allclose(value, other, rtol=0.01, atol=1e-6)


def _shown(value: Any) -> str:
    return ",".join(f"{v:.4g}" for v in value) if isinstance(value, tuple) else f"{value}"


def _with_fields(config: ConfigDict, preprocessing: Mapping[str, Any]) -> ConfigDict:
    return config_lib.changed(
        config, {f"preprocessing.{name}": value for name, value in preprocessing.items()}
    )


def _has_activation(model: str) -> bool:
    return "activation" in models.family_of(model).options


def describe(pretrained: Pretrained) -> list[str]:
    """Where the weights come from, and which classes of a head are new."""
    origin = pretrained.origin
    of = f", revision {origin['revision'][:12]}" if origin.get("revision") else ""
    of += f", step {origin['step']:,}" if "step" in origin else ""
    whose = f"{origin['provenance']}; " if "provenance" in origin else ""
    if origin.get("read_from"):
        others = ", ".join(f"'{key}'" for key in pretrained.beside)
        of += f", read from its '{origin['read_from']}'" + (f" (beside {others})" if others else "")
    if origin.get("prefix"):
        of += f", without the prefix '{origin['prefix']}'"
    heads = f", with the head for {' and '.join(pretrained.heads)}" if pretrained.heads else ""
    count = sum(
        array.size for path, array in pretrained.arrays.items() if path.startswith("params")
    )
    line = (
        f"pretrained: {count:,} parameters from {origin['source']}{of}{heads} "
        f"({whose}sha256 {origin['sha256'][:12]})"
    )
    rows = (head.in_words(task) for task, head in pretrained.heads.items())
    return [line, *filter(None, rows)]
