"""The even border of a picture: a frame, a margin or a strip with a caption, of nearly one level.

Two reproductions of one painting often differ in nothing but what is around it.
"""

from __future__ import annotations

import numpy as np

# Levels of 255 from the border's median. Compression and the grain of paper stay below, in pictures that
# are scaled down.
_TOLERANCE = 12
_SHARE = 0.95  # of a line's pixels; a seal or a corner of the picture may reach into the border
# Lines of text in a strip are not even: so many of all lines are passed over, if even ones follow.
_GAP = 0.06
_MOST = 0.4  # of each side
_LEAST = 0.25  # of the height and of the width must be left, or nothing is taken for a border
_ROUNDS = 3  # a passe-partout in a frame on a table


def inside_border(grey: np.ndarray) -> tuple[int, int, int, int]:
    """The part of a picture that its border surrounds. The sides of a border may have different levels.

    Args:
      grey: uint8 [H, W], scaled down to about 128 pixels a side.

    Returns:
      left, upper, right and lower in pixels, as Pillow's `crop` takes them; the whole picture if it has
      no border.
    """
    height, width = grey.shape
    left, upper, right, lower = 0, 0, width, height
    for _ in range(_ROUNDS):
        rows = grey[upper:lower, left:right]
        above, below = _depth(rows), _depth(rows[::-1])
        # Columns come after rows: a strip below, with its text, is gone before a frame is looked for.
        columns = rows[above : len(rows) - below].T
        before, after = _depth(columns), _depth(columns[::-1])
        box = left + before, upper + above, right - after, lower - below
        if box[2] - box[0] < _LEAST * width or box[3] - box[1] < _LEAST * height:
            break
        left, upper, right, lower = box
    return left, upper, right, lower


def _depth(lines: np.ndarray) -> int:
    """How many of `lines`, uint8 [N, L], are border, from the first on."""
    if not lines.size:
        return 0
    level = np.median(lines[0])
    if not _even(lines[:1], level)[0]:  # as of most pictures
        return 0
    even = np.flatnonzero(_even(lines[: round(_MOST * len(lines))], level))
    if not len(even):
        return 0
    wide = np.flatnonzero(np.diff(even) > 1 + round(_GAP * len(lines)))
    last = even[wide[0]] if len(wide) else even[-1]
    # The line after it is a mixture of border and picture, as lines were scaled down.
    return int(last) + 2


def _even(lines: np.ndarray, level: float) -> np.ndarray:
    distance = np.abs(lines.astype(np.float32) - level)
    return np.asarray((distance <= _TOLERANCE).mean(axis=1) >= _SHARE)
