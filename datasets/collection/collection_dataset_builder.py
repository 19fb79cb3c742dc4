"""Anybody's own collection: a works.csv and pictures, or a folder for each class."""

import dataclasses
from collections import Counter
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.config import LABELS
from artjax.data.builder import WorksBuilder
from artjax.data.collections import (
    Catalogue,
    Work,
    class_names,
    read_class_folders,
    read_works_csv,
)
from artjax.data.images import SHORT_SIDE_PX
from artjax.errors import DataError


@dataclasses.dataclass(eq=False)
class CollectionConfig(tfds.core.BuilderConfig):
    """How a collection is read; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      label: what the sub-folders are, where there is no works.csv.
      min_works: classes with fewer works are left out.
      short_side_px: pictures with a longer shorter side are scaled down to it.
    """

    label: str = ""
    min_works: int = 3
    short_side_px: int = SHORT_SIDE_PX


class Builder(WorksBuilder):
    """A museum's own pictures."""

    LABELS = LABELS
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder with your pictures as --manual_dir: with a works.csv (columns path and any of "
        "artist, genre, location, style, period, title, year, work_id), or with one sub-folder for "
        "each class and --config artist (or genre, location, style, period)."
    )
    # TFDS builds all of BUILDER_CONFIGS where none is named: so only works.csv is among them.
    BUILDER_CONFIGS = [CollectionConfig(name="works", description="What works.csv lists.")]
    builder_configs = {
        "works": BUILDER_CONFIGS[0],
        **{label: CollectionConfig(name=label, label=label) for label in LABELS},
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info()

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads works.csv, or else the folders; leaves out classes with too few works."""
        config = self.builder_config
        if (manual_dir / "works.csv").is_file():
            catalogue = read_works_csv(manual_dir / "works.csv")
        elif config.label in LABELS:
            catalogue = read_class_folders(manual_dir, config.label)
        else:
            raise DataError(
                f"no works.csv in {manual_dir}; write one (columns path and any of "
                f"{', '.join(LABELS)}), or, where each class has its own sub-folder, say what they are: "
                "--config artist"
            )
        return _without_small_classes(catalogue, config.min_works)


def _without_small_classes(catalogue: Catalogue, min_works: int) -> Catalogue:
    left_out: dict[str, dict[str, int]] = {}
    for label in LABELS:
        counts = Counter(work.labels[label] for work in catalogue.works if label in work.labels)
        left_out[label] = {name: count for name, count in counts.items() if count < min_works}

    def trimmed(work: Work) -> Work:
        labels = {k: v for k, v in work.labels.items() if v not in left_out[k]}
        return dataclasses.replace(work, labels=labels)

    works = [trimmed(work) for work in catalogue.works]
    return dataclasses.replace(
        catalogue, works=works, class_names=class_names(works), left_out_classes=left_out
    )
