"""The table of model families. A family is one file, which registers itself here when it is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from artjax.models.preprocessing import Preprocessing

HEAD = "head"
"""What `Family.part_of` says of a parameter that belongs to the head of a task."""


@dataclass(frozen=True)
class Family:
    """Networks that are built by one function.

    Attributes:
      names: what `--config.model.name` may be.
      create: (name, classes, dtype=, platform=, **options) → a module that takes images float32
        [B, H, W, 3] and `train`, and gives logits by task, float32 [B, classes]. It marks the output of
        each stage with `jax.ad_checkpoint.checkpoint_name`.
      options: the fields of `config.model` that it takes, beside the name.
      size_multiple: name → the side of a picture is a multiple of this, in pixels.
      stages: name → the names of its stages, in order. Rematerialisation keeps their outputs;
        freezing and features refer to them.
      part_of: path of a parameter, such as `conv1_2/kernel` → the name of its stage, or `HEAD`.
      preprocessing: what its input is.
    """

    names: tuple[str, ...]
    create: Callable[..., nn.Module]
    options: tuple[str, ...]
    size_multiple: Callable[[str], int]
    stages: Callable[[str], tuple[str, ...]]
    part_of: Callable[[str], str]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Adds a family to the table.

    Raises:
      ValueError: if a name is in the table already.
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
    """The family of a model.

    Raises:
      KeyError: if there is no such model.
    """
    return _FAMILIES[name]


def create_model(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> nn.Module:
    """Builds the model that `--config.model.name` asks for.

    Args:
      name: one of `names()`.
      classes: number of classes for each task; one head each.
      dtype: of the activations; parameters and statistics stay float32.
      platform: `cpu`, `gpu` or `tpu`, for which the model may choose the faster of equal forms.
      options: the fields of `config.model`; those that the family does not have are left out.

    Raises:
      KeyError: if there is no such model.
    """
    family = _FAMILIES[name]
    taken = {option: options[option] for option in family.options}
    return family.create(name, dict(classes), dtype=dtype, platform=platform, **taken)
