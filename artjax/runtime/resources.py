"""How much room there is in memory and on the disk, and bytes in words."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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


def on_host(shares: int = 1) -> int | None:
    """Bytes of memory that programs can still take, on the host (or in the container) with the least.

    All hosts must ask together. None where a system does not say.

    Args:
      shares: into how many parts this host's memory is divided; the bytes are those of one of them.
    """
    here = _on_this_host()
    least = mesh_lib.least_over_processes(_UNKNOWN if here is None else here // shares)
    return None if least == _UNKNOWN else least


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


def _on_this_host() -> int | None:
    try:
        pages = {}
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            pages[name] = int(rest.split()[0]) * 1024
        free = pages["MemAvailable"]
    except (OSError, KeyError, ValueError):
        try:  # not Linux: all of it is the nearest figure
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (OSError, ValueError, AttributeError):
            return None
    group = Path("/sys/fs/cgroup")
    try:
        used = int((group / "memory.current").read_text())
        free = min(free, int((group / "memory.max").read_text()) - used)
    except (OSError, ValueError):
        pass  # no container, or one without a limit ("max")
    return max(free, 0)
