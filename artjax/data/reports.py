"""The tables beside prepared data: what was skipped, where each work went, and which look the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SKIPPED, PLACED, TWINS = "skipped.csv", "splits.csv", "twins.csv"
SAME_PICTURE = "the same picture"


class Skipped(NamedTuple):
    """A listed work that is not prepared, and why; a row of `skipped.csv`."""

    file_name: str
    split: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without what is different for each work."""
        return self.reason.partition(": ")[0] if SAME_PICTURE in self.reason else self.reason


class Placed(NamedTuple):
    """A prepared picture, with its size in pixels as it came; a row of `splits.csv`."""

    file_name: str
    work_id: str
    split: str
    width: int
    height: int


class TwinRow(NamedTuple):
    """Two prepared pictures that look the same; a row of `twins.csv`.

    `conflict` names the labels in which they differ, with a space between; the rest is as in `Twin`.
    """

    file_name: str
    split: str
    twin: str
    twin_split: str
    distance: int
    correlation: float
    conflict: str


def read_skipped(folder: Path) -> list[Skipped]:
    """The rows of `skipped.csv`; none where there is no such file."""
    return [Skipped(**row) for row in _read_csv(folder / SKIPPED) or []]


def read_placed(file: Path) -> list[Placed]:
    """The rows of a `splits.csv`; none where there is no such file."""
    return [
        Placed(
            row["file_name"], row["work_id"], row["split"], int(row["width"]), int(row["height"])
        )
        for row in _read_csv(file) or []
    ]


def read_twins(folder: Path) -> list[TwinRow] | None:
    """The rows of `twins.csv`; None where twins were not looked for."""
    rows = _read_csv(folder / TWINS)
    if rows is None:
        return None
    return [
        TwinRow(
            **row | {"distance": int(row["distance"]), "correlation": float(row["correlation"])}
        )
        for row in rows
    ]


def with_twin_in_train(twins: Iterable[TwinRow]) -> dict[str, set[str]]:
    """File names of the pictures that look like one of the train split, by their own, other split."""
    found: dict[str, set[str]] = {}
    for row in twins:
        if "train" in (row.split, row.twin_split) and row.split != row.twin_split:
            name, split = row.file_name, row.split
            if split == "train":
                name, split = row.twin, row.twin_split
            found.setdefault(split, set()).add(name)
    return found


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    file.write_text(text.getvalue(), encoding="utf-8")


def _read_csv(file: Path) -> list[dict[str, Any]] | None:
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))
