"""The interval of a recipe covers what other seeds and other works give; that of one run does not."""

import numpy as np
import pytest
from scipy import stats

from artjax.evaluation import recipe
from artjax.evaluation.intervals import share_interval, wilson_interval

REPEATS = 400


def drawn(rng, seeds, sizes, luck):
    """Answers of a recipe: works differ in difficulty, trainings in luck, and each pair in more.

    Returns:
      Whether each run is right, bool [seeds, images], and the work of each image.
    """
    groups = np.repeat(np.arange(len(sizes)), sizes)
    scores = 1.0 + rng.normal(0, luck, (seeds, 1)) + rng.normal(0, 1.5, len(sizes))
    scores = scores + rng.normal(0, 1, (seeds, len(sizes)))
    chance = 1 / (1 + np.exp(-scores[:, groups]))
    return rng.random(chance.shape) < chance, groups


def truth(luck):
    """The mean over all works and seeds, by quadrature: the sum of normals is one."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    deviation = np.sqrt(luck**2 + 1.5**2 + 1)
    return float((weights / (1 + np.exp(-1 - deviation * points))).sum() / weights.sum())


def coverage(seeds, sizes, luck):
    """The shares of draws whose interval of the recipe, and of the first run, have the true mean."""
    rng, mean = np.random.default_rng(0), truth(luck)
    of_recipe, of_one = [], []
    for i in range(REPEATS):
        right, groups = drawn(rng, seeds, sizes, luck)
        of_recipe.append(recipe.score(right, groups).interval)
        if i % 4 == 0:  # it takes long where works have several images
            of_one.append(share_interval(right[0], groups))
    return [np.mean([low <= mean <= high for low, high in found]) for found in (of_recipe, of_one)]


SINGLE, DETAILS = [1] * 150, [1] * 80 + [5] * 12 + [10] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "sizes", "luck"),
    [
        *((3, SINGLE, 0.4), (5, SINGLE, 0.4), (5, SINGLE, 0.8), (10, SINGLE, 0.4)),
        *((5, DETAILS, 0.4), (3, SINGLE, 0.0), (5, DETAILS, 0.0)),
    ],
)
def test_the_interval_of_a_recipe_covers(seeds, sizes, luck):
    of_recipe, of_one = coverage(seeds, sizes, luck)
    assert 0.915 <= of_recipe <= 0.985
    # The interval of one network is not that of the recipe, unless all trainings are alike.
    assert of_one < 0.88 if luck else of_one > 0.9


def test_the_variance_is_that_of_the_textbook():
    """Mean squares of a two-way layout, here by their own formulas."""
    rng = np.random.default_rng(1)
    right, _ = drawn(rng, 4, [1] * 60, 0.8)
    found = recipe.score(right)
    k, m = right.shape
    y = right.astype(float)
    a = m * y.mean(axis=1).var(ddof=1)
    w = k * y.mean(axis=0).var(ddof=1)
    e = ((y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()) ** 2).sum() / ((k - 1) * (m - 1))
    assert a > e
    assert w > e
    variance = (a + w - e) / (k * m)
    freedom = (a + w - e) ** 2 / (a**2 / (k - 1) + w**2 / (m - 1) + e**2 / ((k - 1) * (m - 1)))
    trials = y.mean() * (1 - y.mean()) / variance
    quantile = stats.t.ppf(0.975, freedom)
    assert found.interval == pytest.approx(wilson_interval(y.mean(), trials, quantile))
    assert found.mean == y.mean()
    assert found.deviation == pytest.approx(y.mean(axis=1).std(ddof=1))
    assert found.works_share == pytest.approx((w - e) / (a + w - e))


def test_images_of_one_work_count_together():
    rng = np.random.default_rng(2)
    right, _ = drawn(rng, 3, [1] * 50, 0.5)
    doubled = np.repeat(right, 2, axis=1)
    ids = np.repeat(np.arange(50), 2)
    assert recipe.score(doubled, ids).interval == pytest.approx(recipe.score(right).interval)
    as_others = recipe.score(doubled).interval
    assert np.ptp(as_others) < np.ptp(recipe.score(doubled, ids).interval)


def test_seeds_that_agree_leave_the_interval_of_the_works():
    rng = np.random.default_rng(3)
    right = np.repeat(rng.random((1, 400)) < 0.7, 3, axis=0)
    found = recipe.score(right)
    assert found.deviation == 0
    assert found.works_share == pytest.approx(1)
    expected = wilson_interval(right[0].mean(), 399, stats.t.ppf(0.975, 399))
    assert found.interval == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_runs_that_are_always_right_or_wrong_have_an_interval(share):
    found = recipe.score(np.full((3, 40), bool(share)))
    assert (found.mean, found.deviation, found.works_share) == (share, 0, None)
    assert found.interval == wilson_interval(share, 40)


def test_all_luck_has_the_freedom_of_the_seeds():
    """One run right everywhere, the other nowhere: two seeds know nothing."""
    right = np.zeros((2, 50), bool)
    right[0] = True
    found = recipe.score(right)
    assert found.works_share == pytest.approx(0)
    assert found.interval[0] < 0.01
    assert found.interval[1] > 0.99


def result_of(row, **changes):
    row = {
        "n": 217, "works": 207, "classes": 12, "labelled_classes": 12, "official_n": None,
        "top1": 0.915, "top5": 0.99, "balanced_accuracy": 0.9, "macro_f1": 0.9, "auroc": None,
        "average_precision": None, "aurc": None,
        "loss": 0.3, "brier": 0.1, "ece": 0.05, "top1_deviation": 0.046, "top1_ci95": [0.7, 0.98],
        "top1_works_share": 0.25, "ensemble_top1": 0.95,
        "baselines": {"chance": 1 / 12, "best_constant": 0.71, "train_majority": 0.0,
                      "colour_histograms": 0.99, "source_facts": None, "nearest_neighbours": None,
                      "uniform_loss": 2.5, "train_frequencies_loss": None},
        "by_seed": [
            {"seed": 0, "n": 217, "top1": 0.883, "top1_ci95": [0.832, 0.919], "loss": 0.4},
            {"seed": 4, "n": 217, "top1": 0.948, "top1_ci95": [0.91, 0.971], "loss": 0.2},
        ],
    } | row  # fmt: skip
    result = {"split": "seeds", "views": 1, "folds": 0, "seeds": [0, 4], "tasks": {"artist": row}}
    return result | changes


def test_a_recipe_in_words():
    assert recipe.report_lines(result_of({})) == [
        "2 seeds, artist: top-1 91.5%, standard deviation 4.6 points (95 % interval 70.0% to 98.0%, of "
        "this recipe on other works and seeds) on 217 images of 207 works",
        "  means of the others: top-5 99.0%, balanced accuracy 90.0%, macro-F1 0.900, loss 0.300, "
        "Brier score 0.100, ECE 0.050",
        "  seed 0: top-1 88.3% (95 % interval 83.2% to 91.9%, of this network on other works)",
        "  seed 4: top-1 94.8% (95 % interval 91.0% to 97.1%, of this network on other works)",
        "  the width of the interval is mostly due to the luck of training (75% of the variance): more "
        "seeds narrow it",
        "  warning: 2 seeds say little of how far others would be from them; the interval may be too "
        "narrow: 3 or more are better",
        "  all of them as one, as predict uses them: top-1 95.0%",
        "  better than chance (8.3%), always train's most frequent class (0.0%)",
        "  not shown to be better than the best constant answer (71.0%)",
        "  worse than colour histograms (99.0%)",
    ]
    several = result_of({"top1_works_share": 0.9, "classes": 3, "ensemble_top1": None})
    said = recipe.report_lines(several | {"folds": 5, "views": 5, "seeds": [0, 1, 2]})
    assert said[0].endswith("of 207 works, 5 views of each")
    assert "top-5" not in said[1]
    assert said[2].endswith("of the networks of these folds on other works)")
    assert said[4].endswith("the test works (90% of the variance): only more works narrow it much")
    assert not any("as one" in line or "warning" in line for line in said)
