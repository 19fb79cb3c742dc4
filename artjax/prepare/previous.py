"""The set that a build replaces: it stays until the new one is complete; its pictures are used again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from artjax.data import prepared
from artjax.data.splits import SPLITS
from artjax.data.tfrecords import files_of, payloads
from artjax.errors import DataError


class StoredPicture(NamedTuple):
    """An encoded picture inside a TFRecord file; offset and length in bytes."""

    file: Path
    offset: int
    length: int

    def read_bytes(self) -> bytes:
        """The bytes of the JPEG."""
        with self.file.open("rb") as stream:
            return os.pread(stream.fileno(), self.length, self.offset)


class StoredWork(NamedTuple):
    """A work of a prepared set: where its JPEG is and its SHA-256, its split, and its labels by name."""

    jpeg: StoredPicture
    sha256: str
    split: str
    labels: Mapping[str, str]


class PreviousSet(NamedTuple):
    """A prepared set that another replaces: its works by `file_name`, and its class names by label."""

    works: Mapping[str, StoredWork]
    class_names: Mapping[str, tuple[str, ...]]


NONE = PreviousSet({}, {})


def aside(folder: Path) -> Path:
    """Where the set of a folder is kept while another takes its place. TFDS takes it for no version."""
    return folder.with_name(f"previous.{folder.name}")


def set_aside(folder: Path) -> None:
    """Moves a prepared set to where `aside` says; one that is there already is older, and goes."""
    shutil.rmtree(aside(folder), ignore_errors=True)
    folder.rename(aside(folder))


def put_back(folder: Path) -> None:
    """After a build that failed: the set before it is in its place again, if there is one."""
    if aside(folder).is_dir() and not folder.exists():
        aside(folder).rename(folder)


def remove(folder: Path) -> None:
    """After a build that succeeded, the set before it goes."""
    shutil.rmtree(aside(folder), ignore_errors=True)


def read_previous(folder: Path) -> PreviousSet:
    """What `aside` has kept of a folder; nothing where there is none, or it cannot be read.

    Reads each file once, as a whole: a gigabyte takes about a second, and the disk's time.
    """
    kept = aside(folder)
    if not kept.is_dir():
        return NONE
    try:
        names = prepared.read(kept, kept.parents[1]).labels
        works: dict[str, StoredWork] = {}
        for split in SPLITS:
            for file in files_of(kept, split):
                for offset, data in payloads(file):
                    name, work = _stored(file, offset, data, split, names)
                    works[name] = work
    except (DataError, OSError, ValueError, LookupError):
        return NONE  # all is cleaned again, as without it
    return PreviousSet(works, names)


def _stored(
    file: Path, offset: int, data: bytes, split: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[str, StoredWork]:
    features = _features(data)
    jpeg = features["image"].bytes_list.value[0]
    start = data.find(jpeg)
    labels = {
        label: of[number]
        for label, of in names.items()
        if label in features and (number := features[label].int64_list.value[0]) >= 0
    }
    name = features["file_name"].bytes_list.value[0].decode()
    picture = StoredPicture(file, offset + start, len(jpeg))
    return name, StoredWork(picture, hashlib.sha256(jpeg).hexdigest(), split, labels)


def _features(data: bytes) -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    try:
        return tf_example_pb2.Example.FromString(data).features.feature
    except Exception as error:  # protobuf has an error of its own for each of its backends
        raise ValueError("no tf.train.Example") from error
