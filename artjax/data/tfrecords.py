"""The encoded pictures of a split within its TFRecord files, by index, without a copy of them."""

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
_HEADER, _FOOTER = 12, 4  # bytes: the length and its checksum; the data's checksum


@dataclass(frozen=True)
class Records:
    """Pictures read where they lie and decoded each time anew, indexed like an array of canvases.

    Attributes:
      files: the TFRecord files.
      places: of each encoded picture: file, offset and length in bytes; int64 [M, 3].
      sides: width and height in pixels, int64 [M, 2]; zeros if it is no plain JPEG.
      size: side of the canvases that it makes of them.
    """

    files: Sequence[Path]
    places: np.ndarray
    sides: np.ndarray
    size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of the array of canvases."""
        return (len(self.places), self.size, self.size, 3)

    @property
    def nbytes(self) -> int:
        """Size of the encoded pictures in bytes."""
        return int(self.places[:, 2].sum())

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Canvases, the same as `canvases` keeps of them: uint8 [S, S, 3], or [n, S, S, 3] of n rows."""
        if np.ndim(rows) == 0:
            return decoding.squash(self.encoded(int(rows)), self.size)[0]

        def canvas(row: int) -> np.ndarray:
            return decoding.squash(self.encoded(row), self.size)[0]

        return self._stacked(self._pool.map(canvas, map(int, rows)), len(rows), self.size)

    def crops(self, rows: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
        """Boxes of the pictures, of which no more is decoded than is needed for them.

        Args:
          rows: which pictures, int [n].
          boxes: left, top, width and height as shares of the picture's sides, float [n, 4].
          size: side of the result in pixels.

        Returns:
          uint8 [n, size, size, 3].
        """
        crops = np.empty((len(rows), size, size, 3), np.uint8)

        def decode(part: np.ndarray) -> None:
            encoded = [self.encoded(int(row)) for row in rows[part]]
            crops[part] = decoding.crop(encoded, self.sides[rows[part]], boxes[part], size)

        parts = np.array_split(np.arange(len(rows)), os.cpu_count() or 1)
        for _ in self._pool.map(decode, (part for part in parts if len(part))):
            pass
        return crops

    def encoded(self, row: int) -> bytes:
        """The bytes of the picture file.

        Raises:
          DataError: if the file is no longer there, or shorter than it was.
        """
        file, offset, length = map(int, self.places[row])
        try:
            found = os.pread(self._descriptor(file), length, offset)
        except OSError as error:
            raise DataError(f"cannot read {self.files[file]}: {error.strerror}") from error
        if len(found) < length:
            raise DataError(f"{self.files[file]} has been cut short; build it again")
        return found

    def _descriptor(self, file: int) -> int:
        if file not in self._descriptors:
            self._descriptors[file] = os.open(self.files[file], os.O_RDONLY)
        return self._descriptors[file]

    @staticmethod
    def _stacked(images: Iterable[np.ndarray], count: int, size: int) -> np.ndarray:
        stacked = np.empty((count, size, size, 3), np.uint8)
        for place, image in zip(stacked, images, strict=True):
            place[...] = image
        return stacked

    @cached_property
    def _descriptors(self) -> dict[int, int]:
        return {}

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # One more than there are cores, for the moments in which one waits for the interpreter's lock.
        return ThreadPoolExecutor((os.cpu_count() or 1) + 1, thread_name_prefix="decode")


def files_of(directory: Path, split: str) -> list[Path]:
    """The TFRecord files of a split, in the order of their records.

    Raises:
      DataError: if there are none.
    """
    files = sorted(directory.glob(f"*-{split}.tfrecord*"))
    if not files:
        raise DataError(f"{directory} holds no TFRecord files of its split '{split}'")
    return files


def payloads(file: Path) -> Iterator[tuple[int, bytes]]:
    """The offset and the bytes of each record's data in a TFRecord file, in order.

    The format: length (8 bytes, little-endian), its checksum (4), data, its checksum (4).

    Raises:
      DataError: if it ends within a record.
    """
    with file.open("rb") as stream:
        while header := stream.read(_HEADER):
            length = _LENGTH.unpack_from(header.ljust(_HEADER, b"\0"))[0]
            offset = stream.tell()
            if offset + length + _FOOTER > os.fstat(stream.fileno()).st_size:
                raise DataError(f"{file} is no whole TFRecord file; build it again")
            yield offset, stream.read(length)
            stream.seek(_FOOTER, os.SEEK_CUR)


def find_pictures(
    files: Sequence[Path], encoded: Iterable[bytes]
) -> Iterator[tuple[int, int, int]]:
    """File, offset and length of each encoded picture.

    Args:
      files: the TFRecord files.
      encoded: the pictures, in the order of the records.

    Raises:
      DataError: if a picture is not as it is in its record.
    """
    records = ((i, *payload) for i, file in enumerate(files) for payload in payloads(file))
    for picture, (i, offset, data) in zip(encoded, records, strict=True):
        start = data.find(picture)
        if start < 0:
            raise DataError(
                f"the pictures in {files[i]} are not kept as files; train from canvases "
                "(--config.source=host)"
            )
        yield i, offset + start, len(picture)
