"""Anybody's own collection: a works.csv, a published list of pictures, or a folder for each class."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.config import LABELS
from artjax.prepare.builder import WorksBuilder, WorksConfig
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers.folder_layouts import read_folder


@dataclasses.dataclass(eq=False)
class CollectionConfig(WorksConfig):
    """How a collection is read; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      label: what the sub-folders are, if there is no works.csv.
    """

    label: str = ""
    min_works: int = 3

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        super().check()
        self.require_one_of("label", ("", *LABELS))


class Builder(WorksBuilder):
    """A museum's own pictures."""

    LABELS = LABELS
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

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info()

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads works.csv, or else a published list, or else the folders."""
        return read_folder(manual_dir, self.builder_config.label)
