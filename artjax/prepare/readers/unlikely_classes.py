"""Names of folders that are hardly classes: shards of a store of files, and identifiers of works."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from artjax.errors import DataError
from artjax.prepare.readers.filename_repair import canonical_name

INSIST = 'insist with the setting "classes": "folders"'
# A store spreads its files over folders called like the beginning of what is in them: A/A00001_8.jpg.
# Words are longer, and people write Ada/Ada_1.jpg.
_SHARD = re.compile(r".{1,2}|\d+")
_HASHED = re.compile(r"[0-9a-f]{2,3}")
_HASHES = 32  # so many folders that are all called like two digits of a hash are no classes
# Accession numbers (N01234, 1975.1.35, PD.12-1950), UUIDs and other hashes, and plain numbers.
_IDENTIFIER = re.compile(
    r"[a-z]{0,3}[ ._-]?\d[\d._-]*[a-z]?|(?=.*\d)[0-9a-f-]{8,}|(?=.*\d\D?\d)[\w.-]+"
)
_MOSTLY = 0.8
_NAMED = 6


def check_class_names(folder: Path, label: str, inside: Mapping[str, Sequence[str]]) -> None:
    """Raises `DataError` if folders are hardly classes: one line that says why and what to do.

    Args:
      folder: the collection.
      label: what the folders would be classes of.
      inside: by class, the file or folder in it that each of its pictures is, or is in.
    """
    names = sorted(inside)
    why = _shards(names, inside) or _identifiers(names, inside)
    if why and len(names) > 1:
        raise DataError(
            f"{folder}: the folders {', '.join(names[:_NAMED])}{', …' * (len(names) > _NAMED)} are "
            f"hardly classes of {label}, since {why}; put a works.csv with the columns path and {label} "
            f"there, or, if they are classes, {INSIST}"
        )


def _shards(names: Sequence[str], inside: Mapping[str, Sequence[str]]) -> str:
    if len(names) >= _HASHES and all(_HASHED.fullmatch(name.lower()) for name in names):
        return "they are all called like the beginning of a hash or a number"
    if not all(map(_SHARD.fullmatch, names)):
        return ""
    files = [(name, file) for name in names for file in inside[name]]
    begin = [
        canonical_name(file).startswith(canonical_name(name)) and file[len(name) :][:1].isalnum()
        for name, file in files
    ]
    if sum(begin) >= _MOSTLY * len(files):
        name, file = files[begin.index(True)]
        return f"what is in them begins with their names ({name}/{file})"
    return ""


def _identifiers(names: Sequence[str], inside: Mapping[str, Sequence[str]]) -> str:
    alike = sum(_IDENTIFIER.fullmatch(name.lower()) is not None for name in names)
    pictures = median(len(files) for files in inside.values())
    if alike >= _MOSTLY * len(names) and pictures <= 2:
        return f"they look like numbers of works, with {pictures:g} picture each"
    return ""
