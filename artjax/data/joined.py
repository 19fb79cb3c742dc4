"""The images of several splits as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from artjax.data.tfrecords import Records


class JoinedImages:
    """The images of several files, indexed like one array of canvases.

    Attributes:
      parts: uint8 [M, S, S, 3] each, in the order of the rows.
    """

    def __init__(self, parts: Sequence[np.ndarray | Records]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""
        return (len(self), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the values; uint8 for images."""
        return getattr(self.parts[0], "dtype", np.dtype(np.uint8))

    @property
    def nbytes(self) -> int:
        """Size of all images in bytes."""
        return sum(int(part.nbytes) for part in self.parts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Any) -> np.ndarray:
        """One image uint8 [S, S, 3], or [n, S, S, 3] of n rows."""
        if np.ndim(rows) == 0:
            return self[np.asarray([rows])][0]
        rows = np.asarray(rows)
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for start, part in zip(self._starts, self.parts, strict=False):
            here = (rows >= start) & (rows < start + len(part))
            if here.any():
                images[here] = part[rows[here] - start]
        return images
