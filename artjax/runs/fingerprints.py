"""How the pictures look that a network has learnt from, so that another scan of one is known again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from artjax.prepare.near_duplicates import SIDE_PX, Views


class Fingerprints(NamedTuple):
    """The views of pictures (`artjax.prepare.near_duplicates`), as they are kept in a file.

    Attributes:
      sources: a digest of where each is from, uint64 [V].
      hashes: of each as it is, not turned, uint64 [V].
      grey: uint8 [V, 32, 32].
      wide_border: bool [V].
    """

    sources: np.ndarray
    hashes: np.ndarray
    grey: np.ndarray
    wide_border: np.ndarray

    @classmethod
    def of(cls, views: Views, source: int) -> Fingerprints:
        """Those of pictures that are all from one source."""
        sources = np.full(len(views.hashes), source, np.uint64)
        return cls(sources, views.hashes[:, 0], views.grey, views.wide_border)

    def only(self, chosen: np.ndarray) -> Fingerprints:
        """The chosen ones, by index or as bool [V]."""
        return Fingerprints(*(of[chosen] for of in self))

    def views(self) -> Views:
        """As views, of which each is a picture of its own, to look for others."""
        return Views(np.arange(len(self.hashes)), self.hashes[:, None], self.grey, self.wide_border)


NONE = Fingerprints(
    np.empty(0, np.uint64),
    np.empty(0, np.uint64),
    np.empty((0, SIDE_PX, SIDE_PX), np.uint8),
    np.empty(0, bool),
)


def joined(parts: Sequence[Fingerprints]) -> Fingerprints:
    """Those of one or more together, each once."""
    every = Fingerprints(*map(np.concatenate, zip(*parts, strict=True)))
    seen: dict[bytes, int] = {}
    for i in range(len(every.sources)):
        key = every.sources[i].tobytes() + every.wide_border[i].tobytes() + every.grey[i].tobytes()
        seen.setdefault(key, i)
    return every.only(np.fromiter(seen.values(), np.int64, len(seen)))
