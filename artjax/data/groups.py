"""Groups of pictures that are not independent of each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def linked_groups(works: np.ndarray, links: Iterable[tuple[int, int]]) -> np.ndarray:
    """The number of the group of each picture, int [N]: pictures of one work, or linked ones.

    Args:
      works: what the pictures of a work share, [N].
      links: pairs of indices of pictures, which link their works; also through other works.
    """
    # Takes 0.1 s to import, which only an evaluation should.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids, work = np.unique(works, return_inverse=True)
    first, second = np.asarray([*links], np.int64).reshape(-1, 2).T
    edges = coo_array((np.ones(len(first)), (work[first], work[second])), (len(ids), len(ids)))
    group: np.ndarray = connected_components(edges, directed=False)[1][work]
    return group


def links_of_equal(values: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of indices that link all pictures of equal value; those below 0 are not known.

    Each is linked to the first one.
    """
    first: dict[int, int] = {}
    return [(first.setdefault(value, i), i) for i, value in enumerate(values) if value >= 0]


def named_groups(groups: np.ndarray, works: np.ndarray) -> np.ndarray:
    """Groups, int [N], named after the first of their works, str [N]."""
    names: dict[int, str] = {}
    for group, work in zip(groups.tolist(), works.tolist(), strict=True):
        names[group] = min(work, names.get(group, work))
    return np.asarray([names[group] for group in groups.tolist()], np.str_)
