"""Lists of pictures as Hugging Face and Kaggle publish them: found, understood, and read."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from artjax.config import LABELS
from artjax.data.splits import SPLITS, split_named, split_of_folders
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.readers.file_index import ListedPictures, PictureFiles
from artjax.prepare.readers.filename_repair import readable_name
from artjax.prepare.readers.tables import Table, first_of_list, read_table, tidy, year_of

# The first column that exists and finds pictures is used: paths before names before ids.
PICTURE_COLUMNS = (
    *("file_name", "filename", "file", "path", "filepath", "file_path", "image_path", "img_path"),
    *("image", "picture", "image_file", "image_name", "new_filename", "image_id", "img", "id"),
)
LABEL_COLUMNS = {
    "artist": ("artist", "artist_name", "painter", "author"),
    "genre": ("genre", "genre_name"),
    # Beside a school, a location is most often where the work hangs today.
    "location": ("school", "location"),
    "style": ("style", "style_name", "movement"),
    "period": ("period", "timeframe", "century"),
}
GENERIC_COLUMNS = ("label_name", "class_name", "label", "class", "target", "category")
SPLIT_COLUMNS = ("split", "subset", "set")
_SUFFIXES = (".csv", ".tsv", ".jsonl")
_ORDER = {split: place for place, split in enumerate(SPLITS)}


@dataclass(frozen=True)
class PictureList:
    """A table that lists pictures with labels.

    Attributes:
      table: its rows.
      split: the split in the name of its file or folder, or None.
      labels: by label, the column that holds it.
      generic: a column that is only called `label` or the like, or an empty string.
      column: the one that names the pictures.
      found: for each row, the picture's path in the collection, or None.
    """

    table: Table
    split: str | None
    labels: dict[str, str]
    generic: str
    column: str
    found: tuple[str | None, ...]


class NoPictureListError(DataError):
    """A table that lists something else, or pictures without labels; the message says why."""


def read_picture_lists(
    files: PictureFiles, label: str, wanted: Collection[str] = ()
) -> tuple[Catalogue | None, list[str]]:
    """Reads the list of the pictures below a folder, or one list for each split.

    `metadata.csv` and `metadata.jsonl` come first, since those names have one meaning. `Work.split`
    is what a column `split`, the file's name, or the folders of the picture say, in this order.

    Args:
      files: all files of the collection.
      label: what a column `label`, `class` or `target` holds; empty if the user did not say.
      wanted: other columns that are labels.

    Returns:
      The works, or None if there is no such list; and why each ignored table is no such list.

    Raises:
      DataError: one line, if a list is invalid or ambiguous, or cannot be read.
    """
    tables = [
        name
        for name in files.names()
        if PurePosixPath(name).suffix.lower() in _SUFFIXES
        and "submission" not in name.lower()  # Kaggle's: test pictures with labels made up
    ]
    if not tables:
        return None, []
    pictures = ListedPictures(files)
    metadata = [name for name in tables if PurePosixPath(name).stem.lower() == "metadata"]
    problems: dict[str, DataError] = {}
    for names in (metadata, [name for name in tables if name not in metadata]):
        lists = []
        for name in names:
            try:
                lists.append(
                    _picture_list(read_table(files.folder / name), pictures, label, wanted)
                )
            except NoPictureListError as error:
                problems[name] = error
            except DataError as error:
                # Half of a collection must not pass for the whole: its test list would be lost.
                if name in metadata or split_in_stem(name):
                    raise
                problems[name] = error
        if lists:
            _check_meant(lists, files.folder)
            return _catalogue(lists, files), [str(problem) for problem in problems.values()]
    return None, [str(problem) for problem in problems.values()]


def split_in_stem(name: str) -> str | None:
    """The split in the name of a list: `trainLabels.csv`, `artist_test.csv`."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", PurePosixPath(name).stem)
    return next(filter(None, map(split_named, words)), None)


def _picture_list(
    table: Table, pictures: ListedPictures, label: str, wanted: Collection[str] = ()
) -> PictureList:
    """What a table lists; raises `NoPictureListError`, or `DataError` if none of its pictures exists."""
    file, header = table.file, table.header
    columns = [name for name in PICTURE_COLUMNS if name in header]
    if not columns:
        raise NoPictureListError(
            f"{file} has no column that names the pictures {table.found}; call it file_name"
        )
    known = {
        name: next((column for column in aliases if column in header), "")
        for name, aliases in LABEL_COLUMNS.items()
    }
    if not known["genre"] and {"type", "school"} <= set(header):
        known["genre"] = "type"  # as in SemArt; elsewhere a type is anything
    labels = {name: column for name, column in known.items() if column}
    labels |= {name: name for name in wanted if name in header}
    generic = next((column for column in GENERIC_COLUMNS if column in header), "")
    if generic and label:
        labels.setdefault(label, generic)
    usable = label in labels if label and not wanted else bool(labels or generic)
    if not usable:
        wanted = label or f"label, such as {LABELS[0]} or {LABELS[1]}"
        raise NoPictureListError(f"{file} has no column for the {wanted} {table.found}")
    name = file.relative_to(pictures.folder).as_posix()
    split = split_in_stem(name) or split_of_folders(name)
    for column in columns:
        listed = [row.get(column, "") for _, row in table.rows]
        found = pictures.find(listed, PurePosixPath(name).parent, split)
        there = len(found) - found.count(None)
        # Numbers find pictures by chance: painters have an id too, and some picture is called 7.jpg.
        if there and (column != "id" or 2 * there >= min(len(found), len(pictures))):
            break
    else:
        first = next((row[columns[0]] for _, row in table.rows if row.get(columns[0])), "no row")
        raise DataError(
            f"{file}: its column '{columns[0]}' names no picture below {pictures.folder}, or "
            f"one of several that are called so (the first: {first[:60]}); leave one of each there"
        )
    table.check_once((column, *labels.values()))
    return PictureList(table, split, labels, generic, column, found)


def _check_meant(lists: Sequence[PictureList], folder: Path) -> None:
    """Raises `DataError` unless each list has a split in its name, or all have the same name."""
    named = Counter(split_in_stem(item.table.file.name) for item in lists)
    same = len({item.table.file.stem.lower() for item in lists}) == 1
    apart = len({item.table.file.parent for item in lists}) == len(lists)
    if len(lists) > 1 and not (same and apart) and (None in named or max(named.values()) > 1):
        names = ", ".join(str(item.table.file.relative_to(folder)) for item in lists)
        raise DataError(
            f"{folder} has several lists of its pictures: {names}; keep one, and "
            "move the others elsewhere"
        )
    for item in lists:
        if not item.labels:
            raise DataError(
                f"{item.table.file}: say what its column '{item.generic}' holds: --config artist (or "
                f"{', '.join(LABELS[1:])})"
            )


def _catalogue(lists: Sequence[PictureList], files: PictureFiles) -> Catalogue:
    works: dict[str, Work] = {}
    divided_by: set[str] = set()
    first_row: dict[str, str] = {}
    twice = 0
    notes = []
    for item in lists:
        file = item.table.file
        split_column = _split_column(item.table)
        lists_have = f"the {'names of the lists' if split_in_stem(file.name) else 'folders'} have"
        for (number, row), found in zip(item.table.rows, item.found, strict=True):
            if not row.get(item.column):
                raise DataError(f"{file}, row {number}: the cell below '{item.column}' is empty")
            work = _work(item, row, found, files.folder)
            split_by = (
                (f"the column '{split_column}' has", split_named(row.get(split_column, ""))),
                # One list alone divides nothing.
                (lists_have, item.split if len(lists) > 1 else None),
                ("the folders have", split_of_folders(work.file_name)),
            )
            by, split = next((found for found in split_by if found[1]), ("", None))
            if by:
                divided_by.add(by)
            work = replace(work, split=split)
            first = works.get(work.file_name)
            if first is None:
                works[work.file_name] = work
                first_row[work.file_name] = f"{file.name}, row {number}"
            elif first.labels != work.labels:
                raise DataError(
                    f"{file}, row {number}: '{work.file_name}' has other labels than in "
                    f"{first_row[work.file_name]}; a picture has one of each"
                )
            else:
                twice += 1
                works[work.file_name] = max(first, work, key=lambda w: _ORDER[w.split or "train"])
        notes += item.table.encoding_notes()
        columns = ", ".join(f"{label} from '{column}'" for label, column in item.labels.items())
        there = len(item.found) - item.found.count(None)
        notes.append(
            f"read {file.relative_to(files.folder)}: {there:,} of {len(item.found):,} pictures found "
            f"by '{item.column}', {columns}"
        )
    if twice:
        notes.append(
            f"{twice:,} rows list a picture again, with the same labels: kept once, in test or "
            "validation if one of the rows is there"
        )
    catalogue = Catalogue(list(works.values()), class_names(works.values()), notes=notes)
    return replace(catalogue, divided_by=" and ".join(sorted(divided_by)) or catalogue.divided_by)


def _work(item: PictureList, row: Mapping[str, str], found: str | None, root: Path) -> Work:
    listed = row[item.column].replace("\\", "/")
    folder = item.table.file.parent.relative_to(root).as_posix()
    name = readable_name(found or posixpath.normpath(posixpath.join(folder, listed)))
    return Work(
        file_name=name,
        labels={
            label: tidy(said)
            for label, column in item.labels.items()
            if (said := first_of_list(row.get(column, "")))
        },
        picture=root / found if found else None,
        title=row.get("title", ""),
        year=year_of(date := row.get("year") or row.get("date", "")),
        date=date,
        work_id=row.get("work_id") or name,
        columns={name: tidy(cell) for name, cell in row.items() if cell},
    )


def _split_column(table: Table) -> str:
    for column in SPLIT_COLUMNS:
        if any(split_named(row.get(column, "")) for _, row in table.rows):
            return column
    return ""
