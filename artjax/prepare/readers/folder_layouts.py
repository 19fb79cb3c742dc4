"""A folder of pictures in one of the layouts in which people publish or keep them, and its splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from artjax.config import LABELS
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers.asked import FOLDERS, Asked
from artjax.prepare.readers.class_folders import class_levels, read_class_folders
from artjax.prepare.readers.file_index import PictureFiles
from artjax.prepare.readers.image_lists import read_picture_lists
from artjax.prepare.readers.unlikely_classes import INSIST
from artjax.prepare.readers.unusable_files import unusable
from artjax.prepare.readers.works_csv import read_works_csv

_NAMED = 3  # an error names so many tables that are no list


def read_folder(manual_dir: Path, asked: Asked) -> Catalogue:
    """Reads `works.csv`; or else a published list of pictures; or else a folder for each class.

    Args:
      manual_dir: the folder that holds them all.
      asked: what the user said about it, such as which label the class folders, or a column `label`,
        hold.

    Raises:
      DataError: one line: what is unclear or missing, where, and what to do.
    """
    files = PictureFiles(manual_dir)
    if asked.classes == FOLDERS:
        label = _label_of_folders(asked.label, manual_dir)
        catalogue = read_class_folders(files, label, insist=True)
        return _divided(_noted(catalogue, files, unusable(manual_dir, files.names())))
    mapped = asked.catalogue or asked.picture or asked.columns
    works_csv = manual_dir / "works.csv"
    if works_csv.exists() and not mapped:
        return _noted(read_works_csv(works_csv, asked.wanted, asked.max_bad_rows, files), files, [])
    listed, unused = read_picture_lists(files, asked)
    problems = [table.problem for table in unused] + unusable(manual_dir, files.names())
    if listed is not None:
        return _divided(_noted(listed, files, problems))
    if mapped and not problems:
        problems = [
            f"{manual_dir} has no list of its pictures, such as a .csv, which the settings ask for"
        ]
    if mapped or (problems and not (asked.needs_label and class_levels(files))):
        raise DataError("; ".join(problems[:_NAMED]))
    label = _label_of_folders(asked.label, manual_dir)
    for table in unused:
        if table.has_label:
            raise DataError(
                f"{table.problem}; so this list of the {label} is not used. Mend it, say how it is "
                'read ("picture", "columns"), move it elsewhere, or, if the folders are the classes, '
                f"{INSIST}"
            )
    try:
        catalogue = read_class_folders(files, label)
    except DataError as error:
        unread = "; not used: " + "; ".join(problems[:_NAMED]) if problems else ""
        raise DataError(f"{error}{unread}") from error
    return _divided(_noted(catalogue, files, problems))


def _label_of_folders(label: str, manual_dir: Path) -> str:
    if not label:
        raise DataError(
            f"no works.csv in {manual_dir}; write one (columns path and any of {', '.join(LABELS)}), "
            "or, where each class has its own sub-folder, say what they are: --config artist"
        )
    return label


def _noted(catalogue: Catalogue, files: PictureFiles, problems: Sequence[str]) -> Catalogue:
    notes = [*files.passed_over(), *(f"ignored: {problem}" for problem in problems)]
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
