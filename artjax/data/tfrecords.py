"""Reads the encoded images of a split directly from its TFRecord files, by index."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from artjax.data import decoding
from artjax.errors import DataError

_LENGTH = struct.Struct("<Q")
_HEADER, _FOOTER = 12, 4  # bytes: length and its checksum before the data; checksum after it


@dataclass(frozen=True)
class Records:
    """Images in TFRecord files, indexed like an array of canvases and decoded at each read.

    Attributes:
      files: the TFRecord files.
      places: position of each encoded image: file, offset and length in bytes; int64 [M, 3].
      sides: width and height in pixels, int64 [M, 2]; zeros if the image is not a plain JPEG.
      size: side of a canvas in pixels.
    """

    files: Sequence[Path]
    places: np.ndarray
    sides: np.ndarray
    size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the corresponding array of canvases."""
        return (len(self.places), self.size, self.size, 3)

    @property
    def nbytes(self) -> int:
        """Size of all encoded images in bytes."""
        return int(self.places[:, 2].sum())

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Decodes canvases: uint8 [S, S, 3] for one row, [n, S, S, 3] for n rows.

        They equal the stored canvases.
        """
        if np.ndim(rows) == 0:
            return decoding.squash(self.encoded(int(rows)), self.size)[0]

        def canvas(row: int) -> np.ndarray:
            return decoding.squash(self.encoded(row), self.size)[0]

        return self._stacked(self._pool.map(canvas, map(int, rows)), len(rows), self.size)

    def crops(self, rows: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
        """Decodes one box of each image; see `decoding.crop`.

        Args:
          rows: the images, int [n].
          boxes: left, top, width and height as shares of the image's sides, float [n, 4].
          size: side of the result in pixels.

        Returns:
          uint8 [n, size, size, 3].
        """
        crops = np.empty((len(rows), size, size, 3), np.uint8)

        def decode(chunk: np.ndarray) -> None:
            encoded = [self.encoded(int(row)) for row in rows[chunk]]
            crops[chunk] = decoding.crop(encoded, self.sides[rows[chunk]], boxes[chunk], size)

        chunks = np.array_split(np.arange(len(rows)), os.cpu_count() or 1)
        for _ in self._pool.map(decode, (chunk for chunk in chunks if len(chunk))):
            pass
        return crops

    def encoded(self, row: int) -> bytes:
        """The bytes of the image file.

        Raises:
          DataError: if the TFRecord file is missing, or shorter than it was.
        """
        file, offset, length = map(int, self.places[row])
        try:
            found = os.pread(self._descriptor(file), length, offset)
        except OSError as error:
            raise DataError(f"cannot read {self.files[file]}: {error.strerror}") from error
        if len(found) < length:
            raise DataError(f"{self.files[file]} is truncated; build it again")
        return found

    def _descriptor(self, file: int) -> int:
        if file not in self._descriptors:
            self._descriptors[file] = os.open(self.files[file], os.O_RDONLY)
        return self._descriptors[file]

    @staticmethod
    def _stacked(images: Iterable[np.ndarray], count: int, size: int) -> np.ndarray:
        stacked = np.empty((count, size, size, 3), np.uint8)
        for row, image in zip(stacked, images, strict=True):
            row[...] = image
        return stacked

    @cached_property
    def _descriptors(self) -> dict[int, int]:
        return {}

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # One more than the number of cores: at times one of them waits for the GIL.
        return ThreadPoolExecutor((os.cpu_count() or 1) + 1, thread_name_prefix="decode")


def files_of(directory: Path, split: str) -> list[Path]:
    """The TFRecord files of a split, in the order in which TFDS reads them.

    Raises:
      DataError: if there are none.
    """
    files = sorted(directory.glob(f"*-{split}.tfrecord*"))
    if not files:
        raise DataError(f"{directory} has no TFRecord files for the split '{split}'")
    return files


def payloads(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the offset and the data of each record of a TFRecord file, in order.

    The format of a record: length (8 bytes, little-endian), its checksum (4), data, its checksum (4).

    Raises:
      DataError: if the file ends within a record.
    """
    with file.open("rb") as stream:
        while header := stream.read(_HEADER):
            length = _LENGTH.unpack_from(header.ljust(_HEADER, b"\0"))[0]
            offset = stream.tell()
            if offset + length + _FOOTER > os.fstat(stream.fileno()).st_size:
                raise DataError(f"{file} is not a complete TFRecord file; build it again")
            yield offset, stream.read(length)
            stream.seek(_FOOTER, os.SEEK_CUR)


def find_pictures(
    files: Sequence[Path], encoded: Iterable[bytes]
) -> Iterator[tuple[int, int, int]]:
    """Yields file, offset and length of each encoded image.

    Args:
      files: the TFRecord files.
      encoded: the bytes of the images, in the order of the records.

    Raises:
      DataError: if a record does not contain the bytes of its image.
    """
    records = ((i, *payload) for i, file in enumerate(files) for payload in payloads(file))
    for picture, (i, offset, data) in zip(encoded, records, strict=True):
        start = data.find(picture)
        if start < 0:
            raise DataError(
                f"the images in {files[i]} are not stored as encoded files, so they cannot be streamed; "
                "train from canvases (--config.source=host)"
            )
        yield i, offset + start, len(picture)
