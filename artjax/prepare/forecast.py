"""How long cleaning a collection takes, and how much disk its build needs, from its first pictures."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from artjax.errors import DataError
from artjax.runtime.resources import format_bytes

SAMPLE = 64
_ENOUGH = 16  # pictures to time
_SURE = (
    0.9  # of what is needed: less free space than that does not suffice whatever the pictures left
)


def sample_first(works: Sequence[int]) -> list[int]:
    """The works in another order: first `SAMPLE` of them, evenly from all, then the others.

    Catalogues are sorted, by class or by date, so that the first are unlike the rest.
    """
    step = max(1, len(works) // SAMPLE)
    first = list(works[::step][:SAMPLE])
    chosen = frozenset(first)
    return first + [work for work in works if work not in chosen]


class Forecast:
    """Says after `SAMPLE` pictures what all will need, and stops where the disk cannot hold it.

    A build has each picture twice on the disk: cleaned, and in the prepared set (or, on the way there,
    in TFDS's files that shuffle it). The first copies go at the end.

    Args:
      data_dir: where the set will be.
      works: number of works to clean.
      processes: how many clean them.
      stored: bytes of the pictures that are used as the build before left them.
    """

    def __init__(self, data_dir: Path, works: int, processes: int, stored: int = 0) -> None:
        self._data_dir, self._works, self._processes = data_dir, works, processes
        self._stored = stored
        self._started = time.time()
        self._sizes: list[int] = []
        self._new_at: list[float] = []
        self._seen = 0

    def add(self, jpeg: Path | None) -> None:
        """Takes the next picture; None where it is no usable one.

        Raises:
          DataError: if the disk cannot hold the set.
        """
        self._seen += 1
        if self._seen > SAMPLE:
            return
        if jpeg is not None:
            status = jpeg.stat()
            self._sizes.append(status.st_size)
            if status.st_mtime >= self._started:  # not kept from a build that was stopped
                self._new_at.append(time.time())
        if self._seen == SAMPLE and self._works > SAMPLE:
            self._say()

    def _say(self) -> None:
        of_all = sum(self._sizes) / SAMPLE * self._works
        share_new = len(self._new_at) / max(1, len(self._sizes))
        needed = of_all * share_new + of_all + self._stored
        free = shutil.disk_usage(self._data_dir).free
        if free < _SURE * needed:
            raise DataError(
                f"the disk of {self._data_dir} has {format_bytes(free)} free, and {self._works:,} "
                f"pictures need about {format_bytes(needed)} while the set is built "
                f"({format_bytes(of_all)} afterwards); give another place with --data_dir, or keep "
                "smaller pictures with the builder's setting short_side_px"
            )
        tqdm.write(  # beside the bar
            f"{self._works:,} pictures: {self._time(share_new)}{format_bytes(of_all + self._stored)} in "
            f"DATA_DIR, {format_bytes(needed)} until the set is written ({format_bytes(free)} free)"
        )

    def _time(self, share_new: float) -> str:
        if len(self._new_at) < _ENOUGH:
            return ""
        # From the first to the last: processes that start later than the first are counted as if they
        # had been there, which a few dozen pictures cannot tell.
        each = (self._new_at[-1] - self._new_at[0]) / (len(self._new_at) - 1)
        cores = f"{self._processes} core{'s' * (self._processes > 1)}"
        return f"about {in_words(each * share_new * self._works)} on {cores}, "


def in_words(seconds: float) -> str:
    """A time that is only estimated: 40 seconds, 12 minutes, 3.5 hours."""
    if seconds < 90:
        return f"{max(2, round(seconds))} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
