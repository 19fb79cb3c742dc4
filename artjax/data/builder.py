"""What all our TFDS builders have in common; the only module that imports TFDS at its top."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from artjax.config import nearest
from artjax.data.cleaning import CleanedWork, clean_works
from artjax.data.collections import Catalogue, Work
from artjax.data.images import SHORT_SIDE_PX
from artjax.data.splits import FRACTIONS, split_of
from artjax.errors import ConfigError, DataError, show_plainly

SPLITS = ("train", "validation", "test")

# TFDS's command line runs the builder, so nothing of ours is around it that could catch an error.
show_plainly()


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
        self._summary: list[str] = []
        super().download_and_prepare(**settings)
        for line in self._summary:
            print(line, flush=True)
        shutil.rmtree(self._cleaned_dir(Path(self.data_dir)), ignore_errors=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        catalogue = self.read_catalogue(self._manual_dir(dl_manager))
        folder = Path(self.data_dir)  # the unfinished one, which is renamed when all is written
        cleaned = clean_works(
            catalogue.works, self._cleaned_dir(folder), self.short_side_px, self.processes
        )
        splits = [work.split or split_of(work.work_id, self.FRACTIONS) for work in catalogue.works]
        kept: dict[str, list[tuple[Work, CleanedWork]]] = {split: [] for split in SPLITS}
        skipped = []
        for work, picture, split in zip(catalogue.works, cleaned, splits, strict=True):
            if picture.jpeg is None:
                skipped.append((work.file_name, split, picture.problem))
            elif not work.labels:
                skipped.append((work.file_name, split, "its class has too few works"))
            else:
                kept[split].append((work, picture))
        self._check(catalogue, kept, skipped)
        _write_skipped(folder / "skipped.csv", skipped)
        for label in self.LABELS:
            self.info.features[label].names = list(catalogue.class_names[label])
        listed = Counter(splits)
        self.info.metadata.update(
            {
                "listed": {split: listed[split] for split in SPLITS},
                "official": list(catalogue.official),
                "skipped": len(skipped),
                "left_out_classes": catalogue.left_out_classes,
                "content_sha256": _digest(kept),
                **self.METADATA,
            }
        )
        self._summary = self._summarise(catalogue, kept, listed, skipped)
        return {split: self._generate_examples(works) for split, works in kept.items()}

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
    def processes(self) -> int | None:
        """How many processes clean pictures; None is one for each core."""
        return None

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

    def _check(
        self,
        catalogue: Catalogue,
        kept: dict[str, list[tuple[Work, CleanedWork]]],
        skipped: Sequence[tuple[str, str, str]],
    ) -> None:
        """Raises `DataError` if a split or a class would be empty, or there is nothing to tell apart."""
        works = sum(map(len, kept.values()))
        first = f"; the first of them: {skipped[0][0]}: {skipped[0][2]}" if skipped else ""
        labels = [label for label in self.LABELS if len(catalogue.class_names[label]) > 1]
        if not labels:
            counts = {label: len(names) for label, names in catalogue.class_names.items() if names}
            raise DataError(
                "fewer than two classes are left to tell apart"
                + (f" ({counts})" if counts else "")
                + _left_out_text(catalogue)
            )
        if not works:
            raise DataError(
                f"none of the {len(catalogue.works):,} works that are listed has a usable picture{first}"
            )
        for split in SPLITS:
            if not kept[split]:
                raise DataError(
                    f"the {split} split would be empty: {works:,} usable works of "
                    f"{len(catalogue.works):,} listed are too few, or all of this split's are missing"
                    f"{first}"
                )
        if not catalogue.official:
            return
        for label in labels:
            in_train = {work.labels.get(label) for work, _ in kept["train"]}
            empty = [name for name in catalogue.class_names[label] if name not in in_train]
            if empty:
                raise DataError(
                    f"no picture of the train split is there for the {label} class(es) "
                    f"{', '.join(empty)}; add their pictures{first}"
                )

    def _summarise(
        self,
        catalogue: Catalogue,
        kept: dict[str, list[tuple[Work, CleanedWork]]],
        listed: Counter[str],
        skipped: Sequence[tuple[str, str, str]],
    ) -> list[str]:
        lines = [f"note: {note}" for note in catalogue.notes]
        for split in SPLITS:
            of = "of the official list's" if split in catalogue.official else "of"
            lines.append(f"{split}: {len(kept[split]):,} {of} {listed[split]:,} works")
            for label in self.LABELS:
                there = {work.labels.get(label) for work, _ in kept[split]}
                empty = [name for name in catalogue.class_names[label] if name not in there]
                if empty and split != "train" and catalogue.official:
                    lines.append(f"warning: no {split} picture for {', '.join(empty)}")
        text = _left_out_text(catalogue)
        if text:
            lines.append(f"left out{text}")
        if skipped:
            where = Path(self.data_dir).parent / str(self.VERSION) / "skipped.csv"
            reasons = Counter(reason for _, _, reason in skipped).most_common(3)
            shown = "; ".join(f"{count:,} × {reason}" for reason, count in reasons)
            lines.append(f"skipped: {len(skipped):,} works ({shown}), named in {where}")
        return lines


def _left_out_text(catalogue: Catalogue) -> str:
    parts = []
    for label, classes in catalogue.left_out_classes.items():
        if classes:
            names = ", ".join(f"{name} ({count})" for name, count in sorted(classes.items()))
            parts.append(f"; {label} classes with too few works: {names}")
    return "".join(parts)


def _write_skipped(path: Path, skipped: Sequence[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file_name", "split", "reason"])
    writer.writerows(skipped)
    path.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def _digest(kept: dict[str, list[tuple[Work, CleanedWork]]]) -> str:
    """Changes when any work, label or pixel does, whatever TFDS's records look like."""
    digest = hashlib.sha256()
    for split, works in sorted(kept.items()):
        for work, picture in sorted(works, key=lambda pair: pair[0].file_name):
            row = [split, work.file_name, work.work_id, work.year, sorted(work.labels.items())]
            digest.update(json.dumps([*row, picture.sha256]).encode())
    return digest.hexdigest()
