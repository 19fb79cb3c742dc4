"""Which prepared set a collection's name means; the same rules for TFRecords and copied canvases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artjax.data import collections
from artjax.errors import DataError

if TYPE_CHECKING:
    from artjax.data.prepared import Prepared

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def version_folders(root: Path, marker: str) -> list[tuple[str, Path]]:
    """(name, version folder) of every set below a folder: NAME/VERSION or NAME/CONFIG/VERSION.

    Args:
      root: the folder that holds the sets.
      marker: the file that a version folder must have, as a glob pattern.
    """
    folders = {
        file.parents[marker.count("/")]
        for depth in ("*/*", "*/*/*")
        for file in root.glob(f"{depth}/{marker}")
    }
    return [
        (folder.parent.relative_to(root).as_posix(), folder)
        for folder in sorted(folders)
        if _VERSION.fullmatch(folder.name)
    ]


def meant_by(collection: str, root: Path, marker: str) -> list[Path]:
    """The version folders that a name can mean: of each set the newest, sorted by the sets' names.

    Args:
      collection: `NAME`, `NAME/CONFIG` or either with `/VERSION`. A NAME that is no set by itself means
        those of all its configs.
      root: as for `version_folders`.
      marker: likewise.
    """
    there = version_folders(root, marker)
    named = [folder for name, folder in there if collection in (name, f"{name}/{folder.name}")]
    below = [folder for name, folder in there if name.startswith(f"{collection}/")]
    newest: dict[Path, Path] = {}
    for folder in sorted(named or below, key=lambda f: tuple(map(int, f.name.split(".")))):
        newest[folder.parent] = folder
    return [newest[parent] for parent in sorted(newest)]


def with_labels(sets: Sequence[Prepared], label_features: Mapping[str, str]) -> list[Prepared]:
    """Those of the sets that have a label for each task.

    Args:
      sets: what a name can mean.
      label_features: for each task, the name of the feature that holds its label.
    """
    return [one for one in sets if one.labels.keys() >= set(label_features.values())]


def choose(
    collection: str, label_features: Mapping[str, str], sets: Sequence[Prepared]
) -> Prepared:
    """The one set that a name means for these labels; never one of several at random.

    Of several sets with the labels, `collections.default_config` is taken.

    Args:
      collection: the name, as the user gave it.
      label_features: for each task, the name of the feature that holds its label.
      sets: what the name can mean, at least one, from `meant_by`.

    Raises:
      DataError: if none of them has the labels, or several have them and none is the default.
    """
    fitting = with_labels(sets, label_features)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        if len(sets) == 1:
            sets[0].check_labels(label_features)
        has = "; ".join(f"{one.name} has {', '.join(sorted(one.labels)) or 'none'}" for one in sets)
        raise DataError(f"no set '{collection}' has {_labels(label_features)}: {has}")
    default = f"{collection}/{collections.default_config(collection, tuple(label_features))}"
    for one in fitting:
        if one.name == default:
            return one
    names = [one.name for one in fitting]
    raise DataError(
        f"'{collection}' can mean {', '.join(names[:-1])} or {names[-1]}, which have "
        f"{_labels(label_features)}\nname the one you want, as in --config CONFIG.py:{names[0]}"
    )


def _labels(label_features: Mapping[str, str]) -> str:
    features = list(dict.fromkeys(label_features.values()))
    return f"the label{'s' * (len(features) > 1)} {', '.join(features)}"
