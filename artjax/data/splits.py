"""Splits by a hash of the work, so that a work and its details are always in the same split."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

SPLITS = ("train", "validation", "test")
FRACTIONS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
# What publishers call them; the list is that of Hugging Face's `datasets`.
_CALLED = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF_NAME = {name: split for split, names in _CALLED.items() for name in names}


def split_of(
    work_id: str, fractions: Sequence[tuple[str, float]] = FRACTIONS, salt: str = "artjax"
) -> str:
    """The split of a work: a function of its `work_id` alone.

    Adding works therefore never moves another one. The sizes of the splits are near the fractions for
    large collections, and anything for a handful of works.

    Args:
      work_id: what details and second photographs of one work share.
      fractions: names of the splits and their shares, which sum to 1.
      salt: another one gives another cut.
    """
    text = f"{salt}\0{unicodedata.normalize('NFC', work_id)}"
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    for name, fraction in fractions:
        if place < fraction:
            return name
        place -= fraction
    return fractions[-1][0]  # only rounding leads here


def assign_splits(
    work_ids: Sequence[str],
    fixed: Sequence[str | None],
    near_duplicates: Iterable[tuple[int, int]] = (),
    fractions: Sequence[tuple[str, float]] = FRACTIONS,
    previous: Mapping[str, str] | None = None,
) -> list[str | None]:
    """The split of every picture. A work and its near-duplicates are always in the same split.

    The works are processed in order. A work that has a near-duplicate among the works before it goes to
    the same split. If it has near-duplicates in several splits, it gets none. Otherwise the hash of its
    `work_id` decides. So the split of a work depends only on the works before it: works that are added
    at the end of a catalogue move no other. If works are added in the middle, `previous` keeps the old
    ones where they are.

    Args:
      work_ids: of each picture.
      fixed: for each picture, the split that an official list or a publisher gave it, or None. It stays,
        and near-duplicates do not follow it: the lists are used as they are.
      near_duplicates: pairs of indices of pictures.
      fractions: of the splits that are cut by hash.
      previous: splits by `work_id` from an earlier build; these works are processed first, and stay.

    Returns:
      For each picture its split; None if its near-duplicates are in several.
    """
    previous = previous or {}
    order = dict.fromkeys(work for work, split in zip(work_ids, fixed, strict=True) if not split)
    near: dict[str, set[str]] = {work: set() for work in order}
    for first, second in near_duplicates:
        if not fixed[first] and not fixed[second] and work_ids[first] != work_ids[second]:
            near[work_ids[first]].add(work_ids[second])
            near[work_ids[second]].add(work_ids[first])
    names = {name for name, _ in fractions}
    decided: dict[str, str | None] = {}
    for work in sorted(order, key=lambda work: work not in previous):  # stable: else in order
        splits = {split for other in near[work] if (split := decided.get(other))}
        if len(splits) > 1:
            decided[work] = None
        elif splits:
            decided[work] = splits.pop()
        elif previous.get(work) in names:
            decided[work] = previous[work]
        else:
            decided[work] = split_of(work, fractions)
    return [split or decided[work] for work, split in zip(work_ids, fixed, strict=True)]


def split_named(name: str) -> str | None:
    """The split that a publisher's folder or cell names: `Valid` is validation, `train_1` is train."""
    return _SPLIT_OF_NAME.get(re.sub(r"[ _-]?\d*$", "", name.strip().lower()))


def split_of_folders(name: str) -> str | None:
    """The split that the folders of a path name, the outermost first."""
    return next(filter(None, map(split_named, PurePosixPath(name).parent.parts)), None)
