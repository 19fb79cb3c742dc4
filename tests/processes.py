"""Processes that tests start and kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_CLEANING = """
import json, sys, time
from pathlib import Path
from artjax.prepare import cleaning, picture_decoding
from artjax.prepare.catalogue import Work
clean = picture_decoding.clean
def slowly(*args):
    time.sleep(0.05)
    return clean(*args)
picture_decoding.clean = slowly
pictures, folder = map(Path, sys.argv[1:3])
works = [Work(p.name, {}, p) for p in sorted(pictures.glob("*.png"))]
cleaning.clean_works(works, folder, 512, **json.loads(sys.argv[3]))
"""


def environment(devices: int) -> dict[str, str]:
    """For a process with this number of CPU devices, which may import what tests import."""
    # Of a flag that is given twice, the last one counts.
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(["tests", *sys.path])}


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until the condition holds; it may assert too."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def kill_while_cleaning(command: Sequence[str | Path], folder: Path, pictures: int) -> None:
    """Starts a command, and kills it with its children when it has cleaned so many pictures."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )

    def cleaned() -> bool:
        assert process.poll() is None
        return len(list(folder.glob("*.jpg"))) >= pictures

    wait_for(cleaned)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def slow_cleaning(pictures: Path, folder: Path, settings: str) -> list[str | Path]:
    """A command that cleans PNGs in many seconds; `settings` of `clean_works` as JSON."""
    return [sys.executable, "-c", _CLEANING, pictures, folder, settings]


def times_of(folder: Path) -> dict[Path, int]:
    """When each cleaned picture was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.jpg")}
