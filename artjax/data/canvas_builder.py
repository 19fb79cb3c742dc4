"""Writing canvases, or the places of the pictures within the TFRecords, once for all trainings."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice, tee
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from artjax.data import reports, tfrecords
from artjax.data.decoding import is_plain_jpeg, squash
from artjax.data.prepared import Prepared
from artjax.errors import DataError
from artjax.runtime import resources

_Item = TypeVar("_Item")
_LEFTOVER_AGE_S = 24 * 3600


def bytes_needed_for(prepared: Prepared, size: int) -> float:
    """Bytes of the canvases of all splits, with some room to spare."""
    return 1.05 * sum(prepared.splits.values()) * size * size * 3


def build(prepared: Prepared, size: int, directory: Path, image_feature: str) -> None:
    """Writes all files into a folder beside `directory`, which takes its place when it is whole.

    With a size of 0, the places of the pictures instead of canvases.
    """
    bytes_needed = bytes_needed_for(prepared, size)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        free = resources.on_disk(directory)
        if free < bytes_needed:
            raise DataError(
                f"canvases of {size} px need {resources.in_words(bytes_needed)} in {directory.parent}, "
                f"where {resources.in_words(free)} are free; make room, give another place with "
                "--canvas_dir, or do without them with --config.source=stream"
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
        doing = f"canvases {size} px" if size else "finding the works"
        with tqdm(total=total, desc=doing, unit="work", delay=2) as bar:
            for split, works in prepared.splits.items():
                _build_split(prepared, split, works, size, partial, image_feature, bar)
        description = asdict(prepared) | {"directory": str(prepared.directory)}
        (partial / "canvases.json").write_text(
            json.dumps({"size": size, "prepared": description}, indent=2, sort_keys=True) + "\n"
        )
        reports.copy_reports(prepared.directory, partial)
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
    examples = read_examples(prepared, split, image_feature)
    if size:
        items: np.ndarray = np.lib.format.open_memmap(
            directory / f"{split}.images.npy",
            mode="w+",
            dtype=np.uint8,
            shape=(works, size, size, 3),
        )
        made = _parallel(lambda e: (*squash(e[image_feature], size), e), examples)
    else:
        items = np.empty((works, 5), np.int64)
        files = tfrecords.files_of(prepared.directory, split)
        made = _placed(files, examples, image_feature)
    columns: dict[str, Any] = {
        f"label/{label}": np.full(works, -1, np.int32) for label in prepared.labels
    }
    columns["aspect"] = np.ones(works, np.float32)
    columns["year"] = np.full(works, -1, np.int32)
    file_names, work_ids = [], []
    for i, (item, aspect, example) in enumerate(made):
        items[i] = item
        columns["aspect"][i] = aspect
        columns["year"][i] = example.get("year", -1)
        for label in prepared.labels:
            columns[f"label/{label}"][i] = example[label]
        # Sets that artjax did not prepare have no file names; the position is as good a key.
        key = example.get("file_name", b"").decode() or f"{split}-{i:06d}"
        file_names.append(key)
        work_ids.append(example.get("work_id", b"").decode() or key)
        bar.update()
    if isinstance(items, np.memmap):
        items.flush()
    else:
        names = np.asarray([file.name for file in files], dtype=np.str_)
        np.savez(
            directory / f"{split}.places.npz", places=items[:, :3], sides=items[:, 3:], files=names
        )
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


def _placed(
    files: list[Path], examples: Iterator[dict[str, Any]], image_feature: str
) -> Iterator[tuple[tuple[int, ...], float, dict[str, Any]]]:
    """Place and sides, true width / height and example of each work."""
    to_find, to_yield = tee(examples)
    places = tfrecords.find_pictures(files, (example[image_feature] for example in to_find))
    for place, example in zip(places, to_yield, strict=True):
        with Image.open(io.BytesIO(example[image_feature])) as image:
            sides = image.size if is_plain_jpeg(image) else (0, 0)
            yield (*place, *sides), image.width / image.height, example


def _parallel(function: Any, items: Iterable[_Item]) -> Iterator[Any]:
    """`map` over threads (Pillow decodes outside the interpreter's lock), in order, few in flight."""
    workers = os.cpu_count() or 1
    iterator = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(iterator, 16 * workers)):
            yield from pool.map(function, chunk)


def _remove_leftovers(directory: Path) -> None:
    """Removes what a killed process left, but never what another one is writing just now."""
    for path in directory.parent.glob(f"{directory.name}.incomplete-*"):
        if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)
