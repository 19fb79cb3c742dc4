"""The works of one split, in memory or on the disk, and how they are read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from artjax.data.joined import JoinedImages
from artjax.data.tfrecords import Records

_READER_THREADS = 8  # more than enough to use all memory bandwidth
_MIN_BYTES_FOR_THREADS = 2**20


@dataclass(frozen=True)
class Split:
    """Works of one split, in a fixed order. Each has a known label for at least one task.

    Attributes:
      name: `train`, `validation` or `test`.
      images: all canvases of the file, memory-mapped uint8 [M, S, S, 3]; or the records to decode.
      rows: the rows of `images` that belong to this split, int64 [N].
      aspect: true width / height, float32 [N].
      labels: for each task, int32 [N], -1 = unknown.
      file_names: unique keys, str [N].
      left_out: number of works of the split that were left out, because all their labels are unknown.
      years: int32 [N], -1 = unknown; empty if the collection has no years.
      source: the split of the prepared set from which the works are taken; empty if they are from all of
        them, whose images are then joined in the order of their names.
      work_ids: shared by images of one work, str [N]; empty if unknown.
    """

    name: str
    images: np.ndarray | Records | JoinedImages
    rows: np.ndarray
    aspect: np.ndarray
    labels: dict[str, np.ndarray]
    file_names: np.ndarray
    left_out: int = 0
    years: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    source: str = ""
    work_ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.str_))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Size of the split's own images in bytes; `images` may have others."""
        return len(self) * self.images.nbytes // len(self.images)

    def only(self, indices: np.ndarray) -> Split:
        """The works at `indices`, int [n], in that order."""
        return replace(
            self,
            rows=self.rows[indices],
            aspect=self.aspect[indices],
            labels={task: labels[indices] for task, labels in self.labels.items()},
            file_names=self.file_names[indices],
            years=self.years[indices] if len(self.years) else self.years,
            work_ids=self.work_ids[indices] if len(self.work_ids) else self.work_ids,
        )

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Reads works by index: `image` uint8 [n, S, S, 3], `aspect` [n], `label/<task>` [n]."""
        images = take(self.images, self.rows[indices])
        return {"image": images} | self.columns(indices)

    def columns(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Everything except the images: `aspect` [n], `label/<task>` [n]."""
        aspect = {"aspect": self.aspect[indices]}
        return aspect | {f"label/{task}": values[indices] for task, values in self.labels.items()}


def take(images: np.ndarray | Records | JoinedImages, rows: np.ndarray) -> np.ndarray:
    """Returns images[rows]. An array is read by several threads: one does not use all bandwidth."""
    if not isinstance(images, np.ndarray):
        return images[rows]
    taken = np.empty((len(rows), *images.shape[1:]), images.dtype)

    def read(begin: int, end: int) -> None:
        # The mode `raise` would copy through a buffer. All rows are valid, so `clip` changes nothing.
        np.take(images, rows[begin:end], 0, out=taken[begin:end], mode="clip")

    if taken.nbytes < _MIN_BYTES_FOR_THREADS:
        read(0, len(rows))
    else:
        ends = np.linspace(0, len(rows), min(_READER_THREADS, os.cpu_count() or 1) + 1).astype(int)
        list(_reader_pool().map(read, ends[:-1], ends[1:]))
    return taken


@cache
def _reader_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="read")
