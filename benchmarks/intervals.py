"""What intervals cover: simulated splits whose true score is known.

    python benchmarks/intervals.py --repeats 400

Prints two tables. Top-1 of works that go together: by the interval of artjax, and by two formulas that
take less care; for a true top-1 of 50 % and of 90 %. Then the metrics that are means over classes:
beside the percentiles of the bootstrap. Every number shall be 95. A minute or two of one core for each
100 repeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np

from artjax.evaluation import bootstrap, metrics
from artjax.evaluation.intervals import share_interval, wilson_interval

GROUPS: Mapping[str, list[int]] = {
    "90 single works": [1] * 90,
    "30 of 6": [6] * 30,
    "12 of 10": [10] * 12,
    "3 of 10, 30 single": [10] * 3 + [1] * 30,
    "1 of 30, 30 single": [30] + [1] * 30,
    "8 of 3 to 24": [24, 16, 12, 10, 8, 6, 6, 3],
}
CORRELATIONS = (0.1, 0.5, 1.0)
SHARES = (0.5, 0.9)
CLASSES = ((80, 2, 1), (100, 5, 1), (60, 8, 1), (100, 20, 1), (60, 5, 4))
"""Works, classes, and images of a work."""

_MANY = 40_000

Interval = tuple[float, float]


def drawn(rng: np.random.Generator, sizes: np.ndarray, share: float, rho: float) -> np.ndarray:
    """Right answers of each group, int [G], of which two correlate by rho, in (0, 1]."""
    if rho == 1:
        return np.asarray(sizes * (rng.random(len(sizes)) < share))
    strength = (1 - rho) / rho
    return rng.binomial(sizes, rng.beta(share * strength, (1 - share) * strength, len(sizes)))


def by_variance(hits: np.ndarray, sizes: np.ndarray) -> Interval:
    """Wilson's, of the trials that have the variance between groups: Rao & Scott (1992), section 2."""
    n, groups, share = sizes.sum(), len(sizes), hits.sum() / sizes.sum()
    variance = groups / (groups - 1) * ((hits - sizes * share) ** 2).sum() / n**2
    trials = share * (1 - share) / variance if variance else groups
    return wilson_interval(share, float(np.clip(trials, groups, n)))


def by_sizes(hits: np.ndarray, sizes: np.ndarray) -> Interval:
    """Wilson's, as if all answers of a group were alike: Kish, Survey Sampling (1965), section 8.2."""
    return wilson_interval(hits.sum() / sizes.sum(), sizes.sum() ** 2 / (sizes**2).sum())


def ours(hits: np.ndarray, sizes: np.ndarray) -> Interval:
    """That of `metrics.json`."""
    right = np.concatenate([np.arange(m) < k for k, m in zip(hits, sizes, strict=True)])
    return share_interval(right, np.repeat(np.arange(len(sizes)), sizes))


FORMULAS: tuple[Callable[[np.ndarray, np.ndarray], Interval], ...] = (ours, by_variance, by_sizes)


def coverage_of_top1(sizes: np.ndarray, share: float, rho: float, repeats: int) -> list[float]:
    """How often each of `FORMULAS` has the true share in its interval, in [0, 1]."""
    rng = np.random.default_rng(0)
    covered = np.zeros(len(FORMULAS))
    for _ in range(repeats):
        hits = drawn(rng, sizes, share, rho)
        ends = [formula(hits, sizes) for formula in FORMULAS]
        covered += [low <= share <= high for low, high in ends]
    return (covered / repeats).tolist()


def guesses(rng: np.random.Generator, works: int, classes: int, images: int) -> metrics.Predictions:
    """Predictions of drawn works; the images of a work have a common part."""
    labels = np.repeat(rng.integers(0, classes, works), images)
    logits = rng.normal(size=(works, classes)).repeat(images, axis=0)
    if images > 1:
        logits = np.sqrt(0.7) * logits + np.sqrt(0.3) * rng.normal(size=logits.shape)
    logits[np.arange(len(labels)), labels] += 1.0 if classes == 2 else 2.0
    return metrics.Predictions(labels, metrics.log_softmax(logits), np.arange(works).repeat(images))


def percentiles(statistic: bootstrap.Statistic, classes: int) -> list[float]:
    """The interval that has the middle 95 % of the resamples."""
    del classes
    return np.quantile(
        statistic.value(bootstrap.resampled(statistic.parts)), [0.025, 0.975]
    ).tolist()


def coverage_of_classes(
    works: int, classes: int, images: int, repeats: int
) -> dict[str, list[float]]:
    """For each metric how often the true value is in the interval of artjax, and in the percentiles."""
    rng = np.random.default_rng(0)
    many = guesses(rng, _MANY, classes, images)
    truth = {
        name: getattr(metrics, name)(many) for name in ("balanced_accuracy", "macro_f1", "auroc")
    }
    seen: dict[str, list[list[bool]]] = {name: [] for name in truth}
    for _ in range(repeats):
        statistics = metrics.class_statistics(guesses(rng, works, classes, images))
        for name, of in statistics.items():
            ends = bootstrap.bootstrap_interval(of, classes), percentiles(of, classes)
            seen[name].append([e is not None and e[0] <= truth[name] <= e[1] for e in ends])
    return {name: np.mean(of, axis=0).tolist() for name, of in seen.items()}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    print("| images of the groups | correlation | artjax | variance | sizes |")
    print("|---|---|---|---|---|", flush=True)
    for name, of in GROUPS.items():
        sizes = np.asarray(of)
        for rho in CORRELATIONS[-1:] if max(of) == 1 else CORRELATIONS:
            found = [coverage_of_top1(sizes, share, rho, repeats) for share in SHARES]
            cells = [
                ", ".join(f"{100 * covered:.0f}" for covered in formula)
                for formula in zip(*found, strict=True)
            ]
            print(f"| {name} | {rho} | {' | '.join(cells)} |", flush=True)
    print(
        "\n| works, classes, images of each | balanced accuracy | macro-F1 | AUROC |\n|---|---|---|---|"
    )
    for works, classes, images in CLASSES:
        of_metrics = coverage_of_classes(works, classes, images, repeats)
        cells = " | ".join(
            f"{100 * own:.0f} ({100 * other:.0f})" for own, other in of_metrics.values()
        )
        print(f"| {works}, {classes}, {images} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
