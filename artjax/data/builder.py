"""What all our TFDS builders have in common; the only module that imports TFDS at its top."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from artjax.config import nearest
from artjax.data.cleaning import CleanedWork, clean_works
from artjax.data.collections import Catalogue, Work
from artjax.data.images import SHORT_SIDE_PX
from artjax.data.selection import select
from artjax.data.splits import FRACTIONS
from artjax.errors import ConfigError, DataError, show_plainly

# TFDS's command line runs the builder, so nothing of ours is around it that could catch an error.
show_plainly()


def _serialize_in_order(serializer: ExampleSerializer, example: Any) -> bytes:
    return serializer.get_tf_example(example).SerializeToString(deterministic=True)


# TFDS leaves the order of an example's features to protobuf, which draws it anew in each process: the
# same pictures would give other bytes each time. Here, at import, it holds in Beam's workers as well.
ExampleSerializer.serialize_example = _serialize_in_order


# mypy sees `object` where TFDS is not followed; TFDS's base class takes the keyword.
class WorksBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Cleans the pictures of a catalogue, cuts splits, checks them, and writes what was left out.

    A builder says what it is (`_info`, by way of `works_info`) and reads its catalogue.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    LABELS: ClassVar[tuple[str, ...]] = ()
    FRACTIONS: ClassVar[tuple[tuple[str, float], ...]] = FRACTIONS
    SHORT_SIDE_PX: ClassVar[int] = SHORT_SIDE_PX
    METADATA: ClassVar[dict[str, Any]] = {}

    def __init__(self, *, config: Any = None, **settings: Any) -> None:
        if isinstance(config, str) and config.partition(":")[0] not in self.builder_configs:
            valid = ", ".join(self.builder_configs)
            near = nearest(config, self.builder_configs)
            raise ConfigError(f"--config {config}: {self.name} has the configs {valid}{near}")
        if not isinstance(config, str | None) and config is not self.builder_configs.get(
            config.name, config
        ):
            raise ConfigError(
                f"--config: the name '{config.name}' is taken by a config of {self.name}; "
                "choose another"
            )
        super().__init__(config=config, **settings)

    def read_catalogue(self, manual_dir: Path | None) -> Catalogue:
        """Reads the collection's own catalogue; no picture is opened.

        Args:
          manual_dir: the folder that the user gave; None for builders that need none.

        Raises:
          DataError: if it is missing or cannot be meant.
        """
        raise TypeError(f"{type(self).__name__} must define read_catalogue")

    def works_info(self, **described: Any) -> tfds.core.DatasetInfo:
        """The DatasetInfo with the features that every prepared set has, and `LABELS`."""
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    **{label: tfds.features.ClassLabel() for label in self.LABELS},
                    "title": tfds.features.Text(),
                    "year": np.int32,
                    "file_name": tfds.features.Text(),
                    "work_id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", self.LABELS[0]),
            metadata=tfds.core.MetadataDict(),
            **described,
        )

    def download_and_prepare(self, **settings: Any) -> None:
        """As TFDS does; at the end, says what is there and what was left out."""
        self._summary = [
            f"{self.info.full_name} is prepared already, and was left as it is: {self.data_dir} "
            "(--overwrite builds it anew)"
        ]
        super().download_and_prepare(**settings)
        for line in self._summary:
            print(line, flush=True)
        shutil.rmtree(self._cleaned_dir(Path(self.data_dir)), ignore_errors=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        catalogue = self.read_catalogue(self._manual_dir(dl_manager))
        folder = Path(self.data_dir)  # the unfinished one, which is renamed when all is written
        cleaned = clean_works(catalogue.works, self._cleaned_dir(folder), self.short_side_px)
        selection = select(catalogue, cleaned, self.FRACTIONS, self.min_works)
        selection.check()
        selection.write_skipped(folder / "skipped.csv")
        for label in self.LABELS:
            self.info.features[label].names = list(selection.catalogue.class_names[label])
        self.info.metadata.update(
            {**selection.metadata(), "short_side_px": self.short_side_px, **self.METADATA}
        )
        self._summary = selection.summary(folder.parent / str(self.VERSION) / "skipped.csv")
        return {split: self._generate_examples(works) for split, works in selection.kept.items()}

    def _generate_examples(
        self, works: Sequence[tuple[Work, CleanedWork]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for work, picture in works:
            assert picture.jpeg is not None
            yield (
                work.file_name,
                {
                    "image": picture.jpeg.read_bytes(),
                    **{label: work.labels.get(label, -1) for label in self.LABELS},
                    "title": work.title,
                    "year": work.year,
                    "file_name": work.file_name,
                    "work_id": work.work_id,
                },
            )

    @property
    def short_side_px(self) -> int:
        """Longest shorter side of a prepared picture: the config's, where it has one."""
        return getattr(self.builder_config, "short_side_px", self.SHORT_SIDE_PX)

    @property
    def min_works(self) -> int:
        """Smallest number of works of a class that is kept: the config's, where it has one."""
        return getattr(self.builder_config, "min_works", 1)

    def _manual_dir(self, dl_manager: tfds.download.DownloadManager) -> Path | None:
        if self.MANUAL_DOWNLOAD_INSTRUCTIONS is None:
            return None
        try:
            return Path(dl_manager.manual_dir)
        except AssertionError as error:  # how TFDS says that the folder is missing or empty
            where = str(error).partition("Manual directory ")[2].partition(" does not exist")[0]
            instructions = " ".join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
            raise DataError(f"no pictures in {where or '--manual_dir'}. {instructions}") from error

    def _cleaned_dir(self, data_dir: Path) -> Path:
        return data_dir.parent / f"cleaned.{self.VERSION}"
