"""Validates a configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from artjax.config.fields import FIELDS, Field, NameIn, OneOf, leaves
from artjax.config.reading import nearest
from artjax.errors import ConfigError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_MOST = 2**31 - 1  # what a step's number can be on a device, and a seed of every library


def check(config: ConfigDict, tables: Mapping[str, Iterable[str]]) -> None:
    """Checks every field, and then the combinations of fields.

    Args:
      config: the configuration.
      tables: for each table that a `NameIn` refers to, its names.

    Raises:
      ConfigError: if a field is invalid. One line names the field, its value and the nearest valid one.
    """
    values = dict(leaves(config))
    for name, value in values.items():
        if name not in FIELDS:
            raise ConfigError(f"unknown config field {name}{nearest(name, FIELDS)}")
        _check_type(FIELDS[name], value)
    _check_task(config)
    for name, value in values.items():
        _check_value(FIELDS[name], value, tables)
    _check_durations(config)
    require(config.folds != 1, config, "folds", "0 (no cross-validation), or 2 or more")
    require(
        -1 <= config.fold < max(config.folds, 1), config, "fold", "left to the cross-validation"
    )
    _check_seeds(config)
    require(
        config.canvas_size == 0 or config.canvas_size >= config.image_size,
        config,
        "canvas_size",
        f"0 or at least image_size ({config.image_size})",
    )
    require(
        all(isinstance(width, int) and width > 0 for width in config.model.head_layers),
        config,
        "model.head_layers",
        "widths of 1 or more, as in (512,)",
    )
    require(
        all(isinstance(l2, int | float) and 0 < l2 < math.inf for l2 in config.optim.l2),
        config,
        "optim.l2",
        "penalties above 0, as in (0.1,1.0)",
    )
    drops = tuple(config.optim.drop_at)
    require(
        all(isinstance(drop, int | float) and 0 < drop < 1 for drop in drops)
        and list(drops) == sorted(set(drops)),
        config,
        "optim.drop_at",
        "increasing fractions in (0, 1)",
    )


def check_field(name: str, value: Any) -> None:
    """Checks the value of one field that refers to no table.

    Raises:
      ConfigError: as `check` does.
    """
    _check_type(FIELDS[name], value)
    _check_value(FIELDS[name], value, {})


def require(holds: bool, config: ConfigDict, name: str, must: str) -> None:
    """Raises `ConfigError` with field, value and what it must be, unless the condition holds."""
    if not holds:
        value = dict(leaves(config))[name]
        raise ConfigError(f"--config.{name}={value}: it must be {must}")


def _check_type(field: Field, value: Any) -> None:
    default = field.default
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, float):
        fits = isinstance(value, int | float)
    else:
        fits = isinstance(value, type(default))
    if not fits:
        kind = type(default).__name__
        raise ConfigError(f"config field {field.name}={value!r}: it must be of type {kind}")


def _check_value(field: Field, value: Any, tables: Mapping[str, Iterable[str]]) -> None:
    _check_valid(field, value, tables)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--config.{field.name}={value}: it must be a finite number")
    if isinstance(field.default, int) and abs(value) > _MOST:
        raise ConfigError(f"--config.{field.name}={value}: it must be {_MOST:,} or less")


def _check_valid(field: Field, value: Any, tables: Mapping[str, Iterable[str]]) -> None:
    if field.valid is None:
        return
    valid = field.valid
    if isinstance(valid, NameIn):
        valid = OneOf(tuple(tables[valid.table]))
    if isinstance(valid, OneOf):
        if value not in valid.choices:
            near = nearest(value, valid.choices) if isinstance(value, str) else ""
            raise ConfigError(f"--config.{field.name}={value}: valid are {valid}{near}")
    elif value not in valid:
        raise ConfigError(f"--config.{field.name}={value}: it must be {valid}")


def _check_task(config: ConfigDict) -> None:
    require(len(config.task) > 0, config, "task", "a label, as in --config.task=medium")
    for task in config.task:
        # Any column of a list can be a label; whether the collection has it, its data say.
        written = "_".join(task.lower().split())
        if not re.fullmatch(r"\w+", task) or (task != written and not config.label_feature):
            raise ConfigError(
                f"--config.task={','.join(config.task)}: '{task}' is not a label; labels have small "
                "letters, digits and _"
                + (f"; did you mean {written}?" if re.fullmatch(r"\w+", written) else "")
            )
    require(len(set(config.task)) == len(config.task), config, "task", "without duplicates")
    one_task = not config.label_feature or len(config.task) == 1
    require(one_task, config, "label_feature", "empty if there are several tasks")


def _check_seeds(config: ConfigDict) -> None:
    seeds = config.seeds
    if not seeds:
        return
    shown = ",".join(map(str, seeds))
    whole = all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds)
    if not whole or len(set(seeds)) != len(seeds) or len(seeds) < 2:
        raise ConfigError(
            f"--config.seeds={shown}: it must be two or more different whole numbers, 0 or more, as in "
            "--config.seeds=0,1,2"
        )
    if config.seed:
        raise ConfigError(
            f"--config.seed={config.seed} and --config.seeds={shown}: give one of them"
        )


def _check_durations(config: ConfigDict) -> None:
    if (config.steps > 0) == (config.epochs > 0):
        raise ConfigError(
            f"--config.steps={config.steps} and --config.epochs={config.epochs:g}: "
            "exactly one of them must be above 0"
        )
    if config.optim.warmup_steps and config.optim.warmup_epochs:
        raise ConfigError(
            f"--config.optim.warmup_steps={config.optim.warmup_steps} and "
            f"--config.optim.warmup_epochs={config.optim.warmup_epochs:g}: set one of them to 0"
        )
