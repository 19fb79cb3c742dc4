"""The collection if the user sets none, and building the embedded sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artjax.data import canvases, collections
from artjax.data.collections import preferred
from artjax.errors import DataError

NAME = collections.sample()


def choose(tasks: tuple[str, ...], data_dir: Path, canvas_dir: Path | None) -> str:
    """The default collection: `preferred` if it is prepared with these labels, else the studio.

    If several sets of that name have the labels, opening it asks which one is meant.
    """
    collection = preferred(tasks)
    return collection if canvases.is_there(collection, tasks, data_dir, canvas_dir) else NAME


def why(collection: str, tasks: tuple[str, ...], data_dir: Path) -> str:
    """One line that says which collection was chosen, and why."""
    if collection != NAME:
        return f"collection: {collection}, which is prepared in {data_dir}"
    return (
        f"collection: {NAME}, the embedded synthetic sample, because {preferred(tasks)} is not prepared "
        f"with {' and '.join(tasks)} in {data_dir} (see the README for how to prepare it, or your own "
        "images)"
    )


def build_if_missing(tasks: tuple[str, ...], data_dir: Path, canvas_dir: Path | None) -> None:
    """Draws and prepares the sample with TFDS, in a subprocess, unless it is prepared already.

    Raises:
      DataError: if that fails. The message has the last line of the subprocess.
    """
    if canvases.is_there(NAME, tasks, data_dir, canvas_dir):
        return
    print(f"drawing the {NAME} into {data_dir} (once, about 20 s)", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "artjax.studio.prepare", str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise DataError(f"building the {NAME} failed: {lines[-1].removeprefix('artjax: ')}")
