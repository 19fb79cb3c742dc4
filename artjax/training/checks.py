"""Checks of a configuration against the tables of models, optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from artjax import config as config_lib
from artjax import models
from artjax.errors import ConfigError
from artjax.models import named_weights
from artjax.models.activations import ACTIVATIONS
from artjax.models.presets import PRESETS, probably_meant
from artjax.training import optim

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


# What a policy does itself. Rotation is a part of the crop, and mixing comes later.
_OF_POLICIES = [
    name for name in config_lib.AUGMENT_LIMITS if name not in ("rotate_degrees", "mixup", "cutmix")
]


def tables() -> Mapping[str, Iterable[str]]:
    """The valid names for the fields that refer to a table."""
    return {
        "model": (models.AUTO, *models.names()),
        "preset": ("", *PRESETS),
        "activation": tuple(ACTIVATIONS),
        "optimizer": tuple(optim.OPTIMIZERS),
        "schedule": tuple(optim.SCHEDULES),
    }


def check_dropout(config: ConfigDict, passes: int) -> None:
    """Raises `ConfigError` if there shall be passes with dropout, and the network has none."""
    if passes and not config.model.dropout:
        raise ConfigError(
            f"--config.eval.mc_dropout={passes}: the network has no dropout (model.dropout is 0), so "
            "that all passes would be the same; train one with --config.model.dropout=0.5, or leave "
            "mc_dropout out"
        )


def _check_together(config: ConfigDict) -> None:
    """Refuses what cannot work together, in one line."""
    mixing = config.augment.mixup or config.augment.cutmix
    if config.loss.focal_gamma and mixing:
        raise ConfigError(
            f"--config.loss.focal_gamma={config.loss.focal_gamma:g}: a mixed image has no single label "
            "whose probability the focal loss could take; set --config.augment.mixup=0 and cutmix=0"
        )
    own = [name for name in _OF_POLICIES if config.augment[name]]
    if config.augment.policy != "none" and own:
        raise ConfigError(
            f"--config.augment.policy={config.augment.policy} draws the magnitudes itself: set "
            f"{', '.join(f'--config.augment.{name}=0' for name in own)}, or the policy to none"
        )
    check_dropout(config, config.eval.mc_dropout)
    if config.optim.sam_rho and config.accumulate > 1:
        raise ConfigError(
            f"--config.optim.sam_rho={config.optim.sam_rho:g}: SAM needs the gradient of the whole "
            f"batch twice; set --config.accumulate=1 (now {config.accumulate}), or sam_rho to 0"
        )


def _check_input(config: ConfigDict) -> None:
    """Refuses means and deviations that no network can expect, and names the preset that has them."""
    given = config.preprocessing
    for name, must, holds in (
        ("mean", "in [0, 1]", lambda value: 0 <= value <= 1),
        ("std", "in (0, 1]", lambda value: 0 < value <= 1),
    ):
        values = given[name]
        if not values or (len(values) == 3 and all(map(holds, values))):
            continue
        meant = probably_meant(given.mean, given.std)
        hint = (
            f"--config.preprocessing.preset={meant} is probably meant"
            if meant
            else f"--config.preprocessing.preset can be {', '.join(PRESETS)}"
        )
        shown = ",".join(f"{value:g}" for value in values)
        raise ConfigError(
            f"--config.preprocessing.{name}={shown}: it must be three numbers {must}, of red, green and "
            f"blue, since pixels are divided by 255 before; {hint}"
        )


def check_config(config: ConfigDict) -> None:
    """Raises `ConfigError` if the configuration is invalid: one line that names field and value."""
    config_lib.check(config, tables())
    _check_input(config)
    if config.features.views and (config.augment.mixup or config.augment.cutmix):
        raise ConfigError(
            "--config.features.views: mixup and cutmix mix images, and features are not mixed; set "
            "--config.augment.mixup=0 and cutmix=0"
        )
    name, optimizer = config.optim.name, optim.OPTIMIZERS[config.optim.name]
    if config.optim.peak_lr > optimizer.highest_lr:
        raise ConfigError(
            f"--config.optim.peak_lr={config.optim.peak_lr:g}: too high for {name}, which diverges "
            f"above {optimizer.highest_lr:g}; {optimizer.peak_lr:g} is usual (leave it out for that)"
        )
    _check_together(config)
    name = config.model.name
    automatic = [
        f"--config.{field}=auto"
        for field, value in (
            ("model.name", name == models.AUTO),
            ("image_size", not config.image_size),
        )
        if value
    ]
    if automatic and not config.model.weights:
        raise ConfigError(
            f"{automatic[0]} is that of the pretrained weights, and none are set; set "
            f"--config.model.weights to {named_weights.ways()}"
        )
    if automatic:
        return
    multiple = models.family_of(name).size_multiple(name)
    config_lib.require(
        config.image_size >= multiple and config.image_size % multiple == 0,
        config,
        "image_size",
        f"a multiple of {multiple} for {name}",
    )
