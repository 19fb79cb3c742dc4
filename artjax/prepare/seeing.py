"""Picture files as a network sees them: cleaned as in a build, on square canvases.

The processes that do this import this module, which therefore needs no JAX.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from artjax.data import decoding
from artjax.errors import ImageError
from artjax.prepare import picture_decoding
from artjax.prepare.processes import map_in_order

FEW = 64
"""Of more pictures than these the cleaning is divided over processes, which take a second to start."""

CRASHED = "its decoder crashed, or ran out of memory"

# Of each the canvases wait: 0.2 MB at 256 px. One large scan may take as long as a hundred others.
_AHEAD = 128


@dataclass(frozen=True)
class Seen:
    """A picture as networks see it.

    Attributes:
      canvases: by their side in pixels, uint8 [side, side, 3]; empty if it is not usable.
      aspect: width / height.
      reason: why it is not usable; empty if it is.
    """

    canvases: Mapping[int, np.ndarray] = field(default_factory=dict)
    aspect: float = 1.0
    reason: str = ""


def see(file: Path, short_side_px: int, sides: Sequence[int]) -> Seen:
    """Cleans a picture as a build does, into a JPEG in memory, and squashes that to canvases.

    Args:
      file: of the picture.
      short_side_px: longest shorter side of the cleaned picture, see `picture_decoding.decode`.
      sides: of the canvases, in pixels.
    """
    try:
        jpeg = picture_decoding.clean(file, short_side_px).jpeg
    except ImageError as error:
        return Seen(reason=str(error))
    squashed = {side: decoding.squash(jpeg, side) for side in sides}
    canvases = {side: canvas for side, (canvas, _) in squashed.items()}
    return Seen(canvases, next(iter(squashed.values()))[1])


def see_all(
    files: Sequence[Path], short_side_px: int, sides: Sequence[int], processes: int | None = None
) -> Generator[Seen, None, None]:
    """Yields what `see` says of files, in their order, a few of them ahead.

    A file whose decoder crashes costs only itself, where processes are used.

    Args:
      files: of the pictures.
      short_side_px: as for `see`.
      sides: as for `see`.
      processes: default: one for each core, or none for `FEW` files.
    """
    look = partial(see, short_side_px=short_side_px, sides=tuple(sides))
    if processes is None:
        processes = 0 if len(files) <= FEW else os.cpu_count() or 1
    if not processes:
        yield from map(look, files)
        return
    with closing(map_in_order(look, files, processes, _AHEAD)) as found:
        for file, seen in zip(files, found, strict=True):
            # What crashed beside others, such as for lack of memory, may succeed alone.
            yield seen or _alone(look, file)


def _alone(look: partial[Seen], file: Path) -> Seen:
    with closing(map_in_order(look, [file], 1, 1)) as found:
        return next(found) or Seen(reason=CRASHED)
