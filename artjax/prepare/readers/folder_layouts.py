"""A folder of pictures in one of the layouts in which people publish or keep them, and its splits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from artjax.config import LABELS
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers.class_folders import class_levels, read_class_folders
from artjax.prepare.readers.file_index import PictureFiles
from artjax.prepare.readers.image_lists import read_picture_lists
from artjax.prepare.readers.works_csv import read_works_csv

_NAMED = 3  # an error names so many tables that are no list


def read_folder(manual_dir: Path, label: str, wanted: Collection[str] = ()) -> Catalogue:
    """Reads `works.csv`; or else a published list of pictures; or else a folder for each class.

    Args:
      manual_dir: the folder that holds them all.
      label: which label the class folders, or a column `label`, hold; empty if the user did not
        say.
      wanted: columns of a list that are labels, beside those that are known by name.

    Raises:
      DataError: one line: what is unclear or missing, where, and what to do.
    """
    if (manual_dir / "works.csv").exists():
        return read_works_csv(manual_dir / "works.csv", wanted)
    files = PictureFiles(manual_dir)
    listed, problems = read_picture_lists(files, label, wanted)
    if listed is not None:
        return _divided(_noted(listed, problems))
    if not class_levels(files):
        if problems:
            raise DataError("; ".join(problems[:_NAMED]))
        parquet = next((name for name in files.names() if name.endswith(".parquet")), None)
        if parquet:
            raise DataError(
                f"{manual_dir / parquet}: pictures and lists in .parquet are not read; save them as "
                "files, with a metadata.csv (columns file_name and a label) or a folder for each class"
            )
    if not label:
        raise DataError(
            f"no works.csv in {manual_dir}; write one (columns path and any of {', '.join(LABELS)}), "
            "or, where each class has its own sub-folder, say what they are: --config artist"
        )
    return _divided(_noted(read_class_folders(files, label), problems))


def _noted(catalogue: Catalogue, problems: Sequence[str]) -> Catalogue:
    notes = [f"ignored: {problem}" for problem in problems]
    return replace(catalogue, notes=[*catalogue.notes, *notes])


def _divided(catalogue: Catalogue) -> Catalogue:
    """The catalogue with the publisher's splits; a missing validation or test is cut from train.

    These splits are not `official`: that would keep every class and claim a published list. Where only
    one split has labels, as in a competition, the publisher has divided nothing yet.

    Raises:
      DataError: if there is nothing to train on.
    """
    there = {work.split or "train" for work in catalogue.works if work.labels}
    if len(there) < 2:
        works = [replace(work, split=None) for work in catalogue.works]
        named = any(work.split for work in catalogue.works)
        note = f"splits: only {''.join(there)} has labelled pictures, and is divided"
        return replace(catalogue, works=works, notes=catalogue.notes + [note] * named)
    if "train" not in there:
        raise DataError(
            "the folder has labelled pictures for validation and test, but none to train on; put a "
            "train folder beside them"
        )
    missing = [split for split in ("validation", "test") if split not in there]
    # If a split is cut from their train, all of train is divided; otherwise all splits stay.
    works = [
        replace(work, split=None) if missing and work.split in (None, "train") else work
        for work in catalogue.works
    ]
    note = f"splits: as {catalogue.divided_by} them"
    for split in missing:
        note += f"; {split} is cut from their train"
    notes = [*catalogue.notes, note]
    return replace(catalogue, works=works, notes=notes, divided_into=("train", *missing))
