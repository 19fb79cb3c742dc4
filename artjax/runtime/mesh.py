"""Devices, shardings and hosts: one program for one device, eight, and several machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from artjax.errors import ArtjaxError, ConfigError

# Arrays smaller than this are not worth the communication that spreading them costs.
SMALLEST_SPREAD_ARRAY = 2**16

_TEXT_BYTES = 4096


def create_mesh(fsdp: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arranges the devices (default: all, of all hosts) as a mesh ('data', 'fsdp').

    Args:
      fsdp: number of devices over which large parameters are spread; 1 = all devices hold all.
      devices: the devices to use.

    Raises:
      ConfigError: if the devices cannot be arranged so.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) % fsdp:
        raise ConfigError(f"--config.fsdp={fsdp}: it must divide the {len(devices)} devices")
    return Mesh(np.asarray(devices).reshape(-1, fsdp), ("data", "fsdp"))


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises `ConfigError` unless every device gets the same share of each part of the global batch."""
    shares = mesh.size * accumulate
    if batch_size % shares:
        below = batch_size - batch_size % shares
        near = " or ".join(str(size) for size in (below, below + shares) if size)
        parts = f" x --config.accumulate={accumulate}" if accumulate > 1 else ""
        raise ConfigError(
            f"--config.batch_size={batch_size} is not divisible by the {mesh.size} devices{parts}; "
            f"take {near}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis of a batch is spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """Shardings for a pytree of arrays (or of their shapes).

    With fsdp = 1 everything is replicated. Otherwise each large array is split along its longest
    axis that 'fsdp' divides; optimizer statistics, having the parameters' shapes, go with them.
    """
    fsdp = mesh.shape["fsdp"]

    def spec(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(leaf.shape) if size % fsdp == 0]
        if fsdp == 1 or leaf.size < SMALLEST_SPREAD_ARRAY or not divisible:
            return replicated(mesh)
        longest = max(divisible, key=lambda axis: leaf.shape[axis])
        return NamedSharding(
            mesh, PartitionSpec(*["fsdp" if a == longest else None for a in range(leaf.ndim)])
        )

    return jax.tree.map(spec, state)


def describe(mesh: Mesh) -> str:
    """The devices in words, such as "8 x NVIDIA H200 (2 hosts)"."""
    first = mesh.devices.flat[0]
    kind = "CPU" if first.platform == "cpu" else first.device_kind
    hosts = f" ({jax.process_count()} hosts)" if jax.process_count() > 1 else ""
    spread = f", parameters spread over {mesh.shape['fsdp']}" if mesh.shape["fsdp"] > 1 else ""
    return f"{mesh.size} × {kind}{hosts}{spread}"


def is_first_process() -> bool:
    """Whether this process is the one that writes logs and files."""
    return jax.process_index() == 0


@contextmanager
def stop_together() -> Iterator[None]:
    """All hosts run the block; where it fails on one, it fails on all, so that none waits for another.

    Raises:
      ArtjaxError: on the hosts where the block did not fail itself, with what was said on the first
        where it did.
    """
    error = None
    try:
        yield
    except Exception as own:
        error = own
    said = texts_of_processes(str(error) or repr(error) if error else "")
    if error:
        raise error
    for host, reason in enumerate(said):
        if reason:
            raise ArtjaxError(f"host {host} (counted from 0): {reason}")


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first host runs the block before the others do, which then find what it made.

    Where it fails on one, it fails on all: see `stop_together`.
    """
    if is_first_process():
        with stop_together():
            yield
        with stop_together():
            pass  # the others run it
    else:
        with stop_together():
            pass
        with stop_together():
            yield


def texts_of_processes(text: str) -> list[str]:
    """What each host says, its first 4,096 bytes; all hosts must ask together."""
    if jax.process_count() == 1:
        return [text]
    # Of one size, whatever is said: hosts that ask for different things still meet.
    encoded = np.zeros(_TEXT_BYTES, np.uint8)
    given = np.frombuffer(text.encode()[:_TEXT_BYTES], np.uint8)
    encoded[: len(given)] = given
    gathered = np.asarray(multihost_utils.process_allgather(encoded))
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in gathered]


def least_over_processes(number: int) -> int:
    """The smallest of all hosts' numbers; all hosts must ask together."""
    if jax.process_count() == 1:
        return number
    return min(
        multihost_utils.process_allgather(np.asarray(number, np.float64)).astype(int).tolist()
    )


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any host; all hosts must ask together."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))
