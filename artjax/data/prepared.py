"""Finds prepared data (a TFDS version folder) and reads its description, without TFDS."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artjax.config import nearest
from artjax.data import collections, resolution
from artjax.errors import DataError

_MARKER = "dataset_info.json"  # the file that makes a folder a prepared version


@dataclass(frozen=True)
class Prepared:
    """A prepared image set, as its files describe it.

    Attributes:
      name: `studio`, `wikiart/artist` …
      version: such as `1.0.0`.
      directory: TFDS's version folder with the TFRecords.
      splits: number of works by split.
      labels: class names by label; only labels with at least one class.
      metadata: what the builder recorded (`listed`, `official`, `skipped` …); `{}` for foreign sets.
      fingerprint: changes when the prepared data changes.
    """

    name: str
    version: str
    directory: Path
    splits: dict[str, int]
    labels: dict[str, tuple[str, ...]]
    metadata: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def official_works(self, split: str) -> int | None:
        """Number of works on the official list of `split`, or None where there is no such list."""
        if split not in self.metadata.get("official", []):
            return None
        return int(self.metadata["listed"][split])

    def check_labels(self, label_features: Mapping[str, str]) -> None:
        """Raises `DataError`, with the labels that it has, if one of the features is no label of it."""
        for task, feature in label_features.items():
            if feature not in self.labels:
                has = ", ".join(sorted(self.labels)) or "no label at all"
                raise DataError(
                    f"'{self.name}' has no label '{feature}' for the task '{task}'; it has {has}"
                    + self._instead_of(feature)
                )

    def _instead_of(self, feature: str) -> str:
        """What else may be meant by a label that it has not: a column of its list, or a similar name."""
        columns = self.metadata.get("possible_labels", {})
        if feature in columns:
            return (
                f"; its list has a column '{feature}', which is a label if the collection is built with "
                f'"labels": ["{feature}"]'
            )
        return nearest(feature, [*self.labels, *columns])


def default_data_dir() -> Path:
    """TFDS's own default: $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def find(collection: str, tasks: tuple[str, ...], data_dir: Path) -> Prepared:
    """Finds the prepared set that a name means for some labels, in its newest version.

    Args:
      collection: `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`.
      tasks: the labels that it must have.
      data_dir: TFDS's data directory.

    Raises:
      DataError: if it does not exist (the message says how to build it, or what exists), has not these
        labels, or is one of several (see `resolution.choose`).
    """
    sets = sets_of(collection, data_dir)
    if not sets:
        raise not_built(collection, tasks, data_dir)
    return resolution.choose(collection, {task: task for task in tasks}, sets)


def sets_of(collection: str, data_dir: Path) -> list[Prepared]:
    """All prepared sets that a name can mean, each in its newest version; see `resolution.meant_by`."""
    return [read(path, data_dir) for path in resolution.meant_by(collection, data_dir, _MARKER)]


def available(data_dir: Path) -> list[str]:
    """Names of all prepared sets under a data directory, sorted."""
    return sorted({name for name, _ in resolution.version_folders(data_dir, _MARKER)})


def not_built(collection: str, tasks: tuple[str, ...], data_dir: Path) -> DataError:
    """The error for a name of which nothing is prepared: how to build it, or what exists."""
    there = available(data_dir)
    command = collections.build_command(collection, tasks, data_dir)
    if command:
        advice = f"build it with `{command}`"
    else:
        name = collection.partition("/")[0]
        near = difflib.get_close_matches(name, [*collections.names(), *there], n=1)
        advice = f"did you mean '{near[0]}'?" if near else "prepare it with TFDS first"
    listed = f" (prepared there: {', '.join(there)})" if there else ""
    return DataError(
        f"no prepared data set '{collection}' under {data_dir}{listed}; {advice}\n"
        f"or train on the embedded sample: --config CONFIG.py:{collections.sample()}"
    )


def read(directory: Path, data_dir: Path) -> Prepared:
    """Reads the description of one version folder.

    Raises:
      DataError: if it does not hold a prepared TFDS image set.
    """
    try:
        info = json.loads((directory / _MARKER).read_text())
        features = json.loads((directory / "features.json").read_text())
        features = features["featuresDict"]["features"]
        splits = {s["name"]: sum(map(int, s.get("shardLengths", []))) for s in info["splits"]}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{directory} is no prepared TFDS set ({error}); build it again") from error
    metadata_file = directory / "metadata.json"
    metadata = json.loads(metadata_file.read_text()) if metadata_file.is_file() else {}
    labels = {}
    for name, feature in features.items():
        if feature.get("pythonClassName", "").endswith(".ClassLabel"):
            names = _class_names(directory / f"{name}.labels.txt", feature)
            if names:
                labels[name] = names
    return Prepared(
        name=str(directory.parent.relative_to(data_dir)),
        version=directory.name,
        directory=directory,
        splits=splits,
        labels=labels,
        metadata=metadata,
        fingerprint=_fingerprint(directory),
    )


def _class_names(labels_file: Path, feature: dict[str, Any]) -> tuple[str, ...]:
    if labels_file.is_file():
        return tuple(line for line in labels_file.read_text().splitlines() if line)
    return tuple(map(str, range(int(feature.get("classLabel", {}).get("numClasses", 0)))))


def _fingerprint(directory: Path) -> str:
    """Digest of all descriptions (our builders put a digest of every work there) and shard sizes."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.suffix == ".json" or path.name.endswith(".labels.txt"):
            digest.update(f"{path.name}\0".encode() + _without_place(path))
        elif ".tfrecord" in path.name:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def _without_place(file: Path) -> bytes:
    """The content of a description, without the folder that the pictures came from: it may move."""
    content = file.read_bytes()
    if file.name == "metadata.json":
        metadata = json.loads(content)
        if metadata.pop("manual_dir", None) is not None:
            return json.dumps(metadata, sort_keys=True).encode()
    return content
