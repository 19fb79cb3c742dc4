"""Anybody's own collection: a works.csv, a published list of pictures, or a folder for each class."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import tensorflow_datasets as tfds

from artjax.config import LABELS, nearest
from artjax.data.builder import WorksBuilder
from artjax.data.collections import Catalogue
from artjax.data.images import SHORT_SIDE_PX
from artjax.data.published_folders import read_folder
from artjax.errors import ConfigError


@dataclasses.dataclass(eq=False)
class CollectionConfig(tfds.core.BuilderConfig):
    """How a collection is read; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      label: what the sub-folders are, or a column `label`, where there is no works.csv.
      min_works: classes with fewer works are left out.
      short_side_px: pictures with a longer shorter side are scaled down to it.
    """

    name: str = ""
    label: str = ""
    min_works: int = 3
    short_side_px: int = SHORT_SIDE_PX

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Refuses settings that do not exist; TFDS hands them on from the command line as they are."""
        fields = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in fields:
                raise ConfigError(f"--config: no setting '{name}'{nearest(name, fields)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Refuses values that cannot be meant."""
        if not self.name:
            raise ConfigError('--config: give the settings a name, as in {"name": "mine", …}')
        if self.label not in ("", *LABELS):
            raise ConfigError(f"--config: label '{self.label}' is none of {', '.join(LABELS)}")
        for field in ("min_works", "short_side_px"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"--config: {field} must be a whole number from 1, not {value!r}")


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
