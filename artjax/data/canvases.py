"""The working copy of a collection: every work decoded once into a memory-mapped uint8 array.

Or, where there is no room for that, an index of the works within the TFRecords.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from artjax.data import collections, reports
from artjax.data import prepared as prepared_lib
from artjax.data.canvas_builder import build, bytes_needed_for
from artjax.data.prepared import Prepared
from artjax.data.splits import split_of
from artjax.data.tfrecords import Records
from artjax.errors import DataError
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import resources
from artjax.runtime.resources import in_words

_STREAMED = "streamed"
_READERS = 8  # threads; more than fill the memory's bandwidth
_WORTH_THREADS = 2**20  # bytes


@dataclass(frozen=True)
class Request:
    """Which collection is wanted, and in what form.

    Attributes:
      collection: name of a prepared set: `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`.
      label_features: name of the feature that holds the label, by task.
      image_feature: name of the feature that holds the picture.
      canvas_size: side of a canvas in pixels.
      source: where batches are to come from: `auto`, `device`, `host` or `stream`.
    """

    collection: str
    label_features: dict[str, str]
    canvas_size: int
    image_feature: str = "image"
    source: str = "auto"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The labels that are wanted."""
        return tuple(self.label_features)


@dataclass(frozen=True)
class Split:
    """Works of one split, in a fixed order, all with at least one of the labels asked for.

    Attributes:
      name: `train`, `validation` or `test`.
      images: all canvases of the file, memory-mapped uint8 [M, S, S, 3]; or where to decode them from.
      rows: which of them belong to this split, int64 [N].
      aspect: true width / height, float32 [N].
      labels: by task, int32 [N], -1 = unknown.
      file_names: unique keys, str [N].
      left_out: works of the split that have none of the labels asked for.
      years: int32 [N], -1 = unknown; empty where nobody knows.
      source: the split of the prepared set that the canvases are of.
    """

    name: str
    images: np.ndarray | Records
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
        images = take(self.images, self.rows[indices])
        return {"image": images} | self.columns(indices)

    def columns(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """All but the pictures: `aspect` [n], `label/<task>` [n]."""
        aspect = {"aspect": self.aspect[indices]}
        return aspect | {f"label/{task}": values[indices] for task, values in self.labels.items()}


@dataclass(frozen=True)
class Canvases:
    """All works of a prepared set as canvases of one size, which are on the disk or decoded when read.

    Attributes:
      directory: where the files are.
      prepared: the description of the set that they were made from.
      size: side of a canvas in pixels.
      why_streamed: why they are not on the disk; empty where they are.
    """

    directory: Path
    prepared: Prepared
    size: int
    why_streamed: str = ""

    def images(self, source: str) -> np.ndarray | Records:
        """The canvases of a split of the prepared set, uint8 [M, S, S, 3]."""
        if not self.why_streamed:
            images: np.ndarray = np.load(self.directory / f"{source}.images.npy", mmap_mode="r")
            return images
        with np.load(self.directory / f"{source}.places.npz") as index:
            files = [self.prepared.directory / str(name) for name in index["files"]]
            return Records(files, index["places"], index["sides"], self.size)

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
        images = self.images(source)
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
        """The folder with `skipped.csv`, `splits.csv` and `near_duplicates.csv`, where there are any."""
        copied = (self.directory / reports.SPLITS_CSV).is_file()
        return self.directory if copied else self.prepared.directory


def open_collection(request: Request, data_dir: Path, canvas_dir: Path | None) -> Canvases:
    """Opens the canvases of a collection; builds them first if they are missing or out of date.

    With the source `stream`, and with `auto` where the disk has no room for them, only the places of
    the pictures in the TFRecords are noted. Where these are not on this machine, canvases copied from
    another one are used as they are. All hosts must open it together; their disks may differ, but where
    one has to stream, all do.

    Args:
      request: which collection, and in what form.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.

    Raises:
      DataError: if neither prepared data nor canvases are there, a label is lacking, the disk has no
        room, or the hosts do not have the same data.
    """
    root = canvas_dir or data_dir / "canvases"
    size = request.canvas_size
    with mesh_lib.stop_together():
        prepared, copied = _find(request, data_dir, root)
        place = root / prepared.name / prepared.version
        own_why = (
            "" if copied else _why_streamed(request.source, prepared, size, place / f"{size}px")
        )
    _check_same_data(prepared)
    host, why_streamed = _first_to_stream(own_why)
    with mesh_lib.stop_together():
        if why_streamed and copied:
            raise DataError(
                f"the TFRecords of '{prepared.name}' are not on this machine, and host {host} has to "
                f"stream from its own ({why_streamed}); give it canvases as well, or this one TFRecords"
            )
    directory = place / (_STREAMED if why_streamed else f"{size}px")
    with mesh_lib.first_process_first():
        existing = copied or _read(directory)
        if existing is None or existing.prepared.fingerprint != prepared.fingerprint:
            build(prepared, 0 if why_streamed else size, directory, request.image_feature)
            existing = _read(directory)
    assert existing is not None
    if why_streamed and not own_why:
        why_streamed = f"host {host}: {why_streamed}"
    # Where the records are now, which may not be where they were when the canvases were built.
    return replace(existing, prepared=prepared, size=size, why_streamed=why_streamed)


def is_there(
    collection: str, tasks: tuple[str, ...], data_dir: Path, canvas_dir: Path | None
) -> bool:
    """Whether a collection with these labels is prepared, or its canvases (of any size) are."""
    if prepared_lib.has_collection(collection, tasks, data_dir):
        return True
    copied = _find_copied(canvas_dir or data_dir / "canvases", collection, tasks, "*")
    return copied is not None and all(task in copied.prepared.labels for task in tasks)


def take(images: np.ndarray | Records, rows: np.ndarray) -> np.ndarray:
    """images[rows]; from an array by several threads, since one cannot read as fast as memory gives."""
    if isinstance(images, Records):
        return images[rows]
    taken = np.empty((len(rows), *images.shape[1:]), images.dtype)

    def read(begin: int, end: int) -> None:
        # `clip`, as `raise` would copy through a buffer; the rows are all there.
        np.take(images, rows[begin:end], 0, out=taken[begin:end], mode="clip")

    if taken.nbytes < _WORTH_THREADS:
        read(0, len(rows))
    else:
        ends = np.linspace(0, len(rows), min(_READERS, os.cpu_count() or 1) + 1).astype(int)
        list(_readers().map(read, ends[:-1], ends[1:]))
    return taken


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix="read")


def _find(request: Request, data_dir: Path, root: Path) -> tuple[Prepared, Canvases | None]:
    """The prepared set; and canvases that were copied here, where its TFRecords are not."""
    copied = None
    try:
        prepared = prepared_lib.find(request.collection, request.tasks, data_dir)
    except DataError:
        copied = _find_copied(root, request.collection, request.tasks, request.canvas_size)
        if copied is None:
            raise
        prepared = copied.prepared
    prepared.check_labels(request.label_features)
    return prepared, copied


def _check_same_data(prepared: Prepared) -> None:
    said = f"{prepared.name} {prepared.version} (fingerprint {prepared.fingerprint[:8]})"
    on_hosts = mesh_lib.texts_of_processes(said)
    for host, other in enumerate(on_hosts):
        if other != on_hosts[0]:
            raise DataError(
                f"the hosts have different data: {on_hosts[0]} on host 0, {other} on host {host}; copy "
                "it from one to the other"
            )


def _first_to_stream(why: str) -> tuple[int, str]:
    """The first host that has to stream, and why; an empty string where none has to."""
    whys = mesh_lib.texts_of_processes(why)
    return next(((host, why) for host, why in enumerate(whys) if why), (0, ""))


def _why_streamed(source: str, prepared: Prepared, size: int, directory: Path) -> str:
    """Why the pictures are decoded when read, or an empty string where there are to be canvases."""
    if source == "stream":
        return "as set"
    there = _read(directory)
    if source != "auto" or (there and there.prepared.fingerprint == prepared.fingerprint):
        return ""
    needed, free = bytes_needed_for(prepared, size), resources.on_disk(directory)
    if free >= needed:
        return ""
    return (
        f"canvases of {in_words(needed)} do not fit in the {in_words(free)} that are free in "
        f"{directory.parent}"
    )


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
    default = collections.default_config(collection, tasks)
    for versions in (collection, f"{collection}/{default}", f"{collection}/*"):
        directories = sorted(root.glob(f"{versions}/*/{size}px"), reverse=True)
        found = [canvases for d in directories if (canvases := _read(d)) is not None]
        if len({canvases.prepared.name for canvases in found}) == 1:
            return found[0]
    return None
