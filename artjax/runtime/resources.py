"""Free bytes in device memory, host memory and on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
from jax.sharding import Mesh

from artjax.runtime import mesh as mesh_lib

_UNKNOWN = -1


def on_devices(mesh: Mesh) -> int | None:
    """Free bytes on the device that has the fewest; None if a device does not report them (a CPU).

    On a GPU these are the bytes that JAX may still allocate. All processes must call this together.
    """
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    free = [max(0, s["bytes_limit"] - s["bytes_in_use"]) for s in stats if "bytes_limit" in s]
    # Called in every process, even if the memory of its own devices is unknown.
    least = mesh_lib.least_over_processes(min(free) if len(free) == len(stats) else _UNKNOWN)
    return None if least == _UNKNOWN else least


def on_host(shares: int = 1) -> int:
    """Free bytes of main memory on the machine (or in the container) that has the fewest.

    All processes must call this together.

    Args:
      shares: number of devices that share the memory. The result is one share.
    """
    return mesh_lib.least_over_processes(_on_this_machine() // shares)


def on_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    existing = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return shutil.disk_usage(existing).free


def format_bytes(size: float) -> str:
    """A number of bytes as text: 3.1 GB, 54 MB, 1.2 MB or 8 kB."""
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    if size >= 1e6:
        return f"{size / 1e6:.{0 if size >= 1e7 else 1}f} MB"
    return f"{size / 1e3:.0f} kB"


def _on_this_machine() -> int:
    free = int(psutil.virtual_memory().available)
    cgroup = Path("/sys/fs/cgroup")
    try:
        used = int((cgroup / "memory.current").read_text())
        limit = int((cgroup / "memory.max").read_text())
    except (OSError, ValueError):  # not in a container, or in one without a limit ("max")
        return free
    return max(0, min(free, limit - used))
