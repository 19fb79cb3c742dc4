"""Groups of parameters: which are frozen, and the learning rate and weight decay of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from artjax.errors import ConfigError
from artjax.models import HEAD

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of nested dicts by path, such as `conv1_1/kernel`."""
    leaves: dict[str, Any] = flatten_dict(tree, sep="/")
    return leaves


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`."""
    tree: dict[str, Any] = unflatten_dict(leaves, sep="/")
    return tree


def update_digest(digest: hashlib._Hash, leaves: Mapping[str, Any]) -> None:
    """Adds names and values of arrays, given by path, to a digest. Their order does not matter."""
    for path in sorted(leaves):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(jax.device_get(leaves[path])).data)


def merged(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts in one. Where they share a leaf, the last one counts."""
    return nested({path: leaf for tree in trees for path, leaf in flat(tree).items()})


@dataclass(frozen=True)
class Row:
    """Parameters that are treated alike.

    Attributes:
      name: the pattern that matched them, or the part of the network.
      rate: factor of the learning rate; 0 = frozen.
      decay: factor of the weight decay.
      paths: the parameters.
      size: how many numbers they hold.
    """

    name: str
    rate: float
    decay: float
    paths: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Groups:
    """How each parameter of a network is trained.

    Attributes:
      rows: all parameters, in groups.
      stages: names of the network's stages, in order; the last ones may have no parameters.
      part_of: path of a parameter → its stage, or `HEAD`.
    """

    rows: tuple[Row, ...]
    stages: tuple[str, ...]
    part_of: Callable[[str], str]

    @cached_property
    def frozen(self) -> frozenset[str]:
        """Paths of the parameters that are not trained."""
        return frozenset(path for row in self.rows if row.rate == 0 for path in row.paths)

    @cached_property
    def boundary(self) -> str:
        """The last stage up to which everything is frozen; empty if the first stage is trained.

        So far the network computes the same in every step.
        """
        trained = {self.part_of(path) for row in self.rows if row.rate != 0 for path in row.paths}
        if not self.frozen:
            return ""
        last = ""
        for stage in self.stages:
            if stage in trained:
                break
            last = stage
        return last

    def fixed_norms(self, statistics: Mapping[str, Any]) -> frozenset[str]:
        """Names of the frozen BatchNorm layers, whose running averages do not move.

        Args:
          statistics: the collection `batch_stats`, or `{}`.
        """
        layers = {path.rpartition("/")[0] for path in flat(statistics)}
        return frozenset(
            layer
            for layer in layers
            if f"{layer}/scale" in self.frozen and f"{layer}/bias" in self.frozen
        )

    @property
    def uniform(self) -> bool:
        """Whether all parameters are trained alike."""
        return all(row.rate == row.decay == 1 for row in self.rows)

    def factors(self, of: str) -> dict[str, Any]:
        """The factor `rate` or `decay` of each trained parameter, as nested dicts."""
        return nested(
            {path: getattr(row, of) for row in self.rows if row.rate != 0 for path in row.paths}
        )

    def table(self, peak_lr: float, weight_decay: float) -> list[str]:
        """One line for each group: name, parameters, learning rate, weight decay of the kernels."""
        width = max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            how = f"learning rate {peak_lr * row.rate:.3g}, weight decay {weight_decay * row.decay:.3g}"
            how = how if row.rate else "frozen"
            lines.append(f"  {row.name:<{width}}  {row.size:>13,} parameters  {how}")
        return lines


def group_parameters(
    optim: ConfigDict,
    params: Mapping[str, Any],
    stages: Sequence[str],
    part_of: Callable[[str], str],
) -> Groups:
    """Applies `optim.groups` and `optim.layer_decay` to the parameters of a network.

    A parameter has the rate of the first pattern that matches its whole path; 1 if none does. With a
    layer decay of d, the rate of the last stage is multiplied by d, the stage before by d^2, and
    so on: Clark et al., ELECTRA (2020), appendix A; Bao et al., BEiT (2022), section 3.1.

    Args:
      optim: `groups` and `layer_decay` are read.
      params: the parameters, or their shapes.
      stages: names of the stages of the network, in order.
      part_of: path of a parameter → its stage, or `HEAD`.

    Raises:
      ConfigError: if a pattern matches nothing, or all parameters are frozen.
    """
    leaves = flat(params)
    with_parameters = [s for s in stages if any(part_of(path) == s for path in leaves)]
    depth = {stage: len(with_parameters) - i for i, stage in enumerate(with_parameters)}
    used: set[str] = set()
    members: dict[tuple[str, float, float], list[str]] = {}
    for path in leaves:
        part = part_of(path)
        layer_rate = optim.layer_decay ** depth.get(part, 0)
        name, rate, decay = part, 1.0, 1.0
        for pattern, *factors in optim.groups:
            if re.fullmatch(pattern, path):
                used.add(pattern)
                name, rate, decay = pattern, *(*factors, 1.0)[:2]
                break
        if rate and layer_rate != 1 and part != HEAD:
            name = f"{name} in {part}" if name != part else part
            rate *= layer_rate
        elif name == part and layer_rate == 1 and part != HEAD:
            name = "trunk"
        members.setdefault((name, rate, decay), []).append(path)
    unmatched = [pattern for pattern, *_ in optim.groups if pattern not in used]
    if unmatched:
        shown = ", ".join(list(leaves)[:3])
        raise ConfigError(
            f"--config.optim.groups: the pattern '{unmatched[0]}' matches no parameter that an earlier "
            f"one leaves; parameters are named like {shown}, … (a pattern matches whole names)"
        )
    rows = tuple(
        Row(name, rate, decay, tuple(paths), sum(leaves[path].size for path in paths))
        for (name, rate, decay), paths in members.items()
    )
    if all(row.rate == 0 for row in rows):
        raise ConfigError(
            "--config.optim.groups: all parameters are frozen, so nothing would be trained; leave the "
            "heads out, whose names begin with head_"
        )
    return Groups(rows, tuple(stages), part_of)


def split(
    params: Mapping[str, Any], frozen: frozenset[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides parameters into trained and frozen ones, both nested dicts."""
    leaves = flat(params)
    return (
        nested({path: leaf for path, leaf in leaves.items() if path not in frozen}),
        nested({path: leaf for path, leaf in leaves.items() if path in frozen}),
    )
