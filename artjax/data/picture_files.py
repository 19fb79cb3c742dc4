"""The files below a folder, found by the names that catalogues give them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from artjax.data.names import canonical_name

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".tif", ".tiff"),
        *(".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".ppm", ".pgm"),
    )
)


class PictureFiles:
    """The files below a folder, found by name even where an accent was mangled on the way.

    Hidden files and folders are passed over, and links to folders are not followed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = sorted(_files_below(folder))
        self._exact = frozenset(self._names)
        self._alike: dict[str, list[str]] = {}
        for name in self._names:
            self._alike.setdefault(canonical_name(name), []).append(name)

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> list[str]:
        """Relative paths of all files, sorted."""
        return list(self._names)

    def find(self, name: str) -> Path | None:
        """The file that a catalogue calls `name`, or None.

        A file of exactly that name comes first; one that is only spelt alike is taken if it is the only
        one, since a guess between `IMG.jpg` and `img.jpg` might show the wrong picture.
        """
        if name in self._exact:
            return self.folder / name
        alike = self._alike.get(canonical_name(name), [])
        return self.folder / alike[0] if len(alike) == 1 else None


def _files_below(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(parent).relative_to(folder)
        for name in names:
            if not name.startswith("."):
                yield (relative / name).as_posix()
