"""Finds the network among all that a training has saved: its averages, its optimizer, its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from artjax.models.torch_files import Opaque, Tensor

# Averages of a network over its training: they are what their authors evaluate and publish (timm and
# DINO load them first), so they are taken where a file has them.
AVERAGED = re.compile(r"(^|[._])(ema|teacher|swa|averaged)($|[._])")

# The state of an optimizer has arrays with the shapes of the network, and is none.
_NO_NETWORK = re.compile(
    r"optim|^opt$|sched|scaler|^amp$|hyper_param|loss|callback|rng", re.IGNORECASE
)


@dataclass(frozen=True)
class Found:
    """The arrays of one network in a file.

    Attributes:
      tensors: by name.
      where: the keys under which the file has it, such as `model_ema`; empty: they are at the top.
      beside: the keys of other networks in the file.
      optimizer: whether the file has arrays of an optimizer.
    """

    tensors: dict[str, Tensor]
    where: str
    beside: tuple[str, ...]
    optimizer: bool


def network_in(held: Any) -> Found:
    """The network in what `torch.save` saved: a state dict, a dict with one, or a whole network.

    If there are several, it is the averaged one (`model_ema`, `teacher`), else the one with the most
    parameters, and of equals the first. One of less than half of the largest is a part, or statistics.
    """
    networks: dict[str, dict[str, Tensor]] = {}
    optimizer = False
    for path, tensors in _groups(held, (), set()):
        if any(_NO_NETWORK.search(key) for key in path):
            optimizer = True
        else:
            networks.setdefault(".".join(path), {}).update(tensors)
    if not networks:
        return Found({}, "", (), optimizer)
    sizes = {where: sum(t.size for t in ts.values()) for where, ts in networks.items()}
    large = [where for where, size in sizes.items() if 2 * size >= max(sizes.values())]
    averaged = [where for where in large if AVERAGED.search(where)]
    where = max(averaged or large, key=lambda of: sizes[of])
    beside = tuple(other for other in large if other != where)
    return Found(networks[where], where, beside, optimizer)


def _groups(
    held: Any, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Where arrays are, and those that stand together there, by name."""
    if id(held) in seen:  # objects may refer to each other
        return
    seen.add(id(held))
    if isinstance(held, Opaque) and isinstance(held.state, dict):
        tensors = dict(_of_module(held, ""))
        if tensors:
            yield path, tensors
            return
        held = held.state
    if isinstance(held, (list, tuple)):
        held = dict(enumerate(held))
    if not isinstance(held, dict):
        return
    tensors = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    for name, value in held.items():
        yield from _groups(value, (*path, str(name)), seen)


def _of_module(module: Opaque, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The arrays of a pickled network by the names of its state dict: of `torch.save` or TorchScript."""
    state = module.state if isinstance(module.state, dict) else {}
    members = dict(state)
    for held in ("_parameters", "_buffers", "_modules"):
        if isinstance(state.get(held), dict):
            members |= state[held]
    for name, value in members.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Opaque):
            yield from _of_module(value, f"{prefix}{name}.")
