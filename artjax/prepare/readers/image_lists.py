"""Lists of pictures as Hugging Face, Kaggle and museums publish them: found, understood, and read."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from artjax.config import LABELS, nearest
from artjax.data.splits import split_of_folders
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.file_index import ListedPictures, PictureFiles
from artjax.prepare.readers.list_columns import (
    NUMBERS,
    NoPictureListError,
    check_columns,
    has_label,
    meaning_of,
)
from artjax.prepare.readers.listed_works import PictureList, catalogue_of, split_in_stem
from artjax.prepare.readers.museums import picture_name, with_images
from artjax.prepare.readers.similar_names import Found
from artjax.prepare.readers.tables import Table, read_table

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
_MOST = 0.9  # of the pictures: no other column can find many more
_JSONS = 3  # if there are more, each is that of one work, but for those that lie on top


@dataclass(frozen=True)
class Unused:
    """A table that is no list of the pictures here.

    Attributes:
      problem: why, in one line that begins with the file.
      has_label: whether it has a column for the label that the user asked for.
    """

    problem: str
    has_label: bool = False


def read_picture_lists(files: PictureFiles, asked: Asked) -> tuple[Catalogue | None, list[Unused]]:
    """Reads the list of the pictures below a folder, or one list for each split.

    `metadata.csv` and `metadata.jsonl` come first, since those names have one meaning. `Work.split`
    is what a column `split`, the file's name, or the folders of the picture say, in this order.

    Args:
      files: all files of the collection.
      asked: what the user said: `label` is what a column `label`, `class` or `target` holds.

    Returns:
      The works, or None if there is no such list; and why each ignored table is no such list.

    Raises:
      DataError: one line, if a list is invalid or ambiguous, or cannot be read.
    """
    if asked.catalogue:
        listed = read_table(_given(files, asked.catalogue))
        given = [_picture_list(listed, ListedPictures(files), asked)]
        return catalogue_of(given, files.folder, asked.max_bad_rows), []
    tables = _tables(files.names())
    if not tables:
        return None, []
    pictures = ListedPictures(files)
    metadata = [name for name in tables if PurePosixPath(name).stem.lower() == "metadata"]
    unused: list[Unused] = []
    for names in (metadata, [name for name in tables if name not in metadata]):
        lists = []
        for name in names:
            table: Table | None = None
            try:
                table = read_table(files.folder / name)
                lists.append(_picture_list(table, pictures, asked))
            except DataError as error:
                # Half of a collection must not pass for the whole: its test list would be lost.
                said_to_be_one = name in metadata or split_in_stem(name)
                if said_to_be_one and not isinstance(error, NoPictureListError):
                    raise
                unused.append(
                    Unused(str(error), table is not None and has_label(table, asked.label))
                )
        if lists:
            _check_meant(lists, files.folder)
            return catalogue_of(lists, files.folder, asked.max_bad_rows), unused
    return None, unused


def _tables(names: Sequence[str]) -> list[str]:
    """The files that can be lists."""
    tables = [
        name
        for name in names
        if PurePosixPath(name).suffix.lower() in _SUFFIXES
        and "submission" not in name.lower()  # Kaggle's: test pictures with labels made up
    ]
    jsons = [name for name in tables if name.lower().endswith(".json")]
    others = [name for name in tables if name not in jsons]
    if len(jsons) > _JSONS:
        on_top = [name for name in jsons if "/" not in name]
        jsons = on_top if len(on_top) <= _JSONS else []
    # Museums publish the same catalogue as CSV and as JSON.
    twice = {PurePosixPath(name).with_suffix("") for name in others}
    jsons = [name for name in jsons if PurePosixPath(name).with_suffix("") not in twice]
    return sorted([*others, *jsons])


def _given(files: PictureFiles, name: str) -> Path:
    """The list that the user named."""
    file = files.find(posixpath.normpath(name))
    if file is None:
        near = nearest(name, files.names())
        raise DataError(f"{files.folder} has no file '{name}', which catalogue names{near}")
    return file


def _picture_list(table: Table, pictures: ListedPictures, asked: Asked) -> PictureList:
    """What a table lists; raises `NoPictureListError`, or `DataError` if none of its pictures exists."""
    table = with_images(table)
    meaning = meaning_of(table, asked)
    check_columns(table, meaning, asked)
    listed_rows = len(table.rows)
    if meaning.rows:
        counting = tuple(row for row in table.rows if meaning.rows.holds(row[1]))
        if not counting:
            raise DataError(f"{table.file} has no row with {meaning.rows}")
        table = replace(table, rows=counting)
    name = table.file.relative_to(pictures.folder).as_posix()
    split = split_in_stem(name) or split_of_folders(name)
    best: tuple[str, Found] | None = None
    for column in meaning.picture:
        listed = [picture_name(row.get(column, "")) for _, row in table.rows]
        found = pictures.find(listed, PurePosixPath(name).parent, split)
        # Numbers find pictures by chance: painters have an id too, and some picture is called 7.jpg.
        chance = column in NUMBERS and 2 * found.there < min(len(found), len(pictures))
        if found.there and not chance and (best is None or found.there > best[1].there):
            best = (column, found)
            if not meaning.partial or found.there > _MOST * min(len(found), len(pictures)):
                break
    if best is None:
        first = next(
            (row[column] for column in meaning.picture for _, row in table.rows if row.get(column)),
            "no row",
        )
        raise DataError(
            f"{table.file}: its column '{meaning.picture[0]}' names no picture below "
            f"{pictures.folder}, or one of several that are called so (the first: {first[:60]}); leave "
            "one of each there"
        )
    table.check_once((best[0], *meaning.labels.values()))
    return PictureList(table, split, meaning, *best, listed_rows - len(table.rows))


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
        if item.meaning.generic and not item.labels:
            raise DataError(
                f"{item.table.file}: say what its column '{item.meaning.generic}' holds: --config "
                f"artist (or {', '.join(LABELS[1:])})"
            )
