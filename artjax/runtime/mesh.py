"""Devices, shardings and processes. The same program runs on one device, many, or several machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from artjax.errors import ArtjaxError, ConfigError

# Elements. For smaller arrays the communication costs more than the memory that sharding saves.
MIN_SHARDED_SIZE = 2**16

_TEXT_BYTES = 4096


def create_mesh(fsdp: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arranges devices as a mesh ('data', 'fsdp').

    Args:
      fsdp: number of devices over which large parameters are sharded; 1 = every device holds them all.
      devices: the devices to use; default: all devices of all processes.

    Raises:
      ConfigError: if `fsdp` does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) % fsdp:
        raise ConfigError(f"--config.fsdp={fsdp}: it must divide the {len(devices)} devices")
    return Mesh(np.asarray(devices).reshape(-1, fsdp), ("data", "fsdp"))


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises `ConfigError` unless the devices get equal shares of every micro-batch.

    Args:
      batch_size: size of the global batch.
      mesh: the devices.
      accumulate: number of micro-batches into which the global batch is divided.
    """
    shares = mesh.size * accumulate
    if batch_size % shares:
        below = batch_size - batch_size % shares
        near = " or ".join(str(size) for size in (below, below + shares) if size)
        times = f" x --config.accumulate={accumulate}" if accumulate > 1 else ""
        raise ConfigError(
            f"--config.batch_size={batch_size} is not divisible by the {mesh.size} devices{times}; "
            f"use {near}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch: its first axis is divided over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds as a whole."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """Shardings for a pytree of arrays (or of their shapes).

    With fsdp = 1 everything is replicated. Otherwise each large array is split along its longest axis
    that 'fsdp' divides. The optimizer's statistics have the shapes of the parameters, so they are split
    in the same way.
    """
    fsdp = mesh.shape["fsdp"]

    def spec(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(leaf.shape) if size % fsdp == 0]
        if fsdp == 1 or leaf.size < MIN_SHARDED_SIZE or not divisible:
            return replicated(mesh)
        longest = max(divisible, key=lambda axis: leaf.shape[axis])
        return NamedSharding(
            mesh, PartitionSpec(*["fsdp" if a == longest else None for a in range(leaf.ndim)])
        )

    return jax.tree.map(spec, state)


def on_host(tree: Any) -> Any:
    """The arrays of a tree as NumPy arrays, whole in every process. All processes call this together."""
    if jax.process_count() > 1:
        tree = jax.tree.map(
            lambda leaf: (
                leaf
                if leaf.is_fully_replicated
                else multihost_utils.process_allgather(leaf, tiled=True)
            ),
            tree,
        )
    return jax.device_get(tree)


def describe(mesh: Mesh) -> str:
    """The devices, such as "8 × NVIDIA H200 (2 processes)"."""
    first = mesh.devices.flat[0]
    kind = "CPU" if first.platform == "cpu" else first.device_kind
    processes = f" ({jax.process_count()} processes)" if jax.process_count() > 1 else ""
    sharded = f", parameters sharded over {mesh.shape['fsdp']}" if mesh.shape["fsdp"] > 1 else ""
    return f"{mesh.size} × {kind}{processes}{sharded}"


def is_first_process() -> bool:
    """Whether this is process 0, the only one that writes logs and files."""
    return jax.process_index() == 0


@contextmanager
def stop_together() -> Iterator[None]:
    """Runs the block in all processes. If it fails in one, it fails in all, so that none waits.

    All processes must enter it together.

    Raises:
      ArtjaxError: in the processes in which the block itself succeeded. It has the message of the first
        process in which the block failed.
    """
    error = None
    try:
        yield
    except Exception as own:
        error = own
    messages = texts_of_processes(str(error) or repr(error) if error else "")
    if error:
        raise error
    for process, message in enumerate(messages):
        if message:
            raise ArtjaxError(f"process {process}: {message}")


@contextmanager
def first_process_first() -> Iterator[None]:
    """Runs the block in process 0 first, then in the others, which find the files that it wrote.

    If it fails in one process, it fails in all: see `stop_together`.
    """
    if is_first_process():
        with stop_together():
            yield
        with stop_together():
            pass  # the other processes run the block
    else:
        with stop_together():
            pass
        with stop_together():
            yield


def texts_of_processes(text: str) -> list[str]:
    """The text of each process, at most 4,096 bytes of it. All processes must call this together."""
    if jax.process_count() == 1:
        return [text]
    # A fixed size, so that calls match even if processes exchange different texts.
    encoded = np.zeros(_TEXT_BYTES, np.uint8)
    own = np.frombuffer(text.encode()[:_TEXT_BYTES], np.uint8)
    encoded[: len(own)] = own
    gathered = np.asarray(multihost_utils.process_allgather(encoded))
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in gathered]


def least_over_processes(number: int) -> int:
    """The smallest number of all processes. All processes must call this together."""
    if jax.process_count() == 1:
        return number
    return min(
        multihost_utils.process_allgather(np.asarray(number, np.float64)).astype(int).tolist()
    )


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process. All processes must call this together."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))
