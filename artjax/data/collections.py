"""The collections that have a builder here: what the messages, the defaults and the recipes say of each.

To add one, add a folder to `datasets/` and an entry to `COLLECTIONS`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from artjax.places import has_repository

Tasks = tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """A collection with a builder in `datasets/<name>`.

    Attributes:
      name: as in `datasets/<name>` and `--config CONFIG.py:<name>`.
      default_config: from the tasks to the TFDS config to build and read where none is named; None if
        there is nothing to name when it is built.
      manual_dir: whether the user has to bring the pictures.
      preferred_for: whether a config that names no collection takes this one for the tasks, where it is
        prepared; of several the first.
      recipe: the size that the recipe in `configs/common.py` is made for.
      synthetic: whether its pictures are drawn by a program; such a collection is the sample.
      own_configs: names of the builder's configs, where others are made by settings; None if all are
        the builder's.
      one_source: whether a work id means the same work in all its configs, whoever prepared them.
    """

    name: str
    default_config: Callable[[Tasks], str] | None = None
    manual_dir: bool = True
    preferred_for: Callable[[Tasks], bool] = lambda tasks: False
    recipe: Literal["small", "large"] = "large"
    synthetic: bool = False
    own_configs: tuple[str, ...] | None = None
    one_source: bool = True


def _first(tasks: Tasks) -> str:
    return tasks[0]


COLLECTIONS = (
    Collection(
        "wikiart",
        default_config=_first,
        # Each of its labels is in a config of its own.
        preferred_for=lambda tasks: tasks in (("artist",), ("genre",), ("style",)),
    ),
    Collection("wga", default_config=lambda tasks: "baumer_chen", preferred_for=lambda tasks: True),
    Collection(
        "collection",
        recipe="small",
        own_configs=("works", "artist", "genre", "location", "style", "period"),
        one_source=False,
    ),
    Collection("studio", manual_dir=False, recipe="small", synthetic=True),
)


def find(name: str) -> Collection | None:
    """The entry of a collection, given as `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`; else None."""
    return next((entry for entry in COLLECTIONS if entry.name == name.partition("/")[0]), None)


def names() -> list[str]:
    """The names of all entries."""
    return [entry.name for entry in COLLECTIONS]


def sample() -> str:
    """The collection that needs no pictures to be brought: the synthetic one."""
    return next(entry.name for entry in COLLECTIONS if entry.synthetic)


def preferred(tasks: Tasks) -> str:
    """The collection that is taken for the tasks where none is named and it is prepared."""
    return next(entry.name for entry in COLLECTIONS if entry.preferred_for(tasks))


def default_config(name: str, tasks: Tasks) -> str:
    """The TFDS config to read where a set has several and none is named.

    Unless the entry says otherwise, it is called like the first task (`wikiart` → `wikiart/artist`).
    """
    entry = find(name)
    return entry.default_config(tasks) if entry and entry.default_config else _first(tasks)


def build_command(collection: str, tasks: Tasks, data_dir: object) -> str | None:
    """The command that builds a collection, given as `NAME` or `NAME/CONFIG`; None without a builder."""
    entry = find(collection)
    if entry is None:
        return None
    config = collection.partition("/")[2]
    if not config and entry.default_config:
        config = entry.default_config(tasks)
    elif entry.own_configs and config and config not in entry.own_configs:
        config = shlex.quote(json.dumps({"name": config}))
    folder = "FOLDER_WITH_THE_PICTURES" if entry.manual_dir else ""
    if has_repository():
        words = [f"tfds build datasets/{entry.name}"]
        words += [f"--config {config}"] * bool(config) + [f"--manual_dir {folder}"] * bool(folder)
    else:
        words = ["artjax --mode prepare", *[folder] * bool(folder), f"--collection {entry.name}"]
        words += [f"--builder_config {config}"] * bool(config)
    return " ".join([*words, f"--data_dir {data_dir}"])
