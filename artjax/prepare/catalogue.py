"""A collection as its catalogue describes it, and the choice of classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from artjax.config import LABELS
from artjax.data.splits import SPLITS


@dataclass(frozen=True)
class Work:
    """One picture of a collection, as the catalogue has it.

    Attributes:
      file_name: the relative path with `/`: the unique key.
      labels: class names by label; unknown labels are left out.
      picture: a file, or an object whose `draw()` returns uint8 RGB [H, W, 3]; None if it is missing.
      title: or an empty string.
      year: or -1.
      work_id: shared by details and second photographs of one work.
      split: the one that an official list gives; otherwise None.
    """

    file_name: str
    labels: Mapping[str, str]
    picture: Any = None
    title: str = ""
    year: int = -1
    work_id: str = ""
    split: str | None = None


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
      notes: lines for the user.
      urls: where missing pictures can be downloaded, if anywhere, by file_name.
    """

    works: list[Work]
    class_names: dict[str, tuple[str, ...]]
    official: tuple[str, ...] = ()
    divided_into: tuple[str, ...] = SPLITS
    divided_by: str = "the folders have"
    left_out_classes: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)


def without_small_classes(
    catalogue: Catalogue, usable: Iterable[Work], min_works: int
) -> Catalogue:
    """Removes the classes with fewer than `min_works` works; works keep their other labels.

    Args:
      catalogue: what is listed.
      usable: its works that have a picture; only these count, and details and second photographs of one
        work count once, since they all go to the same split.
      min_works: the smallest number of works of a class that is kept.
    """
    ids = _ids_by_class(catalogue, usable)
    kept = {
        label: {name for name, works in classes.items() if len(works) >= min_works}
        for label, classes in ids.items()
    }
    small = {
        label: {name: len(works) for name, works in classes.items() if len(works) < min_works}
        for label, classes in ids.items()
    }
    return replace(
        _with_classes(catalogue, kept),
        left_out_classes={label: classes for label, classes in small.items() if classes},
    )


def only_most_frequent(catalogue: Catalogue, numbers: Mapping[str, int]) -> Catalogue:
    """Removes all but the most frequent classes; works keep their other labels.

    Args:
      catalogue: what is listed. All works count, those of one `work_id` once: which pictures are there
        does not decide what the classes are.
      numbers: by label, the number of classes to keep; among classes of the same size, those whose
        names come first. Other labels keep all classes.
    """
    ids = _ids_by_class(catalogue, catalogue.works)
    kept = {label: set(classes) for label, classes in ids.items()}
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
    return replace(_with_classes(catalogue, kept), notes=notes)


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
        replace(work, labels={k: v for k, v in work.labels.items() if v in kept[k]})
        for work in catalogue.works
    ]
    names = {
        label: tuple(name for name in classes if name in kept[label])
        for label, classes in catalogue.class_names.items()
    }
    return replace(catalogue, works=works, class_names=names)


def class_names(works: Iterable[Work]) -> dict[str, tuple[str, ...]]:
    """The sorted class names that occur, for each of `LABELS`; empty for a label that does not occur."""
    occurring: dict[str, set[str]] = {label: set() for label in LABELS}
    for work in works:
        for label, name in work.labels.items():
            occurring[label].add(name)
    return {label: tuple(sorted(names)) for label, names in occurring.items()}
