"""In which split each work of a catalogue is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from artjax.data.splits import divide
from artjax.prepare.apart import Apart
from artjax.prepare.catalogue import Catalogue, Work
from artjax.prepare.near_duplicates import NearDuplicate


def splits_of_works(
    works: Sequence[Work],
    ours: Sequence[int],
    pairs: Sequence[NearDuplicate],
    shares: Mapping[str, float],
    by: Apart,
    stay: Mapping[str, str],
    *,
    only_train: Set[int],
    only_link: Set[int],
) -> dict[int, str]:
    """The split of each of our works, by its index; one that would link splits has none.

    Works on a list pull no others: lists are used as they are. Works of `only_link` are not divided, but
    those that look like one of them are one group.

    Args:
      works: all that are listed.
      ours: the indices of those to divide.
      pairs: near-duplicates, by index.
      shares: by split.
      by: what works are kept in one split by.
      stay: splits by `work_id` that stay.
      only_train: indices of works whose groups are for train.
      only_link: indices of works that only link others.
    """
    values = sorted({by.values[i] for i in ours} - {""})
    place_of_value = {value: n for n, value in enumerate(values)}
    # What would join two splits is left out, and what came before it stays: so a painter is before his
    # works, and those that are prepared are before those that only link.
    order = [*ours, *sorted(only_link)]
    place = {i: n for n, i in enumerate(order, start=len(values))}
    links = [(place_of_value[by.values[i]], place[i]) for i in ours if by.values[i]]
    links += [
        (place[p.first], place[p.second]) for p in pairs if {p.first, p.second} <= place.keys()
    ]
    divided = divide(
        [*(f"\0{value}" for value in values), *(works[i].work_id for i in order)],
        [*(() for _ in values), *(works[i].labels.items() for i in order)],
        links,
        shares,
        stay,
        only_train={place[i] for i in only_train if i in place},
        only_link={*range(len(values)), *(place[i] for i in only_link)},
        by_pictures=bool(by.column),
    )
    splits = {i: divided[place[i]] for i in ours}
    return {i: split for i, split in splits.items() if split is not None}


def straddling_lines(
    catalogue: Catalogue, kept: Mapping[str, Sequence[tuple[Work, Any]]]
) -> list[str]:
    """A warning where a work is in train and in another split, which only given splits can do.

    Args:
      catalogue: what is listed.
      kept: by split, the works that are prepared, with what was made of them.
    """
    ids = {split: {work.work_id for work, _ in works} for split, works in kept.items()}
    both = {split: len(of & ids["train"]) for split, of in ids.items() if split != "train"}
    counts = [f"{number:,} {split} works" for split, number in both.items() if number]
    if not counts:
        return []
    by = "the official lists have" if catalogue.official else catalogue.divided_by
    return [
        f"warning: {' and '.join(counts)} have pictures in train too (the same work_id), as {by} them; "
        "evaluation says top1_unseen_works too"
    ]
