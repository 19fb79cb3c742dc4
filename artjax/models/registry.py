"""The table of model families. Each family is one file, whose import calls `register`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.preprocessing import Preprocessing

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
    """

    variables: Mapping[str, np.ndarray]
    unused: tuple[str, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Family:
    """The networks that one function builds.

    Attributes:
      names: the values of `--config.model.name` that select this family.
      create: (name, classes, dtype=, platform=, **options) → a module, best a `StagedNetwork`. It takes
        images float32 [B, H, W, 3] and `train`, and returns logits for each task, float32 [B, classes].
        It marks the output of each stage with `jax.ad_checkpoint.checkpoint_name`.
      options: the fields of `config.model` that `create` takes, besides the name.
      size_multiple: name → the side of an image must be a multiple of this, in pixels.
      stages: name → the names of its stages with parameters, in order. Rematerialisation keeps their
        outputs.
      part_of: path of a parameter, such as `conv1_2/kernel` → the name of its stage, or `HEAD`.
      preprocessing: maps pixels to the input of the networks, where no weights bring their own.
      translate: (name, the arrays of a file by their names there, side of the images in pixels) → the
        same in the names of this package. It raises `ValueError`, with one line, if it knows no
        implementation with these names. None if there are no weights to read.
    """

    names: tuple[str, ...]
    create: Callable[..., nn.Module]
    options: tuple[str, ...]
    size_multiple: Callable[[str], int]
    stages: Callable[[str], tuple[str, ...]]
    part_of: Callable[[str], str]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    translate: Callable[[str, Mapping[str, np.ndarray], int], Translated] | None = None


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
) -> nn.Module:
    """Builds the model of `--config.model.name`.

    Args:
      name: one of `names()`.
      classes: number of classes for each task. Each task has its own head.
      dtype: dtype of the activations. Parameters and statistics stay float32.
      platform: `cpu`, `gpu` or `tpu`. The model may choose the equivalent form that is faster there.
      options: the fields of `config.model`. Those that the family does not use are ignored; those that
        are missing have the family's default.

    Raises:
      KeyError: if there is no such model.
    """
    family = _FAMILIES[name]
    taken = {option: options[option] for option in family.options if option in options}
    return family.create(name, dict(classes), dtype=dtype, platform=platform, **taken)
