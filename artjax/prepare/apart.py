"""Splits that keep all works of one painter, or of one owner or album, apart: the setting `split_by`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artjax.data.reports import SplitRow
from artjax.errors import ConfigError, DataError
from artjax.prepare.catalogue import Catalogue, Work

_LARGE = 0.5  # of all works


@dataclass(frozen=True)
class Apart:
    """What works are kept in one split by.

    Attributes:
      column: a label or another column of the catalogue; empty if works are divided one by one.
      values: of each work of the catalogue; empty where it is not known, or there is no column. A work
        whose value is not known is on its own.
    """

    column: str
    values: tuple[str, ...]

    def cell(self, work: int) -> str:
        """What `SplitRow.split_by` has of a work, given by its index."""
        return f"{self.column}={self.values[work]}" if self.column else ""

    def previous(self, rows: Sequence[SplitRow], works: Sequence[Work]) -> dict[str, str]:
        """The splits of an earlier build that stay, by `work_id`.

        None of a build that kept other works together: its painters would be on both sides. Where one
        painter's works are in several splits now, since the catalogue says another painter of some than
        it did, those of the split with the most stay.
        """
        split_of = {row.work_id: row.split for row in rows if _column(row) == self.column}
        if not self.column:
            return split_of
        counts: dict[str, Counter[str]] = {}
        for work, value in zip(works, self.values, strict=True):
            if value and work.work_id in split_of:
                counts.setdefault(value, Counter())[split_of[work.work_id]] += 1
        most = {value: of_value.most_common(1)[0][0] for value, of_value in counts.items()}
        for work, value in zip(works, self.values, strict=True):
            if value and split_of.get(work.work_id, most.get(value)) != most.get(value):
                del split_of[work.work_id]
        return split_of

    def lines(self, kept: Mapping[int, str]) -> list[str]:
        """What is to be said of the division; `kept` has the index and the split of each kept work."""
        if not self.column:
            return []
        known = {i: self.values[i] for i in kept if self.values[i]}
        lines = [
            f"splits: by {self.column}: all works of each of {len(set(known.values())):,} are in one"
        ]
        if len(known) < len(kept):
            lines[0] += f"; {len(kept) - len(known):,} works without {self.column} are on their own"
        (largest, works), *_ = Counter(known.values()).most_common(1) or [("", 0)]
        if works > _LARGE * len(kept):
            split = next(kept[i] for i, value in known.items() if value == largest)
            lines.append(
                f"warning: {works:,} of all {len(kept):,} works are of the {self.column} {largest}, and "
                f"all in {split}: the shares of the splits cannot be kept"
            )
        return lines


def apart(catalogue: Catalogue, column: str) -> Apart:
    """What the works of a catalogue are kept in one split by.

    Args:
      catalogue: what is listed.
      column: a label or another column of it, in any case of letters; empty for none.

    Raises:
      ConfigError: if the catalogue has no such column, lists give its splits, or the column is what is
        to be told apart.
      DataError: if fewer than three values are known, so that a split would have none.
    """
    if not column:
        return Apart("", ("",) * len(catalogue.works))
    column = _tidy(column)
    setting = f'--config: split_by "{column}"'
    if catalogue.official or any(work.split for work in catalogue.works):
        by = "an official list has" if catalogue.official else catalogue.divided_by
        raise ConfigError(f"{setting}: the splits are as {by} them, and stay; leave split_by out")
    labels = [label for label, names in catalogue.class_names.items() if names]
    others = {name for work in catalogue.works for name in work.columns}
    if column not in (*labels, *others):
        has = ", ".join([*labels, *sorted(others.difference(labels))])
        raise ConfigError(f"{setting}: the catalogue has no such column; it has {has}")
    if labels == [column]:
        raise ConfigError(
            f"{setting}: the only label is the {column}, and no network can name one that it has never "
            "seen; leave split_by out"
        )
    values = tuple(
        work.labels.get(column, "") or work.columns.get(column, "") for work in catalogue.works
    )
    if len(different := {value for value in values if value}) < 3:
        raise DataError(
            f"{setting}: it has only {len(different)} different values, and each of the three splits "
            "needs one; leave split_by out"
        )
    return Apart(column, values)


def stay_lines(previous: Sequence[SplitRow], column: str, file: Path) -> list[str]:
    """What is said of the splits of an earlier build, which are in a file.

    Args:
      previous: its rows.
      column: the setting `split_by`.
      file: where they are.
    """
    if not previous:
        return []
    if any(_column(row) == _tidy(column) for row in previous):
        return [
            f"splits: the works of the previous build stay where they were, by {file}; delete it to "
            "divide all of them again"
        ]
    return [
        "splits: all works are divided again, since split_by is another one than in the build before"
    ]


def _column(row: SplitRow) -> str:
    return row.split_by.partition("=")[0]


def _tidy(column: str) -> str:
    """As the readers of catalogues spell the names of columns."""
    return "_".join(column.lower().split())
