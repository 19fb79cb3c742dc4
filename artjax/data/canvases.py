"""Canvases: every image of a collection, decoded once into a memory-mapped uint8 array.

If the disk has no room for them, there is only an index of the images in the TFRecords, and images are
decoded for each batch ("streamed").
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artjax.data import colours, reports, resolution
from artjax.data import prepared as prepared_lib
from artjax.data.canvas_builder import build, bytes_needed_for, count_colours
from artjax.data.groups import codes, linked_groups, links_of_equal, named_groups
from artjax.data.prepared import Prepared
from artjax.data.splits import SPLITS, classes_of, divide, shares_of
from artjax.data.tfrecords import Records
from artjax.data.works import Split
from artjax.errors import DataError
from artjax.runtime import locks, resources
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.resources import format_bytes

_STREAMED = "streamed"


@dataclass(frozen=True)
class Request:
    """A collection, and the form in which a run needs it.

    Attributes:
      collection: name of a prepared set: `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`.
      label_features: for each task, the name of the feature that holds its label.
      canvas_size: side of a canvas in pixels.
      image_feature: name of the feature that holds the image.
      source: where batches come from: `auto`, `device`, `host` or `stream`.
    """

    collection: str
    label_features: dict[str, str]
    canvas_size: int
    image_feature: str = "image"
    source: str = "auto"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(self.label_features)


@dataclass(frozen=True)
class Canvases:
    """All works of a prepared set as canvases of one size, stored on disk or decoded at each read.

    Attributes:
      directory: the folder of the files.
      prepared: the prepared set from which they were made.
      size: side of a canvas in pixels.
      why_streamed: why the canvases are not stored on disk; empty if they are.
      image_feature: the feature from which they were made.
    """

    directory: Path
    prepared: Prepared
    size: int
    why_streamed: str = ""
    image_feature: str = "image"

    def images(self, source: str) -> np.ndarray | Records:
        """The canvases of one split of the prepared set, uint8 [M, S, S, 3]."""
        if not self.why_streamed:
            images: np.ndarray = np.load(self.directory / f"{source}.images.npy", mmap_mode="r")
            return images
        with np.load(self.directory / f"{source}.places.npz") as index:
            files = [self.prepared.directory / str(name) for name in index["files"]]
            return Records(files, index["places"], index["sides"], self.size)

    def columns(self, source: str) -> dict[str, np.ndarray]:
        """What is known of each work of a split of the prepared set, by the name of the column."""
        with np.load(self.directory / f"{source}.works.npz") as works:
            return {key: works[key] for key in works.files}

    @property
    def works(self) -> int:
        """Number of images in all splits of the prepared set."""
        return sum(self.prepared.splits.values())

    def rows_in_collection(self, split: Split) -> np.ndarray:
        """The rows of a split's works among all images of the set, int64 [N].

        These are joined in the order of the names of their splits. So the row of a work is the same in
        every split, fold and task.
        """
        if not split.source:
            return split.rows
        before = (works for name, works in self.prepared.splits.items() if name < split.source)
        return split.rows + sum(before)

    def colours(self, split: Split) -> np.ndarray | None:
        """The colours of the works of a split, counted (`artjax.data.colours`): uint16 [N, 1040].

        They are the same for canvases of all sizes. None if the collection's folder has none, and the
        TFRecords to count them in are not on this machine.
        """
        folder, sources = self.directory.parent, self._sources(split)
        counts = colours.read(folder, self.prepared, self.image_feature, sources)
        return None if counts is None else counts[split.rows]

    def place(self, split: Split, index: int) -> tuple[str, int]:
        """Where a work of a split is: the split of the prepared set, and the row in it."""
        row = int(split.rows[index])
        for source in self._sources(split):
            works = self.prepared.splits[source]
            if row < works:
                return source, row
            row -= works
        raise IndexError(f"work {index} of {split.name} is none of the canvases")

    def _sources(self, split: Split) -> list[str]:
        """The splits of the prepared set whose images, joined, the rows of a split are of."""
        return [split.source] if split.source else sorted(self.prepared.splits)

    def values(self, split: Split, column: str) -> np.ndarray:
        """A column of `columns`, such as `label/artist`, for the works of a split, [N]."""
        tables = [self.columns(source) for source in self._sources(split)]
        return np.concatenate([table[column] for table in tables])[split.rows]

    def groups(self, split: Split, by: str = "") -> np.ndarray:
        """The group of each picture of a split, str [N]: those that are not independent of each other.

        A group are all pictures of a work, and works that are near-duplicates, directly or through
        others; also through pictures of other splits, or that are left out for want of a label. It is
        named after the first of its works in this split.

        Args:
          split: its rows are those of the canvases.
          by: as for `group_of_works`.

        Raises:
          DataError: if the set has no such label.
        """
        group_of, own = self.group_of_works(by), self.values(split, "work_id")
        return named_groups(np.asarray([group_of[work] for work in own.tolist()]), own)

    def group_of_works(self, by: str = "") -> dict[str, int]:
        """The number of the group of each work of the set, the same in all splits and folds.

        Groups are those of `groups`.

        Args:
          by: a label of the set, such as `artist`, or what it was built with as `split_by`: works with
            the same one are a group, too.

        Raises:
          DataError: if the set has no such label.
        """
        works, files = (self._of_all(column) for column in ("work_id", "file_name"))
        nodes = dict(zip(files.tolist(), works.tolist(), strict=True))
        pairs = reports.read_near_duplicates(self.reports) or []
        for row in pairs:
            for name in (row.file_name, row.near_duplicate):
                nodes.setdefault(name, f"\0{name}")  # one that is not prepared links others, too
        place = {name: i for i, name in enumerate(nodes)}
        links = [(place[row.file_name], place[row.near_duplicate]) for row in pairs]
        if by:
            links += links_of_equal(self._apart(by, files))
        numbers = linked_groups(np.asarray([*nodes.values()]), links).tolist()
        return dict(zip(nodes.values(), numbers, strict=True))

    def check_group_label(self, by: str) -> None:
        """Raises `DataError`, with the labels that there are, if works cannot be grouped by `by`."""
        if by:
            self._apart(by, self._of_all("file_name"))

    def _apart(self, by: str, files: np.ndarray) -> list[int]:
        """What each work has in a column, as a number, or -1 where it is not known."""
        if by == self.prepared.metadata.get("split_by"):
            # As the catalogue says it, also of classes that are too small to be a label.
            cells = reports.read_split_by(self.reports)
            if cells.keys() >= set(files.tolist()):
                return codes([cells[name] for name in files.tolist()])
        if by not in self.prepared.labels:
            raise DataError(
                f"'{self.prepared.name}' has no label '{by}' to group works by; it has "
                f"{', '.join(self.prepared.labels) or 'none'}"
            )
        labels: list[int] = self._of_all(f"label/{by}").tolist()
        return labels

    def _of_all(self, column: str) -> np.ndarray:
        """A column of `columns` for all works of the prepared set, in the order of its splits' names."""
        return np.concatenate([self.columns(name)[column] for name in sorted(self.prepared.splits)])

    def duplicated_in_train(self, name: str) -> set[str] | None:
        """File names of the works of a split that have a near-duplicate in the training split.

        None if the set has no list of near-duplicates.
        """
        rows = reports.read_near_duplicates(self.reports)
        return None if rows is None else reports.with_near_duplicate_in_train(rows).get(name, set())

    def split(self, name: str, label_features: dict[str, str]) -> Split:
        """Opens the works of a split that have a known label for at least one task.

        A set without a `validation` split gives a tenth of its train split for it, and a set without
        `test` another tenth. They are stratified by all labels of the set, so that a work is in the same
        split whichever labels are asked for, and cut between `groups`.

        Args:
          name: `train`, `validation` or `test`.
          label_features: for each task, the name of the feature that holds its label.

        Raises:
          DataError: if no work has a known label.
        """
        missing = [split for split in SPLITS if split not in self.prepared.splits]
        source = name if name in self.prepared.splits else "train"
        images = self.images(source)
        arrays = self.columns(source)
        keep = np.ones(len(images), bool)
        if source == "train" and missing:
            group_of = self.group_of_works(self.split_by)
            works = arrays["work_id"]
            groups = named_groups(np.asarray([group_of[work] for work in works.tolist()]), works)
            cut = divide(groups.tolist(), classes_of(arrays), shares=shares_of(missing))
            keep = np.asarray([split == name for split in cut])
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
            work_ids=arrays["work_id"][rows],
            left_out=int((keep & ~known).sum()),
            years=arrays["year"][rows],
            source=source,
        )

    def is_of(self, prepared: Prepared, image_feature: str) -> bool:
        """Whether they were made from this state of the set, and from this feature."""
        same_set = self.prepared.fingerprint == prepared.fingerprint
        return same_set and self.image_feature == image_feature

    @property
    def split_by(self) -> str:
        """What works are kept in one split by, such as `artist`; empty if nothing."""
        return str(self.prepared.metadata.get("split_by", ""))

    @property
    def reports(self) -> Path:
        """The folder of `skipped.csv`, `splits.csv` and `near_duplicates.csv`, if the set has them."""
        copied = (self.directory / reports.SPLITS_CSV).is_file()
        return self.directory if copied else self.prepared.directory


def open_collection(request: Request, data_dir: Path, canvas_dir: Path | None) -> Canvases:
    """Opens the canvases of a collection, and builds them first if they are missing or out of date.

    The source `stream` stores no canvases, only the positions of the images in the TFRecords. So does
    `auto` if the disk has no room. If the TFRecords are not on this machine, canvases that were copied
    from another machine are used. All processes must call this together. Their disks may differ, but if
    one process has to stream, all stream.

    Args:
      request: the collection and its form.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.

    Raises:
      DataError: if there are neither prepared data nor canvases, a label is missing, the disk has no
        room, or the processes have different data.
    """
    root = canvas_dir or data_dir / "canvases"
    size = request.canvas_size
    with mesh_lib.stop_together():
        prepared, copied = _find(request, data_dir, root)
        place = root / prepared.name / prepared.version
        own_why = "" if copied else _why_streamed(request, prepared, place / f"{size}px")
    _check_same_data(prepared)
    process, why_streamed = _first_to_stream(own_why)
    with mesh_lib.stop_together():
        if why_streamed and copied:
            raise DataError(
                f"the TFRecords of '{prepared.name}' are not on this machine, but process {process} has "
                f"to stream from its own ({why_streamed}); copy the canvases to that process's machine, "
                "or the TFRecords to this one"
            )
    directory = place / (_STREAMED if why_streamed else f"{size}px")
    with mesh_lib.first_process_first():
        existing = copied or _read_if_of(directory, prepared, request.image_feature)
        if existing is None:
            with locks.after_others(place, "building canvases"):
                existing = _read_if_of(directory, prepared, request.image_feature)
                if existing is None:
                    build(prepared, 0 if why_streamed else size, directory, request.image_feature)
                    existing = _read(directory)
        if not copied:
            count_colours(prepared, place, request.image_feature)
    assert existing is not None
    if why_streamed and not own_why:
        why_streamed = f"process {process}: {why_streamed}"
    # The prepared set may have been moved since the canvases were built: use its present folder.
    return replace(existing, prepared=prepared, size=size, why_streamed=why_streamed)


def is_there(
    collection: str, tasks: tuple[str, ...], data_dir: Path, canvas_dir: Path | None
) -> bool:
    """Whether there is a set with these labels for `open_collection`, or canvases of it of any size.

    Where there are several, opening asks which one is meant.
    """
    sets, _ = _meant_by(collection, data_dir, canvas_dir or data_dir / "canvases")
    return bool(resolution.with_labels(sets, {task: task for task in tasks}))


def _find(request: Request, data_dir: Path, root: Path) -> tuple[Prepared, Canvases | None]:
    """The prepared set, and copied canvases if its TFRecords are not on this machine."""
    sets, copies = _meant_by(request.collection, data_dir, root)
    if not sets:
        raise prepared_lib.not_built(request.collection, request.tasks, data_dir)
    prepared = resolution.choose(request.collection, request.label_features, sets)
    copied = None
    if copies:
        copied = _of_size(copies[sets.index(prepared)], request.canvas_size)
        prepared = copied.prepared
        prepared.check_labels(request.label_features)  # other sizes may be older
    if "train" not in prepared.splits:
        raise DataError(
            f"'{prepared.name}' has no train split to learn from; it has "
            f"{', '.join(sorted(prepared.splits)) or 'no split at all'}"
        )
    return prepared, copied


def _meant_by(
    collection: str, data_dir: Path, root: Path
) -> tuple[list[Prepared], list[list[Canvases]]]:
    """The sets that a name can mean; and their canvases of all sizes, if nothing of it is prepared.

    Which set a name means must not depend on what was trained before, or at which size. So canvases do
    not matter where anything of that name is prepared, and their size never does.
    """
    sets = prepared_lib.sets_of(collection, data_dir)
    if sets:
        return sets, []
    folders = resolution.meant_by(collection, root, "*px/canvases.json")
    copies = [_copies(folder) for folder in folders]
    return [of_one_set[0].prepared for of_one_set in copies], copies


def _copies(version: Path) -> list[Canvases]:
    """The canvases in the folder of a version, from the smallest; not those that are streamed."""
    found = [_read(file.parent) for file in version.glob("*px/canvases.json")]
    return sorted((canvases for canvases in found if canvases), key=lambda canvases: canvases.size)


def _of_size(copies: list[Canvases], size: int) -> Canvases:
    """Those of one size; raises `DataError` if there are only others."""
    for canvases in copies:
        if canvases.size == size:
            return canvases
    first = copies[0]
    sizes = " and ".join(str(canvases.size) for canvases in copies)
    raise DataError(
        f"'{first.prepared.name}' is not prepared on this machine, and its canvases in "
        f"{first.directory.parent} are of {sizes} px, not of {size} px\n"
        f"copy those of {size} px to it, or set --config.canvas_size to a size that is there"
    )


def _check_same_data(prepared: Prepared) -> None:
    own = f"{prepared.name} {prepared.version} (fingerprint {prepared.fingerprint[:8]})"
    by_process = mesh_lib.texts_of_processes(own)
    for process, other in enumerate(by_process):
        if other != by_process[0]:
            raise DataError(
                f"the processes have different data: process 0 has {by_process[0]}, process {process} "
                f"has {other}; copy the data from one machine to the other"
            )


def _first_to_stream(why: str) -> tuple[int, str]:
    """The first process that has to stream, and its reason; (0, "") if none has to."""
    reasons = mesh_lib.texts_of_processes(why)
    return next(((process, reason) for process, reason in enumerate(reasons) if reason), (0, ""))


def _why_streamed(request: Request, prepared: Prepared, directory: Path) -> str:
    """Why no canvases are stored; an empty string if they are, or will be, stored."""
    if request.source == "stream":
        return "as set"
    if request.source != "auto" or _read_if_of(directory, prepared, request.image_feature):
        return ""
    needed = bytes_needed_for(prepared, request.canvas_size)
    free = resources.on_disk(directory)
    if free >= needed:
        return ""
    return (
        f"canvases of {format_bytes(needed)} do not fit in the {format_bytes(free)} that are free in "
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
    return Canvases(
        directory,
        Prepared(**fields),
        description["size"],
        image_feature=description["image_feature"],
    )


def _read_if_of(directory: Path, prepared: Prepared, image_feature: str) -> Canvases | None:
    existing = _read(directory)
    return existing if existing and existing.is_of(prepared, image_feature) else None
