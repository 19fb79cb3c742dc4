"""Cells of a row by column, in as little memory as half a million rows need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence


class Cells(Mapping[str, str]):
    """The cells of a row that are not empty, by column.

    All rows of a list share `places`. A dict for each row takes three to five times the memory.

    Args:
      places: by column, where its cell is in `cells`.
      cells: those of the row; fewer than `places` has if the rest are empty.
    """

    __slots__ = ("_cells", "_places")

    def __init__(self, places: Mapping[str, int], cells: Sequence[str]) -> None:
        self._places = places
        self._cells = tuple(cells)

    def __getitem__(self, column: str) -> str:
        place = self._places[column]
        cell = self._cells[place] if place < len(self._cells) else ""
        if not cell:
            raise KeyError(column)
        return cell

    def get(self, column: str, default: str = "") -> str:  # type: ignore[override]
        """The cell, or `default` if it is empty or there is no such column."""
        place = self._places.get(column, len(self._cells))
        return (self._cells[place] if place < len(self._cells) else "") or default

    def __iter__(self) -> Iterator[str]:
        have = len(self._cells)
        return (
            column for column, place in self._places.items() if place < have and self._cells[place]
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def tidied(self, tidy: Callable[[str], str]) -> Cells:
        """The same cells, each as the function gives it back."""
        return Cells(self._places, [tidy(cell) for cell in self._cells])

    def __repr__(self) -> str:
        return repr(dict(self))


class SharedLabels:
    """One object for all works with the same labels, as far as these occur again and again."""

    _KEPT = 1 << 16

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def __call__(self, labels: dict[str, str]) -> dict[str, str]:
        """The same labels; nobody may change them."""
        key = tuple(labels.items())
        if len(self._kept) < self._KEPT:
            return self._kept.setdefault(key, labels)
        return self._kept.get(key, labels)
