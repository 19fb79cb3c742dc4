"""The working copy of a collection: every work decoded once into a memory-mapped uint8 array."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from artjax import config as config_lib
from artjax.data import prepared as prepared_lib
from artjax.data import reports
from artjax.data.prepared import Prepared
from artjax.data.splits import split_of
from artjax.errors import DataError

_Item = TypeVar("_Item")
_LEFTOVER_AGE_S = 24 * 3600


@dataclass(frozen=True)
class Split:
    """Works of one split, in a fixed order, all with at least one of the labels asked for.

    Attributes:
      name: `train`, `validation` or `test`.
      images: all canvases of the file, memory-mapped uint8 [M, S, S, 3].
      rows: which of them belong to this split, int64 [N].
      aspect: true width / height, float32 [N].
      labels: by task, int32 [N], -1 = unknown.
      file_names: unique keys, str [N].
      left_out: works of the split that have none of the labels asked for.
      years: int32 [N], -1 = unknown; empty where nobody knows.
      source: the split of the prepared set that the canvases are of.
    """

    name: str
    images: np.ndarray
    rows: np.ndarray
    aspect: np.ndarray
    labels: dict[str, np.ndarray]
    file_names: np.ndarray
    left_out: int = 0
    years: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    source: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Reads works by index: `image` uint8 [n, S, S, 3], `aspect` [n], `label/<task>` [n]."""
        batch = {"image": self.images[self.rows[indices]], "aspect": self.aspect[indices]}
        return batch | {f"label/{task}": values[indices] for task, values in self.labels.items()}


@dataclass(frozen=True)
class Canvases:
    """All canvases of a prepared set at one size.

    Attributes:
      directory: where the files are.
      prepared: the description of the set that they were made from.
      size: side of a canvas in pixels.
    """

    directory: Path
    prepared: Prepared
    size: int

    def split(self, name: str, label_features: dict[str, str]) -> Split:
        """Opens a split, with its works that have at least one of the labels.

        A set without a `validation` split gives a tenth of its train split for it, cut by a hash of
        the work; a set without `test` gives another tenth for that.

        Args:
          name: `train`, `validation` or `test`.
          label_features: name of the feature that holds the label, by task.

        Raises:
          DataError: if no work is left.
        """
        missing = [s for s in ("validation", "test") if s not in self.prepared.splits]
        source = name if name in self.prepared.splits else "train"
        images = np.load(self.directory / f"{source}.images.npy", mmap_mode="r")
        with np.load(self.directory / f"{source}.works.npz") as works:
            arrays = {key: works[key] for key in works.files}
        keep = np.ones(len(images), bool)
        if source == "train" and missing:
            cut = [split_of(work) for work in arrays["work_id"]]
            part = [s if s in missing else "train" for s in cut]
            keep = np.asarray([s == name for s in part])
        known = np.zeros(len(images), bool)
        for feature in label_features.values():
            known |= arrays[f"label/{feature}"] >= 0
        rows = np.flatnonzero(keep & known)
        if not len(rows):
            raise DataError(
                f"no work in the {name} split of '{self.prepared.name}' has a label for "
                f"{', '.join(label_features)}"
            )
        return Split(
            name=name,
            images=images,
            rows=rows,
            aspect=arrays["aspect"][rows],
            labels={task: arrays[f"label/{f}"][rows] for task, f in label_features.items()},
            file_names=arrays["file_name"][rows],
            left_out=int((keep & ~known).sum()),
            years=arrays["year"][rows],
            source=source,
        )

    @property
    def reports(self) -> Path:
        """The folder with `skipped.csv`, `splits.csv` and `twins.csv`, as far as there are such."""
        copied = (self.directory / reports.PLACED).is_file()
        return self.directory if copied else self.prepared.directory


def open_collection(config: ConfigDict, data_dir: Path, canvas_dir: Path | None) -> Canvases:
    """Opens the canvases of a collection; builds them first if they are missing or out of date.

    Where the TFRecords are not on this machine, canvases copied from another one are used as they are.

    Args:
      config: `collection`, `task`, the features and the canvas size are read.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.

    Raises:
      DataError: if neither prepared data nor canvases are there, a label is lacking, or the disk has no
        room.
    """
    root = canvas_dir or data_dir / "canvases"
    size = config_lib.canvas_size(config)
    features = config_lib.label_features(config)
    try:
        prepared = prepared_lib.find(config.collection, config.task, data_dir)
    except DataError:
        copied = _find_copied(root, config.collection, config.task, size)
        if copied is None:
            raise
        copied.prepared.check_labels(features)
        return copied
    prepared.check_labels(features)
    directory = root / prepared.name / prepared.version / f"{size}px"
    existing = _read(directory)
    if existing is None or existing.prepared.fingerprint != prepared.fingerprint:
        _build(prepared, size, directory, config.image_feature)
        existing = _read(directory)
        assert existing is not None
    return existing


def is_there(
    collection: str, tasks: tuple[str, ...], data_dir: Path, canvas_dir: Path | None
) -> bool:
    """Whether a collection with these labels is prepared, or its canvases (of any size) are."""
    if prepared_lib.has_collection(collection, tasks, data_dir):
        return True
    copied = _find_copied(canvas_dir or data_dir / "canvases", collection, tasks, "*")
    return copied is not None and all(task in copied.prepared.labels for task in tasks)


def squash(picture: bytes, size: int) -> tuple[np.ndarray, float]:
    """Decodes an encoded upright picture and squashes the whole of it to a canvas.

    Args:
      picture: the bytes of a JPEG (or anything else that Pillow reads).
      size: side of the canvas in pixels.

    Returns:
      The canvas, uint8 [size, size, 3], and the picture's true width / height.
    """
    with Image.open(io.BytesIO(picture)) as image:
        width, height = image.size
        image.draft("RGB", (2 * size, 2 * size))  # never decode far more pixels than are kept
        canvas = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(canvas), width / height


def _build(prepared: Prepared, size: int, directory: Path, image_feature: str) -> None:
    """Writes all files into a folder beside `directory`, which takes its place when it is whole."""
    bytes_needed = sum(prepared.splits.values()) * size * size * 3
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory.parent).free
        if free < bytes_needed * 1.05:
            raise DataError(
                f"canvases of {size} px need {bytes_needed / 1e9:.1f} GB in {directory.parent}, where "
                f"{free / 1e9:.1f} GB are free; make room or give another place with --canvas_dir"
            )
        _remove_leftovers(directory)
        partial = Path(
            tempfile.mkdtemp(prefix=f"{directory.name}.incomplete-", dir=directory.parent)
        )
    except OSError as error:
        raise DataError(
            f"cannot write canvases to {directory.parent} ({error.strerror}); give a place with "
            "--canvas_dir"
        ) from error
    try:
        total = sum(prepared.splits.values())
        with tqdm(total=total, desc=f"canvases {size} px", unit="work", delay=2) as bar:
            for split, works in prepared.splits.items():
                _build_split(prepared, split, works, size, partial, image_feature, bar)
        description = asdict(prepared) | {"directory": str(prepared.directory)}
        (partial / "canvases.json").write_text(
            json.dumps({"size": size, "prepared": description}, indent=2, sort_keys=True) + "\n"
        )
        for name in (reports.SKIPPED, reports.PLACED, reports.TWINS):
            if (prepared.directory / name).is_file():
                shutil.copyfile(prepared.directory / name, partial / name)
        partial.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(partial, directory)
    except OSError as error:
        raise DataError(f"writing canvases to {directory} failed: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _build_split(
    prepared: Prepared,
    split: str,
    works: int,
    size: int,
    directory: Path,
    image_feature: str,
    bar: tqdm,
) -> None:
    images = np.lib.format.open_memmap(
        directory / f"{split}.images.npy", mode="w+", dtype=np.uint8, shape=(works, size, size, 3)
    )
    columns: dict[str, Any] = {
        f"label/{label}": np.full(works, -1, np.int32) for label in prepared.labels
    }
    columns["aspect"] = np.ones(works, np.float32)
    columns["year"] = np.full(works, -1, np.int32)
    file_names, work_ids = [], []

    def decode(example: dict[str, Any]) -> tuple[np.ndarray, float, dict[str, Any]]:
        return *squash(example[image_feature], size), example

    examples = read_examples(prepared, split, image_feature)
    for i, (canvas, aspect, example) in enumerate(_parallel(decode, examples)):
        images[i] = canvas
        columns["aspect"][i] = aspect
        columns["year"][i] = example.get("year", -1)
        for label in prepared.labels:
            columns[f"label/{label}"][i] = example[label]
        # Sets that artjax did not prepare have no file names; the position is as good a key.
        key = example.get("file_name", b"").decode() or f"{split}-{i:06d}"
        file_names.append(key)
        work_ids.append(example.get("work_id", b"").decode() or key)
        bar.update()
    images.flush()
    np.savez(
        directory / f"{split}.works.npz",
        file_name=np.asarray(file_names, dtype=np.str_),
        work_id=np.asarray(work_ids, dtype=np.str_),
        **columns,
    )


def read_examples(prepared: Prepared, split: str, image_feature: str) -> Iterator[dict[str, Any]]:
    """Examples of a split in the order of its records, which is that of its canvases; pictures encoded.

    Raises:
      DataError: if they cannot be read here, or have no such feature.
    """
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"reading the TFRecords of '{prepared.name}' needs tensorflow-cpu and "
            f"tensorflow-datasets, which cannot be imported here ({error}); "
            "install them, or copy the canvases from a machine where they were built"
        ) from error
    tf.config.set_visible_devices([], "GPU")
    builder = tfds.builder_from_directory(str(prepared.directory))
    if image_feature not in builder.info.features:
        has = ", ".join(sorted(builder.info.features))
        raise DataError(
            f"'{prepared.name}' has no feature '{image_feature}' to take the picture from; it has "
            f"{has}: set --config.image_feature"
        )
    dataset = builder.as_dataset(
        split=split,
        decoders={image_feature: tfds.decode.SkipDecoding()},
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    yield from tfds.as_numpy(dataset)


def _parallel(function: Any, items: Iterable[_Item]) -> Iterator[Any]:
    """`map` over threads (Pillow decodes outside the interpreter's lock), in order, few in flight."""
    workers = os.cpu_count() or 1
    iterator = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(iterator, 16 * workers)):
            yield from pool.map(function, chunk)


def _read(directory: Path) -> Canvases | None:
    file = directory / "canvases.json"
    if not file.is_file():
        return None
    description = json.loads(file.read_text())
    fields = description["prepared"]
    fields["directory"] = Path(fields["directory"])
    fields["labels"] = {label: tuple(names) for label, names in fields["labels"].items()}
    return Canvases(directory, Prepared(**fields), description["size"])


def _find_copied(
    root: Path, collection: str, tasks: tuple[str, ...], size: int | str
) -> Canvases | None:
    # A set without config, the config that is meant, or the only one that there is.
    default = prepared_lib.default_config(collection, tasks)
    for versions in (collection, f"{collection}/{default}", f"{collection}/*"):
        directories = sorted(root.glob(f"{versions}/*/{size}px"), reverse=True)
        found = [canvases for d in directories if (canvases := _read(d)) is not None]
        if len({canvases.prepared.name for canvases in found}) == 1:
            return found[0]
    return None


def _remove_leftovers(directory: Path) -> None:
    """Removes what a killed process left, but never what another one is writing just now."""
    for path in directory.parent.glob(f"{directory.name}.incomplete-*"):
        if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)
