"""The tables beside prepared data: skipped works, the split of each picture, and near-duplicates."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from artjax.files import replacing

SKIPPED_CSV, SPLITS_CSV = "skipped.csv", "splits.csv"
NEAR_DUPLICATES_CSV = "near_duplicates.csv"
SAME_PICTURE = "the same picture"


class Skipped(NamedTuple):
    """A listed work that is not prepared, and why; a row of `skipped.csv`."""

    file_name: str
    split: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without what is different for each work."""
        varies = SAME_PICTURE in self.reason or self.reason.startswith("a near-duplicate of")
        return self.reason.partition(": ")[0] if varies else self.reason


class SplitRow(NamedTuple):
    """A prepared picture, with its size in pixels as it came; a row of `splits.csv`.

    `split_by` is what its works are kept in one split by, such as `artist=Ada`: the column and its cell,
    which may be empty. It is empty where the splits were cut between any works.
    """

    file_name: str
    work_id: str
    split: str
    width: int
    height: int
    split_by: str = ""


class NearDuplicateRow(NamedTuple):
    """Two pictures that look the same; a row of `near_duplicates.csv`.

    The split of one that is left out for want of a label is empty: others may look the same through it.
    `conflict` names the labels in which they differ, with a space between; the rest is as in
    `artjax.prepare.near_duplicates.NearDuplicate`.
    """

    file_name: str
    split: str
    near_duplicate: str
    near_duplicate_split: str
    distance: int
    correlation: float
    conflict: str


def read_skipped(folder: Path) -> list[Skipped]:
    """The rows of `skipped.csv`; none where there is no such file."""
    return [Skipped(**row) for row in _read_csv(folder / SKIPPED_CSV) or []]


def read_split_rows(file: Path) -> list[SplitRow]:
    """The rows of a `splits.csv`; none where there is no such file."""
    return [
        SplitRow(
            *(row["file_name"], row["work_id"], row["split"]),
            *(int(row["width"]), int(row["height"]), row.get("split_by", "")),
        )
        for row in _read_csv(file) or []
    ]


def read_split_by(folder: Path) -> dict[str, str]:
    """The cells by which works were kept in one split, by `file_name`; see `SplitRow`."""
    rows = read_split_rows(folder / SPLITS_CSV)
    return {row.file_name: row.split_by.partition("=")[2] for row in rows}


def remember_splits(built: Path, file: Path) -> None:
    """Writes the `splits.csv` of a build to `file`, which keeps the works that this build did not have.

    A picture that is missing for once, or whose class was too small, is then not divided again.
    """
    rows = read_split_rows(built)
    there = {row.work_id for row in rows}
    rows += [row for row in read_split_rows(file) if row.work_id not in there]
    with replacing(file) as partial:
        write_csv(partial, SplitRow._fields, rows)


def read_near_duplicates(folder: Path) -> list[NearDuplicateRow] | None:
    """The rows of `near_duplicates.csv`; None where near-duplicates were not looked for."""
    rows = _read_csv(folder / NEAR_DUPLICATES_CSV)
    if rows is None:
        return None
    return [
        NearDuplicateRow(
            **row | {"distance": int(row["distance"]), "correlation": float(row["correlation"])}
        )
        for row in rows
    ]


def copy_reports(source: Path, target: Path) -> None:
    """Copies the reports that are in one folder into another."""
    for name in (SKIPPED_CSV, SPLITS_CSV, NEAR_DUPLICATES_CSV):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def with_near_duplicate_in_train(rows: Iterable[NearDuplicateRow]) -> dict[str, set[str]]:
    """File names of the pictures that look like one of the train split, by their own, other split."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if (
            "train" in (row.split, row.near_duplicate_split)
            and row.split != row.near_duplicate_split
        ):
            name, split = row.file_name, row.split
            if split == "train":
                name, split = row.near_duplicate, row.near_duplicate_split
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
