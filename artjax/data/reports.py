"""The tables beside prepared data: skipped works, splits, near-duplicates, and facts of the files."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from artjax.files import replacing

SKIPPED_CSV, SPLITS_CSV = "skipped.csv", "splits.csv"
NEAR_DUPLICATES_CSV = "near_duplicates.csv"
SOURCE_FACTS_CSV = "source_facts.csv"
LIKELY_DOUBLES_CSV = "likely_doubles.csv"
SAME_PICTURE = "the same picture"
# Which row of which list a reason is about, at its end; a list is called as its user called it.
ROW = re.compile(r" \([^()]*, row \d+[^()]*\)$")


class Skipped(NamedTuple):
    """A listed work that is not prepared, and why; a row of `skipped.csv`."""

    file_name: str
    split: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without what is different for each work."""
        varies = SAME_PICTURE in self.reason or self.reason.startswith("a near-duplicate of")
        reason = self.reason.partition(": ")[0] if varies else self.reason
        return ROW.sub("", reason)


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
    shared_points: int | None = None


class Double(NamedTuple):
    """A class name that is likely another spelling of a larger class; a row of `likely_doubles.csv`.

    Attributes:
      label: of both.
      name: the spelling with fewer works.
      works: the number of its works.
      use: the spelling to use instead.
      why: in a few words.
    """

    label: str
    name: str
    works: int
    use: str
    why: str


class SourceFacts(NamedTuple):
    """What is no painting, of a prepared picture; a row of `source_facts.csv`, after its file name.

    All but the last four columns are of the file as it came. `date` is what its EXIF data say, not the
    file system: copying and unpacking change that one, folder by folder.

    Attributes:
      width: in pixels, upright.
      height: in pixels, upright.
      bytes: size of the file.
      format: with its colour mode; of a JPEG also the chroma subsampling, and whether it is progressive;
        of samples of 16 bits that use fewer, how many, as `12 bits`.
      luma_step: mean of a JPEG's quantisation table for luminance; 0 for other formats.
      chroma_step: the same for chrominance; 0 where there is no such table.
      profile: 1 if the file has an ICC profile, else 0.
      date: day on which it was taken, digitised or last changed, as `2014-03-31`; empty if unknown.
      sharpness: of the prepared picture, see `artjax.prepare.source_facts.sharpness`.
      half_sharpness: the same at half its size.
      quarter_sharpness: the same at a quarter.
      border: share of the area that is an even border, in [0, 1].
    """

    width: int
    height: int
    bytes: int
    format: str
    luma_step: float
    chroma_step: float
    profile: int
    date: str
    sharpness: float
    half_sharpness: float
    quarter_sharpness: float
    border: float


def read_source_facts(folder: Path) -> dict[str, SourceFacts] | None:
    """The rows of `source_facts.csv` by file name; None where there is no such file."""
    rows = _read_csv(folder / SOURCE_FACTS_CSV)
    if rows is None:
        return None
    kinds = get_type_hints(SourceFacts)
    return {
        row["file_name"]: SourceFacts(**{name: kind(row[name]) for name, kind in kinds.items()})
        for row in rows
    }


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
            **row
            | {
                "distance": int(row["distance"]),
                "correlation": float(row["correlation"]),
                "shared_points": int(points) if (points := row.get("shared_points")) else None,
            }
        )
        for row in rows
    ]


def read_likely_doubles(folder: Path) -> list[Double]:
    """The rows of `likely_doubles.csv`; none where there is no such file."""
    rows = _read_csv(folder / LIKELY_DOUBLES_CSV) or []
    return [Double(**row | {"works": int(row["works"])}) for row in rows]


def copy_reports(source: Path, target: Path) -> None:
    """Copies the reports that are in one folder into another."""
    names = (SKIPPED_CSV, SPLITS_CSV, NEAR_DUPLICATES_CSV, SOURCE_FACTS_CSV, LIKELY_DOUBLES_CSV)
    for name in names:
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
