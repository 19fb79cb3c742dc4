"""Which listed works are prepared, in which split; which are left out, and what to say of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from artjax.data.cleaning import CleanedWork
from artjax.data.collections import Catalogue, Work, without_small_classes
from artjax.data.splits import split_of
from artjax.errors import DataError

SPLITS = ("train", "validation", "test")
_NAMED = 20  # so many names in a printed line; the files have them all


class Skipped(NamedTuple):
    """A listed work that is not prepared, and why."""

    file_name: str
    split: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """The works of a catalogue, divided.

    Attributes:
      catalogue: without the classes that are too small.
      kept: by split, the works to prepare with their cleaned pictures.
      skipped: the others.
      listed: number of works that the catalogue names for each split.
    """

    catalogue: Catalogue
    kept: dict[str, list[tuple[Work, CleanedWork]]]
    skipped: list[Skipped]
    listed: Counter[str]

    def metadata(self) -> dict[str, Any]:
        """What the prepared data says of itself, see the contract in DESIGN.md; plain JSON values."""
        return {
            "listed": {split: self.listed[split] for split in SPLITS},
            "official": list(self.catalogue.official),
            "skipped": len(self.skipped),
            "left_out_classes": self.catalogue.left_out_classes,
            "content_sha256": self._digest(),
        }

    def write_skipped(self, file: Path) -> None:
        """Writes the skip report: a row `file_name,split,reason` for each work that is left out."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Skipped._fields)
        writer.writerows(self.skipped)
        file.write_text(text.getvalue(), encoding="utf-8")

    def summary(self, skip_report: Path) -> list[str]:
        """The lines that are printed at the end of a build."""
        official = self.catalogue.official
        lines = [f"note: {note}" for note in self.catalogue.notes]
        for split in SPLITS:
            of = "of the official list's" if split in official else "of"
            lines.append(f"{split}: {len(self.kept[split]):,} {of} {self.listed[split]:,} works")
            # Of our own splits, small classes are often missing in validation and test.
            if official or split == "train":
                for label, names in self._classes_without(split).items():
                    lines.append(f"warning: no {split} picture for the {label}s {_named(names)}")
        left_out = _left_out(self.catalogue)
        if left_out:
            lines.append(f"left out: {left_out}")
        if self.skipped:
            reasons = Counter(work.reason for work in self.skipped).most_common(3)
            shown = "; ".join(f"{count:,} × {reason}" for reason, count in reasons)
            lines.append(f"skipped: {len(self.skipped):,} works ({shown}), named in {skip_report}")
        return lines

    def check(self) -> None:
        """Raises `DataError` if there is nothing to tell apart, or an empty split or official class."""
        classes = {label: len(names) for label, names in self.catalogue.class_names.items()}
        if max(classes.values(), default=0) < 2:
            left_out = _left_out(self.catalogue)
            raise DataError(
                "fewer than two classes are left to tell apart"
                + (f" ({left_out})" if left_out else f" (the catalogue names {classes})")
                + self._first_skipped()
            )
        works = sum(map(len, self.kept.values()))
        for split in SPLITS:
            if not self.kept[split]:
                raise DataError(
                    f"the {split} split would be empty: {works:,} usable works of "
                    f"{len(self.catalogue.works):,} listed{self._first_skipped()}; "
                    + (
                        "add the pictures of the official lists"
                        if self.catalogue.official
                        # 0.9 to the power of 60 is 0.2 %: seldom is a tenth of them empty.
                        else "splits are cut by a hash of the work, and about 60 works fill all "
                        "three: add works"
                    )
                )
        if self.catalogue.official:
            for label, names in self._classes_without("train").items():
                raise DataError(
                    f"no picture of the train split is there for the {label} class(es) "
                    f"{_named(names)}; add their pictures{self._first_skipped()}"
                )

    def _classes_without(self, split: str) -> dict[str, list[str]]:
        """For each label, its classes that have no work in a split; only labels that have such."""
        there = {item for work, _ in self.kept[split] for item in work.labels.items()}
        without = {
            label: [name for name in names if (label, name) not in there]
            for label, names in self.catalogue.class_names.items()
        }
        return {label: names for label, names in without.items() if names}

    def _first_skipped(self) -> str:
        if not self.skipped:
            return ""
        first = self.skipped[0]
        return f" (the first that is left out: {first.file_name}: {first.reason})"

    def _digest(self) -> str:
        """Changes when any work, label or pixel does, whatever TFDS's records look like."""
        digest = hashlib.sha256()
        for split, works in sorted(self.kept.items()):
            for work, picture in sorted(works, key=lambda pair: pair[0].file_name):
                row = [split, work.file_name, work.work_id, work.year, sorted(work.labels.items())]
                digest.update(json.dumps([*row, picture.sha256]).encode())
        return digest.hexdigest()


def select(
    catalogue: Catalogue,
    cleaned: Sequence[CleanedWork],
    fractions: Sequence[tuple[str, float]],
    min_works: int = 1,
) -> Selection:
    """Divides the works of a catalogue into splits and leaves out those that cannot be used.

    Args:
      catalogue: what is listed.
      cleaned: for each of its works, the cleaned picture or why there is none.
      fractions: of the splits that no official list decides.
      min_works: smallest number of works of a class that is kept; the classes of official lists are
        not ours to choose, and all stay.

    Raises:
      DataError: if no work has a usable picture.
    """
    usable = [w for w, c in zip(catalogue.works, cleaned, strict=True) if c.jpeg is not None]
    labelled = {work.file_name for work in catalogue.works if work.labels}
    if not usable:
        first = catalogue.works[0]
        raise DataError(
            f"none of the {len(catalogue.works):,} works that are listed has a usable picture; "
            f"the first: {first.file_name}: {cleaned[0].problem}"
        )
    if not catalogue.official:
        catalogue = without_small_classes(catalogue, usable, min_works)
    kept: dict[str, list[tuple[Work, CleanedWork]]] = {split: [] for split in SPLITS}
    skipped = []
    splits = [work.split or split_of(work.work_id, fractions) for work in catalogue.works]
    for work, picture, split in zip(catalogue.works, cleaned, splits, strict=True):
        if picture.jpeg is None:
            skipped.append(Skipped(work.file_name, split, picture.problem))
        elif work.file_name not in labelled:
            skipped.append(Skipped(work.file_name, split, "it has no label"))
        elif not work.labels:
            skipped.append(Skipped(work.file_name, split, "its class has too few works"))
        else:
            kept[split].append((work, picture))
    return Selection(catalogue, kept, skipped, Counter(splits))


def _left_out(catalogue: Catalogue) -> str:
    parts = []
    for label, classes in catalogue.left_out_classes.items():
        names = [f"{name} ({count})" for name, count in sorted(classes.items())]
        parts.append(f"{label} classes with too few works: {_named(names)}")
    return "; ".join(parts)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
