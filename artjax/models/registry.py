"""The table of model families. Each family is one file, whose import calls `register`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from artjax.models.preprocessing import Preprocessing
from artjax.models.staged import HEAD_OPTIONS, StagedNetwork
from artjax.models.translation import TorchNames

AUTO = "auto"
"""As `--config.model.name`: the network of the pretrained weights."""

HEAD = "head"
"""`Family.part_of` returns this for a parameter of a task's head."""


@dataclass(frozen=True)
class Translated:
    """Pretrained weights in the names of this package.

    Attributes:
      variables: path → float32 array in the layout of Flax, such as `batch_stats/bn1_1/mean` [64] and
        `params/conv1_1/kernel` [3, 3, 3, 64]. It has what the file holds of the trunk, and no
        heads. An array that no rule mentions keeps its own name here, so that the comparison with the
        network shows it.
      unused: names in the file that belong to no part of the trunk, such as its own classifier.
      preprocessing: the input that these weights expect.
      prefix: what precedes the names of the network in the file, such as `module.`
    """

    variables: Mapping[str, np.ndarray]
    unused: tuple[str, ...]
    preprocessing: Preprocessing
    prefix: str = ""


@dataclass(frozen=True)
class Family:
    """The networks that one function builds.

    Attributes:
      names: the values of `--config.model.name` that select this family.
      create: (name, classes, dtype=, platform=, **options) → the network. The options are `HEAD_OPTIONS`
        and those of the family; whichever are missing have its defaults.
      size_multiple: name → the side of an image must be a multiple of this, in pixels.
      part_of: path of a parameter, such as `conv1_2/kernel` → the name of its stage, one of
        `stage_names(network)`, or `HEAD`.
      options: the fields of `config.model` that `create` takes beside `HEAD_OPTIONS`.
      preprocessing: maps pixels to the input of the networks, where no weights bring their own.
      translate: (name, the arrays of a file by their names there, side of the images in pixels) → the
        same in the names of this package. It raises `ValueError`, with one line, if it knows no
        implementation with these names. None if there are no weights to read.
      torch_names: name → how torchvision calls the layers; it raises `KeyError` for a network that
        torchvision lacks. None if it has none of the family, or no way out is written.
    """

    names: tuple[str, ...]
    create: Callable[..., StagedNetwork]
    size_multiple: Callable[[str], int]
    part_of: Callable[[str], str]
    options: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    translate: Callable[[str, Mapping[str, np.ndarray], int], Translated] | None = None
    torch_names: Callable[[str], TorchNames] | None = None


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Adds a family to the table, and returns it.

    Raises:
      ValueError: if one of its names is registered already.
    """
    taken = [name for name in family.names if name in _FAMILIES]
    if taken:
        raise ValueError(f"models {', '.join(taken)} are registered already")
    _FAMILIES.update(dict.fromkeys(family.names, family))
    return family


def names() -> tuple[str, ...]:
    """The names of all models."""
    return tuple(_FAMILIES)


def family_of(name: str) -> Family:
    """The family of the model `name`.

    Raises:
      KeyError: if there is no such model.
    """
    return _FAMILIES[name]


def create_model(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> StagedNetwork:
    """Builds the model of `--config.model.name`.

    Args:
      name: one of `names()`.
      classes: number of classes for each task.
      dtype: dtype of the activations. Parameters and statistics stay float32.
      platform: `cpu`, `gpu` or `tpu`. The model may choose the equivalent form that is faster there.
      options: the fields of `config.model`. Those that the family does not use are ignored; those that
        are missing have the family's default.

    Raises:
      KeyError: if there is no such model.
    """
    family = _FAMILIES[name]
    known = (*HEAD_OPTIONS, *family.options)
    taken = {option: options[option] for option in known if option in options}
    return family.create(name, dict(classes), dtype=dtype, platform=platform, **taken)
