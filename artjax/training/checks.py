"""Checks of a configuration against the tables of models, optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax import models
from artjax.training import optim

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


def tables() -> Mapping[str, Iterable[str]]:
    """The valid names for the fields `model.name`, `optim.name` and `optim.schedule`."""
    return {
        "model": models.names(),
        "optimizer": tuple(optim.OPTIMIZERS),
        "schedule": tuple(optim.SCHEDULES),
    }


def check_config(config: ConfigDict) -> None:
    """Raises `ConfigError` if the configuration is invalid: one line that names field and value."""
    config_lib.check(config, tables())
    name = config.model.name
    multiple = models.family_of(name).size_multiple(name)
    config_lib.require(
        config.image_size >= multiple and config.image_size % multiple == 0,
        config,
        "image_size",
        f"a multiple of {multiple} for {name}",
    )
