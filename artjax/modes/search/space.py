"""The hyperparameters that a search draws, and from which ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from artjax.config import changed
from artjax.config.fields import FIELDS, Range, leaves
from artjax.errors import ConfigError
from artjax.training import optim

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# A rate that is not given is searched within this factor of the recipe's.
_AROUND = 10.0
OWN = 0
"""The trial with the configuration's own settings, with which what is found is compared."""
_STREAM = 7919  # keeps these random numbers apart from those of training


@dataclass(frozen=True)
class Hyperparameters:
    """What one trial draws.

    Attributes:
      peak_lr: highest learning rate.
      weight_decay: weight decay of the kernels.
      label_smoothing: in [0, 1).
      dropout: rate, in [0, 1).
      layers: widths of the hidden layers before the heads.
    """

    peak_lr: float
    weight_decay: float
    label_smoothing: float
    dropout: float
    layers: tuple[int, ...]

    def fields(self) -> dict[str, Any]:
        """The fields of a configuration that they set, with their values."""
        return {
            "optim.peak_lr": self.peak_lr,
            "optim.weight_decay": self.weight_decay,
            "optim.label_smoothing": self.label_smoothing,
            "model.dropout": self.dropout,
            "model.head_layers": self.layers,
        }

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Hyperparameters:
        """The inverse of `fields`, also of what JSON made of them."""
        return cls(
            values["optim.peak_lr"],
            values["optim.weight_decay"],
            values["optim.label_smoothing"],
            values["model.dropout"],
            tuple(values["model.head_layers"]),
        )

    def flags(self, config: ConfigDict) -> list[str]:
        """The flags that set them; those that the configuration has already are left out."""
        present = dict(leaves(config))
        return [
            f"--config.{name}={_typed(value)}"
            for name, value in self.fields().items()
            if present[name] != value
        ]


@dataclass(frozen=True)
class Space:
    """The ranges, and the choices, of a search.

    Attributes:
      peak_lr: lowest and highest; drawn log-uniformly.
      weight_decay: lowest and highest; drawn log-uniformly, or all are 0.
      label_smoothing: lowest and highest; drawn uniformly.
      dropout: the rates from which one is chosen.
      layers: the hidden layers from which one choice is drawn.
      own: the configuration's own settings, which may lie outside of the ranges.
      seed: of the draws.
    """

    peak_lr: tuple[float, float]
    weight_decay: tuple[float, float]
    label_smoothing: tuple[float, float]
    dropout: tuple[float, ...]
    layers: tuple[tuple[int, ...], ...]
    own: Hyperparameters
    seed: int = 0

    def draw(self, trial: int) -> Hyperparameters:
        """The hyperparameters of a trial. They depend on the seed and its number alone.

        The first one, `OWN`, has the configuration's own settings. The others are drawn independently:
        Bergstra & Bengio, Random Search for Hyper-Parameter Optimization (2012), section 2.
        """
        if trial == OWN:
            return self.own
        share = np.random.default_rng([self.seed, _STREAM, trial]).random(5)
        return Hyperparameters(
            _log_uniform(self.peak_lr, share[0]),
            _log_uniform(self.weight_decay, share[1]),
            rounded(self.label_smoothing[0] + share[2] * np.ptp(self.label_smoothing)),
            self.dropout[int(share[3] * len(self.dropout))],
            self.layers[int(share[4] * len(self.layers))],
        )

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the hyperparameters that differ between trials."""
        ranges = {field.name: getattr(self, field.name) for field in fields(Hyperparameters)}
        return tuple(name for name, values in ranges.items() if len(set(values)) > 1)


def space_of(config: ConfigDict) -> Space:
    """The search space of a configuration: its section `search`, or around the recipe.

    Raises:
      ConfigError: if a range is reversed, or has values that its field does not allow.
    """
    section = config.search
    highest = optim.OPTIMIZERS[config.optim.name].highest_lr
    given, decay = optim.peak_lr(config.optim), config.optim.weight_decay
    around = (given / _AROUND, min(given * _AROUND, highest))
    space = Space(
        section.peak_lr or around,
        section.weight_decay or (decay / _AROUND, decay * _AROUND),
        section.label_smoothing or (config.optim.label_smoothing,) * 2,
        section.dropout or (config.model.dropout,),
        tuple((width,) if width else () for width in section.width) or (config.model.head_layers,),
        Hyperparameters(
            given,
            decay,
            config.optim.label_smoothing,
            config.model.dropout,
            tuple(config.model.head_layers),
        ),
        config.seed,
    )
    for name in ("peak_lr", "weight_decay", "label_smoothing"):
        _check_range(name, getattr(space, name))
    for name, values in (("optim.peak_lr", space.peak_lr), ("model.dropout", space.dropout)):
        _check_values(name, values)
    _check_values("optim.label_smoothing", space.label_smoothing)
    _check_values("optim.weight_decay", space.weight_decay)
    if any(width < 0 for width in section.width):
        raise ConfigError(
            f"--config.search.width={section.width}: widths are 0 (no hidden layer) or more"
        )
    if space.peak_lr[1] > highest:
        raise ConfigError(
            f"--config.search.peak_lr={space.peak_lr}: too high for {config.optim.name}, which diverges "
            f"above {highest:g}"
        )
    return space


def with_hyperparameters(config: ConfigDict, drawn: Hyperparameters) -> ConfigDict:
    """A copy of the configuration with the hyperparameters of a trial, as a run of its own has it."""
    searched = {name: field.default for name, field in FIELDS.items() if name.startswith("search.")}
    return changed(config, drawn.fields() | searched)


def _check_range(name: str, values: tuple[float, ...]) -> None:
    if len(values) != 2:
        raise ConfigError(
            f"--config.search.{name}={values}: a range is two numbers, as in (0.001,0.1)"
        )
    low, high = values
    if low > high:
        raise ConfigError(
            f"--config.search.{name}={values}: the range is reversed; the lowest comes first, as in "
            f"({high:g},{low:g})"
        )
    logarithmic = name != "label_smoothing"
    if logarithmic and low <= 0 < high:
        raise ConfigError(
            f"--config.search.{name}={values}: it is drawn log-uniformly, so the lowest must be above 0"
        )


def _check_values(field: str, values: tuple[float, ...]) -> None:
    valid = FIELDS[field].valid
    assert isinstance(valid, Range)
    for value in values:
        if value not in valid:
            leaf = field.rpartition(".")[2]
            raise ConfigError(f"--config.search.{leaf}={values}: each must be {valid}")


def _log_uniform(limits: tuple[float, float], share: float) -> float:
    low, high = limits
    return rounded(low * (high / low) ** share) if low > 0 else 0.0


def rounded(value: float) -> float:
    """The value to four digits: what is printed, and typed, is what was tried."""
    return float(f"{value:.4g}") if math.isfinite(value) else value


def _typed(value: Any) -> str:
    if isinstance(value, tuple):
        return "()" if not value else f"({','.join(map(str, value))},)"
    return f"{value:g}" if isinstance(value, float) else str(value)
