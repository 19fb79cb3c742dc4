"""How much room there is in memory and on the disk, and bytes in words."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
from jax.sharding import Mesh

from artjax.runtime import mesh as mesh_lib

_UNKNOWN = -1


def on_devices(mesh: Mesh) -> int | None:
    """Bytes free on the fullest device of all hosts; None where one has no own memory, or is silent.

    All hosts must ask together. Of a GPU it is what JAX may allocate.
    """
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    free = [max(0, s["bytes_limit"] - s["bytes_in_use"]) for s in stats if "bytes_limit" in s]
    # Every host must ask, whatever its own devices tell.
    least = mesh_lib.least_over_processes(min(free) if len(free) == len(stats) else _UNKNOWN)
    return None if least == _UNKNOWN else least


def on_host(shares: int = 1) -> int:
    """Bytes of memory that programs can still take, on the machine (or in the container) with the least.

    All processes must ask together.

    Args:
      shares: the number of devices that share the memory; the bytes are those of one share.
    """
    return mesh_lib.least_over_processes(_on_this_host() // shares)


def on_disk(folder: Path) -> int:
    """Bytes free on the disk where a folder is, or would be."""
    there = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return shutil.disk_usage(there).free


def in_words(size: float) -> str:
    """Bytes as 3.1 GB, 54 MB, 1.2 MB or 8 kB."""
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    if size >= 1e6:
        return f"{size / 1e6:.{0 if size >= 1e7 else 1}f} MB"
    return f"{size / 1e3:.0f} kB"


def _on_this_host() -> int:
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        used = int((group / "memory.current").read_text())
        limit = int((group / "memory.max").read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return max(0, min(free, limit - used))
