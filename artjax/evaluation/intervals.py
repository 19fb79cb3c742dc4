"""Confidence intervals of top-1, from works that need not be independent of each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Z = 1.959963984540054
"""A normal distribution has 2.5 % above it."""

LEVEL = 0.025
"""What a 95 % interval leaves out on each side; also the level of a test to one side."""

_NODES = 24
_EDGE = 1e-9  # from 0 and 1, where a beta distribution is none
# Of correlations: those that the answers speak against as clearly as this change no digit.
_NEGLIGIBLE = 1e-6


def wilson_interval(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """Confidence interval of a share of n independent trials; z = 1.96 gives 95 %.

    Wilson, Probable Inference (1927); Brown et al., Interval Estimation for a Binomial Proportion
    (2001), section 3.1.1. Unlike share ± z s it stays in [0, 1] and is right near 0 and 1.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at 1 the bound is exactly 0 or 1; rounding must not say 0.9999999999999999.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def share_interval(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95 % confidence interval of the share of right answers, some of which go together.

    Wilson's where all are independent. Else the share p of a group's right answers is taken for drawn
    from a beta distribution, so that two answers of a group correlate by rho: the beta-binomial
    distribution (Skellam, A Probability Distribution Derived from the Binomial (1948)). The interval has
    every p that neither of two tests to one side rejects, as Clopper & Pearson (1934) invert the
    binomial one. Their tails count half of the probability of what was seen (mid-p: Lancaster,
    Significance Tests in Discrete Distributions (1961)).

    How much the answers of a group go together cannot be told from few groups. So the tails are a mean
    over all rho in [0, 1], weighted by the likelihood of the answers and by Jeffreys' prior of a share,
    Beta(1/2, 1/2). With few groups, or where one of them is most of the works, this widens the interval
    as Student's t does that of a mean.

    Args:
      right: whether each answer is right, bool [N].
      groups: of each answer, [N]; None where each is alone.

    Returns:
      The ends, in [0, 1]; the share is between them.
    """
    share = float(np.mean(right))
    if groups is None or len(np.unique(groups)) == len(right):
        return wilson_interval(share, len(right))
    # Takes 0.2 s to import, which only an evaluation should.
    from scipy.optimize import brentq

    tails = _tails(right, groups)

    def end(tail: int, far: float) -> float:
        near = min(max(share, _EDGE), 1 - _EDGE)
        # Where even at the share itself less than 2.5 % are left, the groups are not of one kind.
        if tails(near)[tail] <= LEVEL:
            return share
        return float(brentq(lambda p: tails(p)[tail] - LEVEL, far, near, xtol=1e-5))

    low = 0.0 if share == 0 else end(1, _EDGE)
    high = 1.0 if share == 1 else end(0, 1 - _EDGE)
    return low, high


def _tails(right: np.ndarray, groups: np.ndarray) -> Callable[[float], tuple[float, float]]:
    """p → the probability of fewer right answers, and of more; each with half that of as many."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    hits = np.bincount(group, right).astype(int)
    seen = {m: np.bincount(hits[sizes == m], minlength=m + 1) for m in np.unique(sizes).tolist()}
    n, total = len(right), int(hits.sum())
    # sin² of even steps: nodes of Beta(1/2, 1/2) with equal weights.
    rho = np.sin(np.pi / 2 * (np.arange(_NODES) + 0.5) / _NODES) ** 2

    def tails(p: float) -> tuple[float, float]:
        shares = {m: _beta_binomial(m, p, rho) for m in seen}
        with np.errstate(divide="ignore"):
            likelihood = sum(
                np.log(shares[m][:, of > 0]) @ of[of > 0] for m, of in seen.items() if m > 1
            )
        weights = np.exp(likelihood - np.max(likelihood))
        kept = weights > _NEGLIGIBLE * weights.sum()
        # The distribution of a sum is the product of the transforms of its parts.
        transform = np.ones((int(kept.sum()), (n + 1) // 2 + 1), complex)
        for m, of in seen.items():
            transform *= np.fft.rfft(shares[m][kept], n + 1, axis=1) ** of.sum()
        of_sums = np.fft.irfft(transform, n + 1, axis=1)
        mean = weights[kept] @ of_sums / weights[kept].sum()
        return float(mean[:total].sum() + mean[total] / 2), float(
            mean[total + 1 :].sum() + mean[total] / 2
        )

    return tails


def _beta_binomial(m: int, p: float, rho: np.ndarray) -> np.ndarray:
    """Probabilities of 0 to m right answers of m, for each correlation in (0, 1): [R, m + 1]."""
    from scipy.special import gammaln

    k = np.arange(m + 1)
    strength = (1 - rho[:, None]) / rho[:, None]
    a, b = p * strength, (1 - p) * strength
    ways = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    rising = gammaln(k + a) - gammaln(a) + gammaln(m - k + b) - gammaln(b)
    return np.asarray(np.exp(ways + rising - gammaln(m + strength) + gammaln(strength)))


def independent_trials(share: float, interval: tuple[float, float], n: int) -> float:
    """How many independent works would give an interval as wide, in (0, n].

    For Wilson's, half of the width is z / (1 + z²/t) · sqrt(share (1 - share) / t + z² / (4 t²)), which
    is a quadratic equation in z²/t.

    Args:
      share: of right answers, in [0, 1].
      interval: as from `share_interval`.
      n: the number of answers.
    """
    square = ((interval[1] - interval[0]) / 2) ** 2
    a, b = square - 1 / 4, 2 * square - share * (1 - share)
    ratio = (-b - math.sqrt(b * b - 4 * a * square)) / (2 * a)
    return min(Z * Z / ratio, float(n)) if ratio > 0 else float(n)


def trials_of(right: np.ndarray, groups: np.ndarray | None = None) -> float:
    """How many independent works some answers are worth; the arguments are those of `share_interval`."""
    if not len(right):
        return 0.0
    return independent_trials(float(np.mean(right)), share_interval(right, groups), len(right))
