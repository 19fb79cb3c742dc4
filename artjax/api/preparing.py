"""`artjax.prepare`: builds a collection from a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artjax.api.paths import AnyPath, data_dir_of, given
from artjax.api.quiet import quiet_libraries
from artjax.data import reports
from artjax.errors import ConfigError
from artjax.modes.flags import DEFAULT_BUILDER
from artjax.prepare.building import build, load_builder

# How the flags that the builders' messages name are called here.
_SPELLING = {
    "--config ": "config=",
    "--config:": "config:",
    " as --manual_dir": "",
    "--overwrite": "overwrite=True",
}


@dataclass(frozen=True)
class PreparedCollection:
    """A collection that is prepared for training.

    Attributes:
      collection: its full name, such as `collection/artist`: for `default_config`.
      version: such as `2.0.0`.
      data_dir: the data directory that holds it: for `train`.
      directory: its own folder, with the TFRecords.
      works: number of works by split.
      classes: class names by label; only labels with at least one class.
      reports: by name, such as `skipped.csv`, the tables that say what was left out, in which split each
        picture is, and what looks alike.
    """

    collection: str
    version: str
    data_dir: Path
    directory: Path
    works: Mapping[str, int]
    classes: Mapping[str, tuple[str, ...]]
    reports: Mapping[str, Path]


@quiet_libraries()
def prepare(
    folder: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    config: str | Mapping[str, Any] = "",
    *,
    collection: str = DEFAULT_BUILDER,
    overwrite: bool = False,
) -> PreparedCollection:
    """Builds a collection with TFDS, as `tfds build` does; one that is there already stays.

    Args:
      folder: with the pictures: a works.csv beside them, or a folder for each class. None for the
        synthetic `studio`.
      data_dir: TFDS's data directory; default: TFDS's own.
      config: the builder's config, such as `artist` where each artist has a folder; or settings, such as
        `{"name": "few", "min_works": 2}`. Default: the only one that the builder lists.
      collection: the builder, `collection`, `wikiart`, `wga` or `studio`.
      overwrite: build again what is there already.

    Raises:
      ConfigError: for an unknown collection, config or setting.
      DataError: if the pictures are missing, or cannot be used.
      ChangedListError: if it is there already, and the folder lists other works by now.
    """
    data_dir = data_dir_of(data_dir)
    if not config:
        listed = [known.name for known in load_builder(collection).BUILDER_CONFIGS]
        if len(listed) > 1:
            raise ConfigError(
                f"the collection '{collection}' has several configs: {', '.join(listed)}; name one, as "
                f"in config='{listed[0]}'"
            )
    prepared = build(collection, given(folder), data_dir, config, overwrite, _SPELLING)[0]
    names = (
        *(reports.SKIPPED_CSV, reports.SPLITS_CSV, reports.NEAR_DUPLICATES_CSV),
        reports.LIKELY_DOUBLES_CSV,
    )
    return PreparedCollection(
        collection=prepared.name,
        version=prepared.version,
        data_dir=data_dir,
        directory=prepared.directory,
        works=prepared.splits,
        classes=prepared.labels,
        reports={
            name: prepared.directory / name
            for name in names
            if (prepared.directory / name).is_file()
        },
    )
