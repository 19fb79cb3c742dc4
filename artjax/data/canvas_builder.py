"""Writes canvases, or the positions of the images in the TFRecords. All later runs use them."""

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

from artjax.data import colours, reports, tfrecords
from artjax.data.decoding import PILLOW_FORMATS, is_plain_jpeg, squash
from artjax.data.prepared import Prepared
from artjax.errors import DataError
from artjax.runtime import locks, resources
from artjax.runtime.tensorflow_import import import_tensorflow

_Item = TypeVar("_Item")
_LEFTOVER_AGE_S = 24 * 3600


def bytes_needed_for(prepared: Prepared, size: int) -> float:
    """Bytes of the canvases of all splits, plus 5 %."""
    return 1.05 * sum(prepared.splits.values()) * size * size * 3


def build(prepared: Prepared, size: int, directory: Path, image_feature: str) -> None:
    """Writes all files to a temporary folder, and renames it to `directory` when it is complete.

    With a size of 0 it writes the positions of the images instead of canvases. The colours of each work
    are counted in the same pass, unless that was done for canvases of another size.

    Raises:
      DataError: if the folder cannot be written, or the disk has no room.
    """
    bytes_needed = bytes_needed_for(prepared, size)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        free = resources.on_disk(directory)
        if free < bytes_needed:
            raise DataError(
                f"canvases of {size} px need {resources.format_bytes(bytes_needed)} in "
                f"{directory.parent}, where {resources.format_bytes(free)} are free; free some space, "
                "set another folder with --canvas_dir, or train without canvases with "
                "--config.source=stream"
            )
        _remove_leftovers(directory)
        partial = Path(
            tempfile.mkdtemp(prefix=f"{directory.name}.incomplete-", dir=directory.parent)
        )
    except OSError as error:
        raise DataError(
            f"cannot write canvases to {directory.parent} ({error.strerror}); set another folder with "
            "--canvas_dir"
        ) from error
    try:
        total = sum(prepared.splits.values())
        action = f"canvases {size} px" if size else "indexing images"
        counted = colours.are_there(directory.parent, prepared, image_feature)
        with tqdm(total=total, desc=action, unit="image", delay=2) as bar:
            counts = {
                split: _build_split(
                    prepared, split, works, size, partial, image_feature, not counted, bar
                )
                for split, works in prepared.splits.items()
            }
        description = asdict(prepared) | {"directory": str(prepared.directory)}
        (partial / "canvases.json").write_text(
            json.dumps(
                {"size": size, "image_feature": image_feature, "prepared": description},
                indent=2,
                sort_keys=True,
            )
            + "\n"
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
    if not counted:
        _write_colours(directory.parent, prepared, image_feature, counts)


def count_colours(prepared: Prepared, folder: Path, image_feature: str) -> None:
    """Counts the colours of a collection that has canvases, but not its colours: an earlier version's.

    If that is impossible it prints why: nothing but the colour-histogram baseline needs them.

    Args:
      prepared: the set, with its TFRecords.
      folder: the collection's folder, in which its canvases of all sizes are.
      image_feature: the feature that holds the image.
    """
    if colours.are_there(folder, prepared, image_feature):
        return
    with locks.after_others(folder, "counting colours"):
        if colours.are_there(folder, prepared, image_feature):
            return
        if not os.access(folder, os.W_OK):  # known before minutes of work
            print(f"no colour histograms: {folder} cannot be written", flush=True)
            return
        counts = {}
        try:
            total = sum(prepared.splits.values())
            with tqdm(total=total, desc="counting colours", unit="image", delay=2) as bar:
                for split, works in prepared.splits.items():
                    counts[split] = np.empty((works, colours.BINS), np.uint16)
                    examples = read_examples(prepared, split, image_feature)
                    made = _parallel(lambda e: colours.count_encoded(e[image_feature]), examples)
                    for i, of_work in enumerate(made):
                        counts[split][i] = of_work
                        bar.update()
        except DataError as error:
            print(f"no colour histograms: {error}", flush=True)
            return
        _write_colours(folder, prepared, image_feature, counts)


def _write_colours(
    folder: Path, prepared: Prepared, image_feature: str, counts: dict[str, np.ndarray]
) -> None:
    try:
        colours.write(folder, prepared, image_feature, counts)
    except OSError as error:
        print(f"no colour histograms: {folder} cannot be written ({error.strerror})", flush=True)


def _build_split(
    prepared: Prepared,
    split: str,
    works: int,
    size: int,
    directory: Path,
    image_feature: str,
    count: bool,
    bar: tqdm,
) -> np.ndarray:
    """Writes one split; returns what `colours.write` needs of it, or an array of no bins."""
    examples = read_examples(prepared, split, image_feature)
    counts = np.empty((works, colours.BINS if count else 0), np.uint16)

    def counts_of(example: dict[str, Any]) -> Any:
        return colours.count_encoded(example[image_feature]) if count else ()

    if size:
        items: np.ndarray = np.lib.format.open_memmap(
            directory / f"{split}.images.npy",
            mode="w+",
            dtype=np.uint8,
            shape=(works, size, size, 3),
        )
        made = _parallel(lambda e: (*squash(e[image_feature], size), e, counts_of(e)), examples)
    else:
        items = np.empty((works, 5), np.int64)
        files = tfrecords.files_of(prepared.directory, split)
        found = _with_positions(files, examples, image_feature)
        made = _parallel(lambda work: (*work, counts_of(work[-1])), found)
    columns: dict[str, Any] = {
        f"label/{label}": np.full(works, -1, np.int32) for label in prepared.labels
    }
    columns["aspect"] = np.ones(works, np.float32)
    columns["year"] = np.full(works, -1, np.int32)
    file_names, work_ids = [], []
    for i, (item, aspect, example, colours_of_work) in enumerate(made):
        items[i] = item
        counts[i] = colours_of_work
        columns["aspect"][i] = aspect
        columns["year"][i] = example.get("year", -1)
        for label in prepared.labels:
            columns[f"label/{label}"][i] = example[label]
        # Sets that artjax did not prepare have no file names. The position serves as the key.
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
    return counts


def read_examples(prepared: Prepared, split: str, image_feature: str) -> Iterator[dict[str, Any]]:
    """Yields the examples of a split in the order of its records, with encoded images.

    The canvases have the same order.

    Raises:
      DataError: if TensorFlow or TFDS is not installed, or the examples have no such feature.
    """
    try:
        import_tensorflow()
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"reading the TFRecords of '{prepared.name}' needs tensorflow-cpu and "
            f"tensorflow-datasets, which cannot be imported ({error}); "
            "install them, or copy the canvases from a machine where they were built"
        ) from error
    builder = tfds.builder_from_directory(str(prepared.directory))
    if image_feature not in builder.info.features:
        has = ", ".join(sorted(builder.info.features))
        raise DataError(
            f"'{prepared.name}' has no image feature '{image_feature}'; its features are {has}: set "
            "--config.image_feature"
        )
    dataset = builder.as_dataset(
        split=split,
        decoders={image_feature: tfds.decode.SkipDecoding()},
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    yield from tfds.as_numpy(dataset)


def _with_positions(
    files: list[Path], examples: Iterator[dict[str, Any]], image_feature: str
) -> Iterator[tuple[tuple[int, ...], float, dict[str, Any]]]:
    """For each work: (file, offset, length, width, height), true width / height, and the example."""
    to_find, to_yield = tee(examples)
    positions = tfrecords.find_pictures(files, (example[image_feature] for example in to_find))
    for position, example in zip(positions, to_yield, strict=True):
        with Image.open(io.BytesIO(example[image_feature]), formats=PILLOW_FORMATS) as image:
            sides = image.size if is_plain_jpeg(image) else (0, 0)
            yield (*position, *sides), image.width / image.height, example


def _parallel(function: Any, items: Iterable[_Item]) -> Iterator[Any]:
    """An ordered `map` over threads that holds few items at once. Pillow releases the GIL."""
    workers = os.cpu_count() or 1
    iterator = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(iterator, 16 * workers)):
            yield from pool.map(function, chunk)


def _remove_leftovers(directory: Path) -> None:
    """Removes the folders of killed processes. A recent one may still be written by another process."""
    for path in directory.parent.glob(f"{directory.name}.incomplete-*"):
        if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)
