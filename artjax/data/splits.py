"""Splits: their names, their shares, and how works are divided between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from artjax.data.stratification import stratify

SPLITS = ("train", "validation", "test")
SHARES = (0.8, 0.1, 0.1)
_NAMED = 20  # classes in a line; the files have all of them
# What publishers call them; the list is from Hugging Face's `datasets`.
_CALLED = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF_NAME = {name: split for split, names in _CALLED.items() for name in names}


def shares_of(splits: Iterable[str], shares: Sequence[float] = SHARES) -> dict[str, float]:
    """The shares of some of the splits, with train; train has what the others leave."""
    held_out = {
        split: share
        for split, share in zip(SPLITS, shares, strict=True)
        if split in splits and split != "train"
    }
    return {"train": 1.0 - sum(held_out.values()), **held_out}


def divide(
    work_ids: Sequence[str],
    classes: Sequence[Iterable[Hashable]],
    near_duplicates: Iterable[tuple[int, int]] = (),
    shares: Mapping[str, float] | None = None,
    previous: Mapping[str, str] | None = None,
    only_train: Set[int] = frozenset(),
    only_link: Set[int] = frozenset(),
    *,
    by_pictures: bool = False,
    seed: int = 0,
) -> list[str | None]:
    """The split of every picture: stratified by class, with a work and its near-duplicates in one split.

    Works that are near-duplicates of each other, directly or through others, are a group. Groups are
    divided by `stratification.stratify`.

    Args:
      work_ids: of each picture.
      classes: of each picture, such as pairs of label and class name.
      near_duplicates: pairs of indices of pictures.
      shares: by split; default `shares_of(SPLITS)`.
      previous: splits by `work_id` from an earlier build. These works stay; new ones join those that
        they look like, or fill up.
      only_train: indices of pictures whose groups are for train, unless they stay elsewhere.
      only_link: indices of pictures that are not divided themselves: through them, others are one group.
      by_pictures: see `stratify`.
      seed: another one divides otherwise.

    Returns:
      For each picture its split; None if it looks like pictures of different splits that stay, or for
      one that links nothing but itself.
    """
    shares = shares_of(SPLITS) if shares is None else shares
    stay = {work: s for work, s in (previous or {}).items() if s in shares}
    group_of = group_keys(work_ids, near_duplicates, stay)
    groups: dict[str, list[Hashable]] = {}
    assigned: dict[str, str] = {}
    for i, (work, of_picture) in enumerate(zip(work_ids, classes, strict=True)):
        key = group_of[work]
        if key is not None and i not in only_link:
            groups.setdefault(key, []).extend(of_picture)
            if work in stay:
                assigned[key] = stay[work]
            elif i in only_train:
                assigned.setdefault(key, "train")
    splits = stratify(groups, shares, assigned, by_pictures=by_pictures, seed=seed)
    return [None if (key := group_of[work]) is None else splits.get(key) for work in work_ids]


def group_keys(
    work_ids: Sequence[str],
    near_duplicates: Iterable[tuple[int, int]],
    stay: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str | None]:
    """The key of each work's group: works that are near-duplicates, directly or through others.

    Args:
      work_ids: of each picture.
      near_duplicates: pairs of indices of pictures.
      stay: the splits, by `work_id`, of works that stay where they are.

    Returns:
      By `work_id` the key, or None if the work would link works that stay in different splits.
    """
    near: dict[str, set[str]] = {work: set() for work in work_ids}
    for first, second in near_duplicates:
        if work_ids[first] != work_ids[second]:
            near[work_ids[first]].add(work_ids[second])
            near[work_ids[second]].add(work_ids[first])
    members: dict[str, list[str]] = {}
    group_of: dict[str, str | None] = {}
    split_of: dict[str, str] = {}
    # Those that stay come first (the sort is stable), so that only later works are left out.
    for work in sorted(near, key=lambda work: work not in stay):
        linked = {key for other in near[work] if (key := group_of.get(other)) is not None}
        splits = {split_of[key] for key in linked if key in split_of}
        if work in stay:
            splits.add(stay[work])
        if len(splits) > 1:
            group_of[work] = None
            continue
        together = [work, *(other for key in linked for other in members.pop(key))]
        key = min(together)
        members[key] = together
        group_of.update(dict.fromkeys(together, key))
        if splits:
            split_of[key] = splits.pop()
    return group_of


def classes_of(columns: Mapping[str, np.ndarray]) -> list[list[tuple[str, int]]]:
    """The known classes of each work, with their labels, from columns such as `label/artist`."""
    labels = {key: of.tolist() for key, of in columns.items() if key.startswith("label/")}
    return [
        [(name, number) for name, number in zip(labels, numbers, strict=True) if number >= 0]
        for numbers in zip(*labels.values(), strict=True)
    ]


def uncovered(
    class_names: Sequence[str], works: Mapping[str, Mapping[str, int]]
) -> dict[str, list[str]]:
    """The classes without a work, by split; only splits that have some.

    Args:
      class_names: of a label.
      works: by split, the number of works by class name.
    """
    without = {
        split: [name for name in class_names if not counts.get(name)]
        for split, counts in works.items()
    }
    return {split: names for split, names in without.items() if names}


def uncovered_in_words(
    label: str, number_of_classes: int, without: Mapping[str, Sequence[str]]
) -> list[str]:
    """What `uncovered` found, a line for each split: "11 of 33 artists have no test work: …"."""
    return [
        f"{len(names)} of {number_of_classes} {label}s {'has' if len(names) == 1 else 'have'} no "
        f"{split} work: {named(names)}"
        for split, names in without.items()
    ]


def named(names: Sequence[str]) -> str:
    """The names in one line, which says how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def count_classes(labels: Iterable[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """By label, the number of works by class name; `labels` has a mapping for each work."""
    counts: dict[str, Counter[str]] = {}
    for of_work in labels:
        for label, name in of_work.items():
            counts.setdefault(label, Counter())[name] += 1
    return counts


def split_named(name: str) -> str | None:
    """The split that a publisher's folder or cell names: `Valid` is validation, `train_1` is train."""
    return _SPLIT_OF_NAME.get(re.sub(r"[ _-]?\d*$", "", name.strip().lower()))


def split_of_folders(name: str) -> str | None:
    """The split that the folders of a path name, the outermost first."""
    return next(filter(None, map(split_named, PurePosixPath(name).parent.parts)), None)
