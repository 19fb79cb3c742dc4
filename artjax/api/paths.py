"""Folders as users give them."""

from __future__ import annotations

import os
from pathlib import Path

from artjax.data import prepared

AnyPath = str | os.PathLike[str]


def given(path: AnyPath | None) -> Path | None:
    """A path, with `~` as the user's home; None stays None."""
    return None if path is None else Path(path).expanduser()


def data_dir_of(path: AnyPath | None) -> Path:
    """TFDS's data directory: as given, else TFDS's own."""
    return given(path) or prepared.default_data_dir()
