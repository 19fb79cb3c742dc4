"""A collection as its catalogue describes it, and the choice of classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from artjax.config import LABELS
from artjax.data.reports import Double, Skipped
from artjax.data.splits import SPLITS, named


class FileBelow(NamedTuple):
    """A file by its relative path: a fifth of the memory of a `Path`, which keeps all its parts."""

    folder: Path
    name: str


@dataclass(frozen=True, slots=True)  # a museum has half a million
class Work:
    """One picture of a collection, as the catalogue has it.

    Attributes:
      file_name: the relative path with `/`: the unique key.
      labels: class names by label; unknown labels are left out.
      picture: a file, which `file` returns, or an object whose `draw()` returns uint8 RGB [H, W, 3];
        None if it is missing.
      title: or an empty string.
      year: or -1.
      year_uncertainty: how many years it may be off; -1 if nobody says, or it is not known.
      date: as the catalogue writes it, where a reader leaves it to `labels.settled`.
      work_id: shared by details and second photographs of one work.
      split: the one that an official list gives; otherwise None.
      columns: other cells of its row in the catalogue, by column.
    """

    file_name: str
    labels: Mapping[str, str]
    picture: Any = None
    title: str = ""
    year: int = -1
    work_id: str = ""
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    year_uncertainty: int = -1
    date: str = ""

    @property
    def file(self) -> Path | None:
        """The file of the picture; None if it is missing, or drawn."""
        if isinstance(self.picture, FileBelow):
            return self.picture.folder / self.picture.name
        return self.picture if isinstance(self.picture, Path) else None


@dataclass
class Catalogue:
    """What a builder reads before any picture is opened.

    Attributes:
      works: all works listed.
      class_names: by label, in the order of the class indices.
      official: splits that are a published official list.
      divided_into: the splits that works whose `split` is None are divided into; train is one of them.
      divided_by: what gave works their `split`, with its verb.
      left_out_classes: by label: class name → number of works, for classes that are too small.
      given_classes: labels whose classes were chosen without looking at which pictures are there. These
        classes all stay, also without a work, so that two builds of a part each have the same.
      notes: lines for the user.
      reading: lines for the user about how the folder was read, before a picture is opened.
      skipped: what is listed in rows that cannot be used, and is no work.
      urls: where missing pictures can be downloaded, if anywhere, by file_name.
      doubles: class names that are likely the same.
      possible_labels: columns that are no labels and could be, with the number of their classes.
    """

    works: list[Work]
    class_names: dict[str, tuple[str, ...]]
    official: tuple[str, ...] = ()
    divided_into: tuple[str, ...] = SPLITS
    divided_by: str = "the folders have"
    left_out_classes: dict[str, dict[str, int]] = field(default_factory=dict)
    given_classes: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    reading: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    doubles: Sequence[Double] = ()
    possible_labels: dict[str, int] = field(default_factory=dict)


def without_small_classes(
    catalogue: Catalogue, usable: Iterable[Work], min_works: int
) -> Catalogue:
    """Removes the classes with fewer than `min_works` works; works keep their other labels.

    Classes of `given_classes` stay, and a note names those that are too small.

    Args:
      catalogue: what is listed.
      usable: its works that have a picture; only these count, and details and second photographs of one
        work count once, since they all go to the same split.
      min_works: the smallest number of works of a class that is kept.
    """
    ids = _ids_by_class(catalogue, usable)
    small = {
        label: {name: len(works) for name, works in classes.items() if len(works) < min_works}
        for label, classes in ids.items()
    }
    notes, left_out = list(catalogue.notes), {}
    for label, classes in small.items():
        if classes and label in catalogue.given_classes:
            counts = named([f"{name} ({count})" for name, count in sorted(classes.items())])
            notes.append(
                f"{label}: {len(classes):,} of the {len(ids[label]):,} classes have fewer than "
                f"{min_works:,} works here, and stay: {counts}"
            )
        elif classes:
            left_out[label] = classes
    kept = {
        label: classes.keys() - left_out.get(label, {}).keys() for label, classes in ids.items()
    }
    return replace(_with_classes(catalogue, kept), left_out_classes=left_out, notes=notes)


def only_classes(
    catalogue: Catalogue, numbers: Mapping[str, int], names: Mapping[str, Collection[str]]
) -> Catalogue:
    """Removes all but the most frequent or the named classes; works keep their other labels.

    Which pictures are there does not decide what the classes are: see `Catalogue.given_classes`.

    Args:
      catalogue: what is listed. All works count; several with the same `work_id` count once.
      numbers: by label, the number of classes to keep; among classes of the same size, those whose
        names come first. Labels that are neither here nor in `names` keep all classes.
      names: by label, the classes to keep, in any case of letters.
    """
    spelling = {
        label: {name.casefold(): name for name in classes}
        for label, classes in catalogue.class_names.items()
    }
    named_ones = {
        label: {spelling[label].get(name.casefold(), name) for name in wanted}
        for label, wanted in names.items()
    }
    catalogue = replace(
        catalogue,
        class_names=catalogue.class_names
        | {
            label: tuple(sorted({*catalogue.class_names[label], *wanted}))
            for label, wanted in named_ones.items()
        },
    )
    ids = _ids_by_class(catalogue, catalogue.works)
    kept = {label: set(classes) for label, classes in ids.items()} | named_ones
    notes = list(catalogue.notes)
    for label, number in numbers.items():
        by_frequency = sorted(ids[label], key=lambda name: (-len(ids[label][name]), name))
        kept[label] = set(by_frequency[:number])
        others = set().union(*(ids[label][name] for name in by_frequency[number:]))
        if others:
            notes.append(
                f"{label}: the {number} most frequent of {len(by_frequency):,} classes; "
                f"{len(others):,} works of the others keep their other labels"
            )
    given = frozenset({*numbers, *names})
    return replace(_with_classes(catalogue, kept), notes=notes, given_classes=given)


def _ids_by_class(catalogue: Catalogue, works: Iterable[Work]) -> dict[str, dict[str, set[str]]]:
    """The `work_id`s of the works of each class, by label."""
    ids: dict[str, dict[str, set[str]]] = {
        label: {name: set() for name in names} for label, names in catalogue.class_names.items()
    }
    for work in works:
        for label, name in work.labels.items():
            ids[label][name].add(work.work_id)
    return ids


def _with_classes(catalogue: Catalogue, kept: Mapping[str, set[str]]) -> Catalogue:
    works = [
        work
        if all(v in kept[k] for k, v in work.labels.items())
        else replace(work, labels={k: v for k, v in work.labels.items() if v in kept[k]})
        for work in catalogue.works
    ]
    names = {
        label: tuple(name for name in classes if name in kept[label])
        for label, classes in catalogue.class_names.items()
    }
    return replace(catalogue, works=works, class_names=names)


def class_names(works: Iterable[Work]) -> dict[str, tuple[str, ...]]:
    """The sorted class names that occur, for each of `LABELS` (none, perhaps) and any other label."""
    occurring: dict[str, set[str]] = {label: set() for label in LABELS}
    for work in works:
        for label, name in work.labels.items():
            occurring.setdefault(label, set()).add(name)
    return {label: tuple(sorted(names)) for label, names in occurring.items()}
