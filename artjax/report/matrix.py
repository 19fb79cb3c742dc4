"""The confusion matrix as the page draws it: a table whose cells lead to their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from artjax.evaluation.curves import row_normalised

_MOST_WITH_NUMBERS = 40
_WIDTH_PX = 900  # of a page, beside the names of the classes
_SMALL_PX, _LARGEST_PX = 11, 40
_RIGHT, _WRONG = (47, 79, 115), (122, 42, 20)
_BRIGHTER = 0.6  # the exponent of a share, so that one error of twenty is seen
# Of relative luminance (WCAG 2.2): above it black has more contrast than white, below it white.
_HALF_WAY = 0.179


class Cell(NamedTuple):
    """A cell of a row, or several empty ones beside each other.

    Attributes:
      span: how many columns it takes.
      works: how many are in it; 0 for empty ones.
      column: the class that these works were named.
      colour: of the paper, as `#rrggbb`.
      dark: whether its text is white.
      link: where its pictures are.
    """

    span: int
    works: int = 0
    column: int = 0
    colour: str = ""
    dark: bool = False
    link: str = ""

    @property
    def text(self) -> str:
        """The number of works; of thousands only these."""
        return str(self.works) if self.works < 1000 else f"{self.works / 1000:.0f}k"


def rows_of(counts: np.ndarray, page: str) -> list[list[Cell]]:
    """The cells of each row.

    Args:
      counts: as from `curves.confusion_matrix`.
      page: with the pictures: see `cell_id` and `class_id`.
    """
    rows, shares = [], row_normalised(counts)
    for label, row in enumerate(counts):
        cells, end = [], 0
        for column in np.flatnonzero(row).tolist():
            if column > end:
                cells.append(Cell(column - end))
            right = column == label
            colour, dark = _shade(shares[label, column], _RIGHT if right else _WRONG)
            link = class_id(label) if right else cell_id(label, column)
            cells.append(Cell(1, int(row[column]), column, colour, dark, f"{page}#{link}"))
            end = column + 1
        if end < len(row):
            cells.append(Cell(len(row) - end))
        rows.append(cells)
    return rows


def has_numbers(classes: int) -> bool:
    """Whether the cells are large enough to have their numbers in them."""
    return classes <= _MOST_WITH_NUMBERS


def cell_px(classes: int) -> int:
    """The side of a cell in pixels. With numbers all fit on a page; without, the table scrolls."""
    return min(_LARGEST_PX, _WIDTH_PX // classes) if has_numbers(classes) else _SMALL_PX


def cell_id(label: int, named: int) -> str:
    """Where the page of works has those of a class that were named another one."""
    return f"cell-{label}-{named}"


def class_id(label: int) -> str:
    """Where the page of works has a class."""
    return f"class-{label}"


def _shade(share: float, full: Sequence[int]) -> tuple[str, bool]:
    """White for 0, the full colour for 1; and whether white text is easier to read on it."""
    depth = share**_BRIGHTER
    colour = [round(255 + (channel - 255) * depth) for channel in full]
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3295 for c in colour]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*colour), luminance < _HALF_WAY
