"""Runs beside each other on the same works: differences, their intervals, and whether they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from artjax.evaluation import bootstrap, metrics
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.paired import paired
from artjax.evaluation.pairwise import LEVEL, holm
from artjax.evaluation.recipe import mean_squares


class Pair(NamedTuple):
    """Two runs on the same works of a task; differences are the first less the second.

    Attributes:
      task: its name.
      first: number of the first run.
      second: number of the second.
      only_first: images that only the first names rightly.
      only_second: the reverse.
      p: of McNemar's exact test; images that go together change sides together. See `paired`.
      top1: difference in top-1.
      top1_ci95: its 95 % interval; None where resamples say nothing.
      macro_f1: difference in macro-F1.
      macro_f1_ci95: its 95 % interval.
      shown: whether the difference in top-1 is shown among all pairs (Holm, 5 % for the family).
    """

    task: str
    first: int
    second: int
    only_first: int
    only_second: int
    p: float
    top1: float
    top1_ci95: list[float] | None
    macro_f1: float
    macro_f1_ci95: list[float] | None
    shown: bool


def pairs_of(runs: Sequence[Mapping[str, Predictions]]) -> list[Pair]:
    """All pairs of runs, in every task; together they are one family of comparisons.

    Args:
      runs: of each run, by task, the predictions of the same works in the same order.
    """
    found = [
        _pair(task, first, second, runs[first][task], runs[second][task])
        for task in runs[0]
        for first, second in combinations(range(len(runs)), 2)
    ]
    shown = holm(np.asarray([pair.p for pair in found]), LEVEL)
    return [pair._replace(shown=bool(of)) for pair, of in zip(found, shown, strict=True)]


def _pair(task: str, first: int, second: int, a: Predictions, b: Predictions) -> Pair:
    right_a, right_b = a.predicted == a.labels, b.predicted == b.labels
    found = paired(right_a, right_b, a.groups)
    f1_a, f1_b = (metrics.class_statistics(of)["macro_f1"] for of in (a, b))
    classes = len(np.unique(a.labels))
    return Pair(
        task,
        first,
        second,
        found.only_first,
        found.only_second,
        found.p,
        float(right_a.mean() - right_b.mean()),
        bootstrap.difference_interval(_top1(right_a, a.groups), _top1(right_b, a.groups), 1),
        metrics.macro_f1(a) - metrics.macro_f1(b),
        bootstrap.difference_interval(f1_a, f1_b, classes),
        False,
    )


def _top1(right: np.ndarray, groups: np.ndarray | None) -> bootstrap.Statistic:
    each = np.arange(len(right)) if groups is None else groups
    _, first, group = np.unique(each, return_index=True, return_inverse=True)
    group = first.argsort().argsort()[group]
    parts = np.stack([np.bincount(group, right), np.bincount(group)], axis=1).astype(float)
    return bootstrap.Statistic(parts, lambda sums: sums[:, 0] / sums[:, 1])


class Recipes(NamedTuple):
    """Two recipes, each trained with several seeds: is their difference more than that of seeds?

    Attributes:
      task: its name.
      first: number of the first recipe.
      second: number of the second.
      means: top-1 of each, over its seeds.
      deviations: the standard deviation of one run of each, over its seeds.
      difference: of the means.
      interval: its 95 % interval, for other works and seeds.
      shown: whether the interval leaves 0 out.
    """

    task: str
    first: int
    second: int
    means: tuple[float, float]
    deviations: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    shown: bool


def recipes_of(
    runs: Sequence[Mapping[str, Predictions]], members: Sequence[Sequence[int]]
) -> list[Recipes]:
    """All pairs of recipes with two seeds or more.

    Args:
      runs: as for `pairs_of`.
      members: of each recipe, the numbers of its runs.
    """
    several = [number for number, of in enumerate(members) if len(of) > 1]
    return [
        _recipes(
            task, (first, second), [[runs[i][task] for i in members[n]] for n in (first, second)]
        )
        for task in runs[0]
        for first, second in combinations(several, 2)
    ]


def _recipes(
    task: str, numbers: tuple[int, int], recipes: Sequence[Sequence[Predictions]]
) -> Recipes:
    """The difference of two means over seeds, with the variance of seeds and that of works.

    That of seeds is, for each recipe, the mean square of seeds less that of the rest, as in
    `recipe.score`; that of works is the variance of the difference over groups of works, each of which
    all runs answer, so that what is hard for both recipes falls out. Student's t has the degrees of
    freedom of Satterthwaite (1946).
    """
    from scipy.stats import t as student

    groups = recipes[0][0].groups
    right = [np.stack([run.predicted == run.labels for run in of]) for of in recipes]
    images = right[0].shape[1]
    number = np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1]
    works = int(number.max()) + 1
    means = [float(of.mean()) for of in right]
    difference = means[0] - means[1]
    of_works = np.bincount(number, right[0].mean(axis=0) - right[1].mean(axis=0) - difference)
    parts = [(float((of_works**2).sum()) * works / max(works - 1, 1) / images**2, works - 1)]
    for of, mean in zip(right, means, strict=True):
        seeds, _, rest = mean_squares(of - mean, number, works)
        parts.append((max(seeds - rest, 0.0) / (len(of) * works), len(of) - 1))
    variance = sum(part for part, _ in parts)
    half = 0.0
    if variance:
        freedom = variance**2 / sum(part**2 / max(count, 1) for part, count in parts)
        half = float(student.ppf(0.975, freedom)) * variance**0.5
    low, high = max(difference - half, -1.0), min(difference + half, 1.0)
    first, second = (float(of.mean(axis=1).std(ddof=1)) for of in right)
    shown = bool(variance) and not low <= 0 <= high
    return Recipes(
        task, *numbers, (means[0], means[1]), (first, second), difference, (low, high), shown
    )


def in_words(pairs: Sequence[Pair], recipes: Sequence[Recipes], names: Sequence[str]) -> list[str]:
    """What was found, a line each, and what the many comparisons are worth."""
    lines = []
    for pair in pairs:
        ends = pair.top1_ci95
        interval = f" (95 % interval {points(ends[0])} to {points(ends[1])})" if ends else ""
        verdict = "shown" if pair.shown else "not shown"
        lines.append(
            f"{pair.task}: {names[pair.first]} less {names[pair.second]}: top-1 "
            f"{points(pair.top1)} points{interval}; {pair.only_first:,} works only the first names "
            f"rightly, {pair.only_second:,} only the second, p = {pair.p:.2g}: {verdict} to differ"
        )
    lines += [f"  {line}" for line in warnings_of(pairs)]
    for of in recipes:
        low, high = of.interval
        lines.append(
            f"{of.task}: recipe {of.first + 1} less recipe {of.second + 1}: {points(of.difference)} "
            f"points (95 % interval {points(low)} to {points(high)}, of these recipes on other works "
            f"and seeds): {'' if of.shown else 'not '}shown to be larger than between seeds"
        )
    return lines


def warnings_of(pairs: Sequence[Pair]) -> list[str]:
    """What many comparisons do to a small p."""
    small = sum(pair.p < LEVEL and not pair.shown for pair in pairs)
    if not small:
        return []
    return [
        f"warning: {small} of {len(pairs)} comparisons have p below {LEVEL:g}, but so small a p is to "
        f"be expected by chance among {len(pairs)}: not shown (Holm, {LEVEL:.0%} for all together)"
    ]


def points(share: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"
