"""Whether two answers to the same works differ by more than chance: exact McNemar, also for groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Paired(NamedTuple):
    """Two classifiers beside each other on the same pictures.

    Attributes:
      only_first: pictures that the first names rightly and the second does not.
      only_second: the reverse.
      p: the chance of such a difference, or a larger one, to either side, if both were equally good.
    """

    only_first: int
    only_second: int
    p: float


def paired(first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None) -> Paired:
    """Compares two classifiers by an exact test to both sides.

    If both are equally good, either could have been the other: each difference may as well have the
    other sign. Of all ways to give signs, the test counts those in which the sum is as far from 0 as the
    one that was seen (Fisher, The Design of Experiments (1935), section 21). Pictures that go together
    change their signs together. Where each is alone, this is the exact form of the test of McNemar,
    Note on the Sampling Error of the Difference between Correlated Proportions (1947): the binomial test
    of the pictures that only one of them names rightly.

    Args:
      first: whether the first names each picture rightly, bool [N].
      second: whether the second does, bool [N].
      groups: of each picture, [N]; None where each is alone.
    """
    difference = first.astype(int) - second.astype(int)
    sums = difference
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        sums = np.rint(np.bincount(group, difference)).astype(int)
    return Paired(int((difference > 0).sum()), int((difference < 0).sum()), _p_of_signs(sums))


def _p_of_signs(sums: np.ndarray) -> float:
    """The share of all signs of these numbers, int [G], that sum up to as far from 0 as they do."""
    from scipy.special import gammaln  # takes 0.1 s to import, which only an evaluation should

    seen = abs(int(sums.sum()))
    if not seen:
        return 1.0
    # Of the sum of those with a positive sign: 0 to all of them, each part a binomial of its multiples.
    chances = np.ones(1)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        k = np.arange(count + 1)
        ways = gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1)
        spread = np.zeros(count * size + 1)
        spread[::size] = np.exp(ways - count * np.log(2))
        chances = np.convolve(chances, spread)
    positive = (len(chances) - 1 + seen) // 2
    return min(1.0, 2 * float(chances[positive:].sum()))
