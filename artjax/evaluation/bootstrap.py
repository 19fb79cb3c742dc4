"""Confidence intervals of metrics that are means over classes: a bootstrap over groups of works."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from artjax.evaluation.intervals import LEVEL
from artjax.evaluation.roc import placements

RESAMPLES = 1000
"""Each draws as many groups as there are, with replacement, from a fixed seed."""

_ROUNDING = 1e-9
_AT_ONCE = 100  # of 40,000 groups these take 32 MB


class Statistic(NamedTuple):
    """A metric as a function of sums over groups.

    Attributes:
      parts: what each group adds to the sums, float [G, K].
      value: sums [B, K] → the metric [B]; nan where it is not defined.
    """

    parts: np.ndarray
    value: Callable[[np.ndarray], np.ndarray]


def bootstrap_interval(statistic: Statistic, classes: int) -> list[float] | None:
    """95 % interval of a metric in [0, 1] that is a mean over classes.

    Its standard error is that of the metric over resamples: Efron & Tibshirani, An Introduction to the
    Bootstrap (1993), section 6.2. Groups are drawn, since what is in one is right or wrong together:
    Field & Welsh, Bootstrapping Clustered Data (2007), section 2.2.

    Resamples vary too little where a class has few works; where it has one, not at all. Of G groups and
    C classes the variance is too small by about (G - C) / G, like that of the residuals of C means. So
    the error is made larger by the root of its inverse, and the quantile is that of Student's t with
    G - C degrees of freedom. The interval is symmetric in the logarithm of the odds, and so stays in
    [0, 1].
    What it covers, beside the percentiles of the resamples: benchmarks/intervals.py.

    Args:
      statistic: the metric.
      classes: the number of classes over which it is a mean.

    Returns:
      None for no more groups than classes, or where the metric is 0 or 1, or all resamples are alike:
      they say nothing then of how far it may be off.
    """
    from scipy.special import expit, logit, stdtrit

    parts, value = statistic
    groups = len(parts)
    whole = value(parts.sum(axis=0, keepdims=True))[0]
    if groups <= classes or not 0 < whole < 1:
        return None
    drawn = value(resampled(parts))
    error = np.nanstd(drawn, ddof=1) * np.sqrt(groups / (groups - classes))
    if not error > _ROUNDING:
        return None
    half = stdtrit(groups - classes, 1 - LEVEL) * error / (whole * (1 - whole))
    return [float(expit(logit(whole) + sign * half)) for sign in (-1, 1)]


def resampled(parts: np.ndarray) -> np.ndarray:
    """The sums of each resample, [B, K]."""
    groups = len(parts)
    rng = np.random.default_rng(0)
    sums = []
    for begin in range(0, RESAMPLES, _AT_ONCE):
        several = min(_AT_ONCE, RESAMPLES - begin)
        chosen = rng.integers(0, groups, (several, groups)) + groups * np.arange(several)[:, None]
        times = np.bincount(chosen.ravel(), minlength=several * groups)
        sums.append(times.reshape(several, groups).astype(float) @ parts)
    return np.concatenate(sums)


def recalls_and_f1(
    hits: np.ndarray, labelled: np.ndarray, named: np.ndarray
) -> tuple[Statistic, Statistic]:
    """Balanced accuracy and macro-F1, as `metrics` defines them.

    Args:
      hits: works that are named rightly, of each group and class, [G, C].
      labelled: works with this label, [G, C].
      named: works that are named so, [G, C].
    """
    parts = np.concatenate([hits, labelled, named], axis=1).astype(float)

    def recall(sums: np.ndarray) -> np.ndarray:
        hits, labelled, _ = np.split(sums, 3, axis=1)
        return _mean_of_classes(hits, labelled)

    def f1(sums: np.ndarray) -> np.ndarray:
        hits, labelled, named = np.split(sums, 3, axis=1)
        return _mean_of_classes(2 * hits, labelled + named)

    return Statistic(parts, recall), Statistic(parts, f1)


def areas(scores: np.ndarray, labels: np.ndarray, group: np.ndarray) -> Statistic:
    """AUROC, as `metrics` defines it, to the first order in the weights of the works.

    The terms are the placements of DeLong et al., Comparing the Areas under Two or More Correlated
    Receiver Operating Characteristic Curves (1988), section 2. A resample needs no sort then.

    Args:
      scores: of each work and class, float [N, C].
      labels: int [N].
      group: number of the group of each work, int [N].
    """
    classes = np.unique(labels)
    groups = group.max() + 1
    columns: list[np.ndarray] = []
    whole = []
    for c in classes:
        own = labels == c
        higher = placements(scores[:, c], own)
        whole.append(higher[own].mean())
        columns += [
            np.bincount(group[of], weights, minlength=groups)
            for of in (own, ~own)
            for weights in (higher[of], np.ones(int(of.sum())))
        ]

    def value(sums: np.ndarray) -> np.ndarray:
        own, owns, others, of_others = np.moveaxis(sums.reshape(len(sums), -1, 4), 2, 0)
        there = (owns > 0) & (of_others > 0)
        area = own / np.where(there, owns, 1) + others / np.where(there, of_others, 1) - whole
        return _mean_of_classes(np.where(there, np.clip(area, 0, 1), 0), there.astype(float))

    return Statistic(np.stack(columns, axis=1), value)


def _mean_of_classes(part: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Mean of part / of over the classes in which there is any, [B]; nan where there is none."""
    there = of > 0
    ratio = np.where(there, part, 0) / np.where(there, of, 1)
    number = there.sum(axis=1)
    return np.where(number > 0, ratio.sum(axis=1) / np.maximum(number, 1), np.nan)


def difference_interval(first: Statistic, second: Statistic, classes: int) -> list[float] | None:
    """95 % interval of the difference of one metric of two networks on the same works.

    Both are computed on the same resamples of groups, so that what is hard for both falls out: Efron &
    Tibshirani (1993), section 8.3, for pairs. Error, its correction for few groups and the quantile are
    those of `bootstrap_interval`; the interval is symmetric, and cut at -1 and 1.

    Args:
      first: the metric of the first network; its groups are those of the second, in the same order.
      second: that of the second.
      classes: the number of classes over which the metric is a mean; 1 for a share of works.

    Returns:
      None for no more groups than classes, or where all resamples are alike.
    """
    from scipy.special import stdtrit

    groups, columns = first.parts.shape
    if groups <= classes:
        return None
    parts = np.concatenate([first.parts, second.parts], axis=1)

    def value(sums: np.ndarray) -> np.ndarray:
        return first.value(sums[:, :columns]) - second.value(sums[:, columns:])

    error = np.nanstd(value(resampled(parts)), ddof=1) * np.sqrt(groups / (groups - classes))
    if not error > _ROUNDING:
        return None
    whole = float(value(parts.sum(axis=0, keepdims=True))[0])
    half = float(stdtrit(groups - classes, 1 - LEVEL) * error)
    return [max(whole - half, -1.0), min(whole + half, 1.0)]
