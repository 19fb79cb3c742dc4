"""The score of a recipe: what its networks reach on other works, trained with other seeds.

The interval of one run is that of its network on other works. Another seed gives another network, and
between them can lie more than the interval says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from artjax.evaluation import baselines
from artjax.evaluation.intervals import wilson_interval
from artjax.evaluation.metrics import METRICS, Metric

FEWEST_SEEDS = 3
"""Where two seeds differ much, their interval is too narrow: it covers in 87 % of simulations."""


class Score(NamedTuple):
    """Top-1 of a recipe.

    Attributes:
      mean: over the seeds, in [0, 1].
      deviation: standard deviation of one run, over the seeds.
      interval: the 95 % interval of the mean, for other works and seeds.
      works_share: share of the variance of the mean that more test works would lower, in [0, 1]; more
        seeds lower the rest. None where nothing varies.
    """

    mean: float
    deviation: float
    interval: tuple[float, float]
    works_share: float | None


def score(right: np.ndarray, groups: np.ndarray | None = None) -> Score:
    """The top-1 of several runs of one recipe on the same works, with the interval of the recipe.

    All runs answer the same works. So the variance of their mean is V / k + (k - 1) / k rho V for k runs
    of variance V, where rho V is what the runs share: the test works (Bouthillier et al., Accounting for
    Variance in Machine Learning Benchmarks (2021), section 3, on the mean of k runs that share a source
    of variance). It is estimated by the mean squares of a two-way layout, seeds times works, both drawn
    at random (Searle, Casella & McCulloch, Variance Components (1992), section 4.3): of seeds, A; of
    works, W; and of what is left, E:

        variance = (max(A - E, 0) + max(W, E)) / (k m)   for m works.

    What is said of works holds of groups: images of one work, and near-duplicates, are right or wrong
    together, and are summed. The interval is Wilson's for the
    number of trials that has this variance, with the quantile of Student's t in place of the normal one;
    its degrees of freedom are those of Satterthwaite, An Approximate Distribution of Estimates of
    Variance Components (1946). With few seeds that differ, they are few.

    Args:
      right: whether each run is right about each image, bool [seeds, images]; two or more seeds.
      groups: of each image, [images], as from `Canvases.groups`; None where each is one of its own.
    """
    from scipy.stats import t as student  # takes 0.6 s to import

    seeds, images = right.shape
    number = np.arange(images)
    if groups is not None:
        number = np.unique(groups, return_inverse=True)[1]
    works = int(number.max()) + 1
    of_seeds = right.mean(axis=1)
    mean, deviation = float(right.mean()), float(of_seeds.std(ddof=1))
    seed_square, work_square, rest = mean_squares(right - mean, number, works)
    of_training, of_works = max(seed_square - rest, 0.0), max(work_square, rest)
    total = of_training + of_works
    if not total or works < 2:  # all right, or all wrong: as many trials as works
        return Score(mean, deviation, wilson_interval(mean, works), None)
    parts: Sequence[tuple[float, int]] = [
        (seed_square, seeds - 1),
        (work_square, works - 1),
        (rest, (seeds - 1) * (works - 1)),
    ]
    if not of_training:
        parts = parts[1:2] if work_square > rest else parts[2:]
    elif work_square <= rest:
        parts = parts[:1]
    freedom = total**2 / sum(square**2 / number for square, number in parts)
    quantile = float(student.ppf(0.975, freedom))
    trials = mean * (1 - mean) * seeds * works / total
    interval = wilson_interval(mean, trials, quantile)
    return Score(mean, deviation, interval, (of_works - rest) / total)


def mean_squares(
    residuals: np.ndarray, groups: np.ndarray, works: int
) -> tuple[float, float, float]:
    """The mean squares of seeds, works, and the rest, of residuals float [seeds, images]."""
    seeds, images = residuals.shape
    # So that the mean over works is that over images, however many a work has.
    table = np.stack([np.bincount(groups, row, minlength=works) for row in residuals])
    table = table * works / images
    of_seeds, of_works = table.mean(axis=1), table.mean(axis=0)
    left = table - of_seeds[:, None] - of_works
    return (
        float(works * (of_seeds**2).sum() / (seeds - 1)),
        float(seeds * (of_works**2).sum() / max(works - 1, 1)),
        float((left**2).sum() / max((seeds - 1) * (works - 1), 1)),
    )


def report_lines(result: Mapping[str, Any]) -> list[str]:
    """The scores of several seeds in words.

    Args:
      result: as from `artjax.modes.seeds.evaluate_seeds`.
    """
    count = len(result["seeds"])
    lines = []
    for task, row in result["tasks"].items():
        low, high = row["top1_ci95"]
        works = f"{row['n']:,} works"
        if row["works"] < row["n"]:
            works = f"{row['n']:,} images of {row['works']:,} works"
        views = f", {result['views']} views of each" if result["views"] > 1 else ""
        lines.append(
            f"{count} seeds, {task}: top-1 {row['top1']:.1%}, standard deviation "
            f"{100 * row['top1_deviation']:.1f} points (95 % interval {low:.1%} to {high:.1%}, of this "
            f"recipe on other works and seeds) on {works}{views}"
        )
        # A report has the others of each run; a recipe that is given by its mean needs these too.
        means = [
            metric.template.format(row[name])
            for name, metric in METRICS.items()
            if name != "top1" and row[name] is not None and not _says_nothing(metric, row)
        ]
        lines.append(f"  means of the others: {', '.join(means)}")
        whose = "the networks of these folds" if result["folds"] else "this network"
        for of_run in row["by_seed"]:
            low, high = of_run["top1_ci95"]
            lines.append(
                f"  seed {of_run['seed']}: top-1 {of_run['top1']:.1%} (95 % interval {low:.1%} to "
                f"{high:.1%}, of {whose} on other works)"
            )
        lines += _hints(count, row)
        if row["ensemble_top1"] is not None:
            lines.append(
                f"  all of them as one, as predict uses them: top-1 {row['ensemble_top1']:.1%}"
            )
        lines += _to_beat(row)
    return lines


def _says_nothing(metric: Metric, row: Mapping[str, Any]) -> bool:
    return metric.chance is not None and metric.chance(row["classes"]) == 1


def _hints(count: int, row: Mapping[str, Any]) -> list[str]:
    """What would narrow the interval of the recipe."""
    lines = []
    share = row["top1_works_share"]
    if share is not None:
        if share < 0.5:
            what = f"the luck of training ({1 - share:.0%} of the variance): more seeds narrow it"
        else:
            what = f"the test works ({share:.0%} of the variance): only more works narrow it much"
        lines.append(f"  the width of the interval is mostly due to {what}")
    if count < FEWEST_SEEDS:
        lines.append(
            f"  warning: {count} seeds say little of how far others would be from them; the interval "
            f"may be too narrow: {FEWEST_SEEDS} or more are better"
        )
    return lines


def _to_beat(row: Mapping[str, Any]) -> list[str]:
    """The baselines beside the interval of the recipe."""
    low, high = row["top1_ci95"]
    judged: dict[str, list[str]] = {}
    for name, words in baselines.WORDS.items():
        share = row["baselines"][name]
        if share is not None:
            verdict = (
                baselines.BETTER
                if share < low
                else baselines.WORSE
                if share > high
                else baselines.NOT_SHOWN
            )
            judged.setdefault(verdict, []).append(f"{words} ({share:.1%})")
    return [
        f"  {verdict} {', '.join(judged[verdict])}"
        for verdict in baselines.VERDICTS
        if verdict in judged
    ]
