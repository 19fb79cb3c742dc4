"""Collections without a list: a folder for each class, also below split folders or a wrapper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from artjax.data.splits import split_named
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, FileBelow, Work, class_names
from artjax.prepare.readers.file_index import PictureFiles
from artjax.prepare.readers.filename_repair import readable_name, repaired_name
from artjax.prepare.readers.tables import tidy
from artjax.prepare.readers.unlikely_classes import INSIST, check_class_names

# Folders with these names hold a whole collection, never one class.
_WRAPPERS = frozenset(
    ("data", "dataset", "image", "images", "img", "imgs", "pictures", "resized", "thumbnails")
)
_ROOT = PurePosixPath()
_NAMED = 5


def read_class_folders(files: PictureFiles, label: str, *, insist: bool = False) -> Catalogue:
    """Reads a folder whose sub-folders are the classes of `label`, each with its pictures.

    The class folders may lie in split folders (`train/Ada`), where `Work.split` then says so, and in a
    folder that holds nothing else (`images/images/Ada`). A class folder and a second one with
    the same name, but mangled, are one class: unpacked archives can have both.

    Args:
      files: all files of the collection.
      label: what the classes are.
      insist: whether the folders are the classes, whatever they are called.

    Raises:
      DataError: if there are no such sub-folders, it is unclear which these are, or their names are
        hardly those of classes.
    """
    levels = {folder: split for split, folder in class_levels(files, insist=insist)}
    works = []
    spellings: dict[str, set[str]] = {}
    nested: dict[str, set[str]] = {}
    inside: dict[str, list[str]] = {}
    ignored: Counter[str] = Counter()
    for name in files.names():
        path = PurePosixPath(name)
        # The last folder is left out: it can be no more than a class.
        level = next((folder for folder in path.parent.parents if folder in levels), None)
        if name in files.copies:
            continue
        if name not in files.pictures:
            ignored[path.suffix.lower() or "without a suffix"] += 1
        elif level is None:
            ignored["in no class folder"] += 1
        else:
            spelt = readable_name(path.relative_to(level).parts[0])
            class_name = tidy(repaired_name(spelt))
            inside.setdefault(class_name, []).append(path.relative_to(level).parts[1])
            if path.parent.parent != level:
                nested.setdefault(class_name, set()).add(str(path.parent.relative_to(level)))
            spellings.setdefault(class_name, set()).add(spelt)
            works.append(
                Work(
                    file_name=readable_name(name),
                    labels={label: class_name},
                    picture=FileBelow(files.folder, name),
                    work_id=readable_name(name),
                    split=levels[level],
                )
            )
    if not works:
        raise DataError(
            f"{files.folder} has neither a works.csv nor sub-folders with pictures; "
            f"make a folder for each {label}, or a works.csv with the columns path and {label}"
        )
    notes = _notes(spellings, nested, ignored)
    if not insist:
        check_class_names(files.folder, label, inside)
    return Catalogue(
        works, class_names(works), notes=notes, reading=[f"classes of {label} from folder names"]
    )


def _notes(
    spellings: Mapping[str, set[str]], nested: Mapping[str, set[str]], ignored: Counter[str]
) -> list[str]:
    """What the user should know of folders and files that are no plain class with its pictures."""
    notes = [
        f"the folders {' and '.join(sorted(spelt))} are one class"
        for spelt in spellings.values()
        if len(spelt) > 1
    ]
    if nested:
        folders = sorted(readable_name(name) for names in nested.values() for name in names)
        shown = f"{folders[0]}{', …' if len(folders) > 1 else ''}"
        notes.append(
            f"{len(folders):,} folders inside class folders ({shown}) belong to the class above: "
            f"{', '.join(sorted(nested)[:_NAMED])}"
        )
    if ignored:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in ignored.most_common(5))
        notes.append(f"files that are no pictures of a class: {kinds}")
    return notes


def class_levels(
    files: PictureFiles, *, insist: bool = False
) -> list[tuple[str | None, PurePosixPath]]:
    """The folders whose sub-folders are classes, each with its split if there are split folders.

    Raises:
      DataError: if it is unclear which these are.
    """
    return _Tree(files, insist).levels(_ROOT, None)


class _Tree:
    """The folders that have pictures, in them or below."""

    def __init__(self, files: PictureFiles, insist: bool) -> None:
        self.root = files.folder
        self._insist = insist
        self.below: dict[PurePosixPath, set[str]] = {}
        self.with_pictures = {PurePosixPath(name).parent for name in files.pictures}
        for folder in self.with_pictures:
            for inner in (folder, *folder.parents):
                if inner != _ROOT:
                    self.below.setdefault(inner.parent, set()).add(inner.name)

    def levels(
        self, folder: PurePosixPath, split: str | None
    ) -> list[tuple[str | None, PurePosixPath]]:
        names = sorted(self.below.get(folder, ()))
        inner = [folder / name for name in names]
        splits = [None if split else split_named(name) for name in names]
        if names and all(splits):
            return [
                level
                for sub, of in zip(inner, splits, strict=True)
                for level in self.levels(sub, of)
            ]
        if len(names) == 1:
            return self._levels_in_one(inner[0], split)
        if names and all(map(_is_wrapper, inner)):
            with_classes = [sub for sub in inner if self.levels(sub, split)]
            if len(with_classes) > 1:
                raise self._unclear(
                    with_classes, "each has class folders; move all but one elsewhere"
                )
            return [level for sub in with_classes for level in self.levels(sub, split)]
        for sub, of in zip(inner, splits, strict=True):
            if not (of or _is_wrapper(sub)) or self._insist:
                continue
            other = next(other for other in inner if not split_named(other.name))
            if sub in self.below and sub not in self.with_pictures:
                raise self._unclear(
                    [sub, other],
                    "the first looks like a folder of classes, the second like a class; rename "
                    f"'{sub.name}' if it is a class, or move one of them elsewhere",
                )
            raise self._unclear(
                [sub, other],
                "the first looks like a folder of pictures without a class, the second like a class; "
                f"move '{sub.name}' elsewhere, or, if it is a class, rename it or {INSIST}",
            )
        return [(split, folder)] if names else []

    def _levels_in_one(
        self, only: PurePosixPath, split: str | None
    ) -> list[tuple[str | None, PurePosixPath]]:
        wraps = _is_wrapper(only) or split_named(only.name)
        if only in self.with_pictures:
            return [] if wraps else [(split, only.parent)]
        # In a split folder, one folder with sub-folders can be its only class.
        return self.levels(only, split) if wraps or not split else [(split, only.parent)]

    def _unclear(self, folders: Iterable[PurePosixPath], what: str) -> DataError:
        return DataError(f"{' and '.join(f'{self.root / folder}' for folder in folders)}: {what}")


def _is_wrapper(folder: PurePosixPath) -> bool:
    return folder.name.lower() in _WRAPPERS
