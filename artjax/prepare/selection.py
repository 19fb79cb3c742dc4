"""Which listed works are prepared, and in which split; which are left out, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artjax.data.reports import (
    LIKELY_DOUBLES_CSV,
    NEAR_DUPLICATES_CSV,
    SAME_PICTURE,
    SKIPPED_CSV,
    SOURCE_FACTS_CSV,
    SPLITS_CSV,
    Double,
    NearDuplicateRow,
    Skipped,
    SourceFacts,
    SplitRow,
    with_near_duplicate_in_train,
    write_csv,
)
from artjax.data.splits import (
    SPLITS,
    count_classes,
    named,
    uncovered,
    uncovered_in_words,
)
from artjax.errors import DataError
from artjax.prepare.apart import apart
from artjax.prepare.catalogue import Catalogue, Work, without_small_classes
from artjax.prepare.cleaning import CleanedWork
from artjax.prepare.details import with_details
from artjax.prepare.near_duplicates import NearDuplicate, find_near_duplicates
from artjax.prepare.placing import splits_of_works, straddling_lines
from artjax.prepare.source_facts import depth_lines


@dataclass(frozen=True)
class Selection:
    """The works of a catalogue, divided.

    Attributes:
      catalogue: without the classes that are too small.
      kept: the works to prepare, with their cleaned pictures, by split.
      skipped: the others.
      listed: number of works that the catalogue's own lists put into each split.
      near_duplicates: pairs of pictures that are prepared, or left out for want of a label; None where
        they were not looked for.
      missing_urls: where missing or broken pictures can be downloaded, if anywhere.
      conflicts: what became of near-duplicates with different labels, as for `select`.
      split_by: by `file_name`, what a prepared work is kept in one split by, as in `SplitRow`.
      said: lines about the division.
    """

    catalogue: Catalogue
    kept: dict[str, list[tuple[Work, CleanedWork]]]
    skipped: list[Skipped]
    listed: Counter[str]
    near_duplicates: list[NearDuplicateRow] | None = None
    missing_urls: list[str] = field(default_factory=list)
    conflicts: str = "keep"
    split_by: Mapping[str, str] = field(default_factory=dict)
    said: Sequence[str] = ()

    def metadata(self) -> dict[str, Any]:
        """What `metadata.json` of the prepared data holds, as plain JSON values."""
        return {
            "listed": {split: self.listed[split] for split in SPLITS},
            "official": list(self.catalogue.official),
            "skipped": len(self.skipped),
            "conflicts": self.conflicts,
            "split_by": self._by,
            "left_out_classes": self.catalogue.left_out_classes,
            "possible_labels": self.catalogue.possible_labels,
            "uncovered": {label: without for label, without in self.uncovered().items() if without},
            "content_sha256": self._digest(),
        }

    def write_reports(self, folder: Path) -> None:
        """Writes `skipped.csv`, `splits.csv` and, where there are any, the other reports."""
        placed = [
            SplitRow(
                *(work.file_name, work.work_id, split, *picture.size),
                self.split_by.get(work.file_name, ""),
            )
            for split, works in self.kept.items()
            for work, picture in works
        ]
        write_csv(folder / SKIPPED_CSV, Skipped._fields, self.skipped)
        write_csv(folder / SPLITS_CSV, SplitRow._fields, placed)
        facts = [
            (work.file_name, *picture.facts)
            for works in self.kept.values()
            for work, picture in works
            if picture.facts
        ]
        if facts:
            write_csv(folder / SOURCE_FACTS_CSV, ["file_name", *SourceFacts._fields], facts)
        if self.catalogue.doubles:
            write_csv(folder / LIKELY_DOUBLES_CSV, Double._fields, self.catalogue.doubles)
        if self.near_duplicates is not None:
            rows = [
                row._replace(correlation=round(row.correlation, 4)) for row in self.near_duplicates
            ]
            write_csv(folder / NEAR_DUPLICATES_CSV, NearDuplicateRow._fields, rows)

    def summary(self, folder: Path) -> list[str]:
        """The lines to print at the end of a build; its reports are in `folder`."""
        official = self.catalogue.official
        lines = [f"note: {note}" for note in self.catalogue.notes]
        for split in SPLITS:
            number = f"{len(self.kept[split]):,}"
            if self.listed[split]:
                the_list = "the official list's " if split in official else ""
                number += f" of {the_list}{self.listed[split]:,}"
            lines.append(f"{split}: {number} works")
        lines += [*self.said, *straddling_lines(self.catalogue, self.kept)]
        for label, without in self.uncovered().items():
            if label == self._by:
                continue  # each of its classes is in one split
            classes = len(self.catalogue.class_names[label])
            lines += [f"warning: {line}" for line in uncovered_in_words(label, classes, without)]
        left_out = _left_out(self.catalogue)
        if left_out:
            lines.append(f"left out: {left_out}")
        if self.skipped:
            reasons = Counter(work.kind for work in self.skipped).most_common(3)
            shown = "; ".join(f"{count:,} × {reason}" for reason, count in reasons)
            report = folder / SKIPPED_CSV
            lines.append(f"skipped: {len(self.skipped):,} works ({shown}), named in {report}")
        lines += self._double_lines(folder / LIKELY_DOUBLES_CSV)
        lines += depth_lines(picture.facts for works in self.kept.values() for _, picture in works)
        return lines + self._near_duplicate_lines(folder / NEAR_DUPLICATES_CSV)

    def _double_lines(self, report: Path) -> list[str]:
        doubles = self.catalogue.doubles
        if not doubles:
            return []
        first = doubles[0]
        return [
            f"warning: {len(doubles):,} class names are likely spellings of another, such as the "
            f"{first.label} '{first.name}' of '{first.use}'. {report} lists them: copy it, delete the "
            'rows that are wrong, and build with "same": "THE COPY"'
        ]

    def _near_duplicate_lines(self, report: Path) -> list[str]:
        if not self.near_duplicates:
            return []
        lines = [
            f"near-duplicates: {len(self.near_duplicates):,} pairs of pictures, named in {report}"
        ]
        of_split = with_near_duplicate_in_train(self.near_duplicates)
        straddling = [
            f"{len(of_split[split]):,} {split} works" for split in SPLITS if of_split.get(split)
        ]
        if straddling:
            lines.append(
                f"warning: {' and '.join(straddling)} have a near-duplicate in train, as in the "
                "official lists; evaluation says top1_without_near_duplicates too"
            )
        conflicts = [row for row in self.near_duplicates if row.conflict]
        if conflicts:
            first = conflicts[0]
            lines.append(
                f"warning: {len(conflicts):,} of these pairs have different labels, such as "
                f"{first.file_name} and {first.near_duplicate} ({first.conflict}); "
                'the setting "conflicts" says whether such pictures are for "train" only, treated '
                'like others ("keep"), or left out ("drop")'
            )
        return lines

    def check(self) -> None:
        """Raises `DataError` if fewer than two classes are left, or a split or class is empty."""
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
                    f"{len(self.catalogue.works):,} listed{self._first_skipped()}; {self._if_empty}"
                )
        if self.catalogue.official:
            for label, without in self.uncovered().items():
                if "train" in without:
                    raise DataError(
                        f"the train split has no picture of the {label} class(es) "
                        f"{named(without['train'])}; add their pictures{self._first_skipped()}"
                    )

    @property
    def _by(self) -> str:
        return next(iter(self.split_by.values()), "").partition("=")[0]

    @property
    def _if_empty(self) -> str:
        if self.catalogue.official:
            return "add the pictures of the official lists"
        if self._by:
            return (
                f"all works of one {self._by} are in one; add some of others, or leave split_by out"
            )
        return "add works: a class with three that do not look the same has one in each split"

    def uncovered(self) -> dict[str, dict[str, list[str]]]:
        """By label and split, the classes without a work there."""
        counts = {
            split: count_classes(work.labels for work, _ in kept)
            for split, kept in self.kept.items()
        }
        return {
            label: uncovered(names, {split: of.get(label, {}) for split, of in counts.items()})
            for label, names in self.catalogue.class_names.items()
        }

    def _first_skipped(self) -> str:
        if not self.skipped:
            return ""
        first = self.skipped[0]
        return f" (the first one left out: {first.file_name}: {first.reason})"

    def _digest(self) -> str:
        """A digest that changes with any work, label or pixel, and with nothing else."""
        digest = hashlib.sha256()
        for split, works in sorted(self.kept.items()):
            for work, picture in sorted(works, key=lambda pair: pair[0].file_name):
                row = [split, work.file_name, work.work_id, work.year, work.year_uncertainty]
                labels = sorted(work.labels.items())
                digest.update(json.dumps([*row, labels, picture.sha256]).encode())
        return digest.hexdigest()


def select(
    catalogue: Catalogue,
    cleaned: Sequence[CleanedWork],
    shares: Mapping[str, float],
    min_works: int = 1,
    *,
    near_duplicates: bool | str = True,
    conflicts: str = "keep",
    split_by: str = "",
    previous: Sequence[SplitRow] = (),
) -> Selection:
    """Divides the works of a catalogue into splits and leaves out those that cannot be used.

    Args:
      catalogue: what is listed.
      cleaned: for each of its works, the cleaned picture or why there is none.
      shares: of the splits, for works that no list divides.
      min_works: smallest number of works of a class that is kept. The classes of official lists all
        stay, since such a list is taken as it is.
      near_duplicates: whether near-duplicates are looked for, and kept in one split; "details": parts of
        each other, too.
      conflicts: "keep" near-duplicates with different labels like others, in "train" only, or "drop"
        them. Works on a list stay where it has them, unless they are dropped.
      split_by: the column whose works with the same cell are kept in one split; see `apart`. Of works
        "for train only" those elsewhere are left out then: a painter with one such work is tested, too.
      previous: the splits of an earlier build, which are kept.

    Raises:
      ConfigError: if works cannot be divided by that column.
      DataError: if no work has a usable picture.
    """
    by = apart(catalogue, split_by)
    usable = [i for i, picture in enumerate(cleaned) if picture.jpeg is not None]
    if not usable:
        raise DataError(
            f"none of the {len(catalogue.works):,} works that are listed has a usable picture; "
            f"the first: {catalogue.works[0].file_name}: {cleaned[0].problem}"
        )
    had_label = [bool(work.labels) for work in catalogue.works]
    if not catalogue.official:
        catalogue = without_small_classes(
            catalogue, (catalogue.works[i] for i in usable), min_works
        )
    works = catalogue.works
    pairs = _pairs(cleaned, near_duplicates == "details") if near_duplicates else []
    differ = [_conflict(works[pair.first], works[pair.second]) for pair in pairs]
    conflicting = {} if conflicts == "keep" else _conflicting(works, pairs, differ)
    reasons = dict(conflicting) if conflicts == "drop" else {}
    reasons |= {
        i: reason
        for i, (work, picture) in enumerate(zip(works, cleaned, strict=True))
        if (reason := _reason(work, picture, had_label[i]))
    }
    linking = {
        i
        for i, (work, picture) in enumerate(zip(works, cleaned, strict=True))
        if picture.jpeg is not None and not work.labels and work.split is None
    }
    splits = splits_of_works(
        works,
        [i for i, work in enumerate(works) if i not in reasons and work.split is None],
        pairs,
        shares,
        by,
        by.previous(previous, works),
        only_train=frozenset() if split_by else conflicting.keys(),
        only_link=linking,
    )
    splits |= {i: work.split for i, work in enumerate(works) if i not in reasons and work.split}
    for i, reason in conflicting.items():
        # The build before held it out, or its painter is held out; it moves nowhere.
        if works[i].split is None and splits.get(i, "train") != "train":
            del splits[i]
            reasons[i] = reason
    kept: dict[str, list[tuple[Work, CleanedWork]]] = {split: [] for split in SPLITS}
    skipped = []
    for i, (work, picture) in enumerate(zip(works, cleaned, strict=True)):
        split = splits.get(i)
        if split is not None:
            kept[split].append((work, picture))
        else:
            reason = reasons.get(i) or _linked(i, works, pairs, splits)
            skipped.append(Skipped(work.file_name, work.split or "", reason))
    skipped += catalogue.skipped
    rows = _rows(works, pairs, differ, splits, linking)
    missing = [work.file_name for work, c in zip(works, cleaned, strict=True) if c.jpeg is None]
    urls = [catalogue.urls[name] for name in missing if name in catalogue.urls]
    listed = Counter(work.split for work in works if work.split)
    return Selection(
        catalogue,
        kept,
        skipped,
        listed,
        rows if near_duplicates else None,
        urls,
        conflicts,
        {works[i].file_name: by.cell(i) for i in splits} if split_by else {},
        by.lines(splits),
    )


def _linked(
    i: int, works: Sequence[Work], pairs: Sequence[NearDuplicate], splits: Mapping[int, str]
) -> str:
    """The reason for a work that looks like works of different splits, with one of each."""
    others = [p.second if p.first == i else p.first for p in pairs if i in (p.first, p.second)]
    one_of_each = {splits[other]: works[other].file_name for other in others if other in splits}
    named_ones = ", ".join(f"{name} ({split})" for split, name in sorted(one_of_each.items()))
    return f"a near-duplicate of works in different splits: {named_ones or 'through others'}"


def _pairs(cleaned: Sequence[CleanedWork], details: bool) -> list[NearDuplicate]:
    """The near-duplicates among pictures, by their indices; with their details, if these are wanted."""
    fingerprints = {i: picture.fingerprint for i, picture in enumerate(cleaned)}
    seen = {i: fingerprint for i, fingerprint in fingerprints.items() if fingerprint}
    index = list(seen)
    pairs = [
        pair._replace(first=index[pair.first], second=index[pair.second])
        for pair in find_near_duplicates(list(seen.values()))
    ]
    jpegs = {i: jpeg for i in index if (jpeg := cleaned[i].jpeg) is not None}
    return with_details(pairs, seen, jpegs) if details else pairs


def _conflict(first: Work, second: Work) -> str:
    """The labels that two works have both and that differ, with a space between."""
    return " ".join(
        label for label, name in first.labels.items() if second.labels.get(label, name) != name
    )


def _conflicting(
    works: Sequence[Work], pairs: Sequence[NearDuplicate], conflicts: Sequence[str]
) -> dict[int, str]:
    """The reason to leave out each work of which a near-duplicate has other labels."""
    reasons = {}
    for pair, conflict in zip(pairs, conflicts, strict=True):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            if conflict:
                reasons[one] = f"{SAME_PICTURE} under another {conflict}: {works[other].file_name}"
    return reasons


def _reason(work: Work, picture: CleanedWork, had_label: bool) -> str:
    """Why a work is left out, apart from its near-duplicates; empty if it is not."""
    if picture.jpeg is None:
        return picture.problem
    if not work.labels:
        return "its class has too few works" if had_label else "it has no label"
    return ""


def _rows(
    works: Sequence[Work],
    pairs: Sequence[NearDuplicate],
    conflicts: Sequence[str],
    splits: Mapping[int, str],
    linking: Set[int],
) -> list[NearDuplicateRow]:
    """The pairs of which both are kept, or link others; `splits` has the kept works by their index."""
    return [
        NearDuplicateRow(
            works[pair.first].file_name,
            splits.get(pair.first, ""),
            works[pair.second].file_name,
            splits.get(pair.second, ""),
            pair.distance,
            pair.correlation,
            conflict,
            pair.shared_points,
        )
        for pair, conflict in zip(pairs, conflicts, strict=True)
        if all(i in splits or i in linking for i in (pair.first, pair.second))
    ]


def _left_out(catalogue: Catalogue) -> str:
    parts = []
    for label, classes in catalogue.left_out_classes.items():
        names = [f"{name} ({count})" for name, count in sorted(classes.items())]
        parts.append(f"{label} classes with too few works: {named(names)}")
    return "; ".join(parts)
