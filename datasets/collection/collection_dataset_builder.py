"""Anybody's own collection: a works.csv, a published list of pictures, or a folder for each class."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.config import LABELS
from artjax.prepare.builder import WorksBuilder, WorksConfig
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.bad_rows import MAX_SHARE
from artjax.prepare.readers.folder_layouts import read_folder


@dataclasses.dataclass(eq=False)
class CollectionConfig(WorksConfig):
    """How a collection is read; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      label: what the sub-folders are, if there is no works.csv.
      catalogue: the list to read, as a path below the folder; empty for the one that is found.
      picture: its column that names the pictures, by path, URL or id.
      columns: by label, or title, year, work_id or split, its column.
      rows: which of its rows count, such as `role == artist`, or `all`.
      separator: what separates several values in a cell.
      classes: "folders" insists that the sub-folders are the classes.
      max_bad_rows: the share of the rows of a list that may be left out as unusable, in [0, 1].
    """

    label: str = ""
    min_works: int = 3
    catalogue: str = ""
    picture: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rows: str = ""
    separator: str = ""
    classes: str = ""
    max_bad_rows: float = MAX_SHARE

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        super().check()
        self.require_one_of("label", ("", *LABELS))
        self.asked.check()

    @property
    def asked(self) -> Asked:
        """How the folder is to be read."""
        return Asked(
            *(self.label, self.catalogue, self.picture, self.columns, self.rows),
            *(self.separator, self.classes, self.max_bad_rows),
        )


class Builder(WorksBuilder):
    """A museum's own pictures."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder with your pictures as --manual_dir: with a works.csv (columns path and any of "
        "artist, genre, location, style, period, title, year, work_id), as Hugging Face or Kaggle "
        "publish it, or with one sub-folder for each class and --config artist (or genre, location, "
        "style, period)."
    )
    # TFDS builds all of BUILDER_CONFIGS where none is named: so only what needs no label is among them.
    BUILDER_CONFIGS = [CollectionConfig(name="works", description="What a list of works says.")]
    builder_configs = {
        "works": BUILDER_CONFIGS[0],
        **{label: CollectionConfig(name=label, label=label) for label in LABELS},
    }

    @property
    def LABELS(self) -> tuple[str, ...]:  # noqa: N802 (a constant in the other builders)
        """The usual labels, and those that the settings name."""
        return tuple(dict.fromkeys((*LABELS, *self.builder_config.asked.labels)))

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info()

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads works.csv, or else a published list, or else the folders."""
        return read_folder(manual_dir, self.builder_config.asked)
