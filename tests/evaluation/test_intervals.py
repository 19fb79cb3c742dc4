"""The interval of top-1: what it covers where works are independent, and where they are not."""

import numpy as np
import pytest
from scipy import stats

from artjax.evaluation import metrics
from artjax.evaluation.intervals import independent_trials, share_interval, wilson_interval
from artjax.evaluation.metrics import Predictions


@pytest.mark.parametrize(("right", "works"), [(0, 9), (9, 9), (62, 100), (1, 3)])
def test_the_interval_ends_at_the_shares_that_a_score_test_just_rejects(right, works):
    low, high = wilson_interval(right / works, works)
    share, z = right / works, 1.959963984540054  # the normal distribution has 2.5 % above z
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / works)
    assert (low == 0) == (right == 0)
    assert (high == 1) == (right == works)


def test_interval_ends_exactly_at_0_and_at_1():
    # Not so for all n by its formula alone, whose rounding leaves 1e-17 or 0.9999999999999999.
    assert {wilson_interval(0.0, n)[0] for n in range(1, 500)} == {0.0}
    assert {wilson_interval(1.0, n)[1] for n in range(1, 500)} == {1.0}


def answers(hits, sizes):
    """Of groups with so many right answers each: whether each is right, and its group."""
    right = np.concatenate([np.arange(m) < k for k, m in zip(hits, sizes, strict=True)])
    return right, np.repeat(np.arange(len(sizes)), sizes)


def drawn(rng, sizes, share, correlation):
    """Right answers of groups whose answers correlate so: alike if by 1, else beta-binomial."""
    if correlation == 1:
        return sizes * (rng.random(len(sizes)) < share)
    strength = (1 - correlation) / correlation
    return rng.binomial(sizes, rng.beta(share * strength, (1 - share) * strength, len(sizes)))


GROUPS = {
    "equal": np.full(30, 6),
    "few": np.full(12, 10),
    "unequal": np.asarray([*[10] * 3, *[1] * 30]),
    "one work is half": np.asarray([30, *[1] * 30]),
    "painters": np.asarray([24, 16, 12, 10, 8, 6, 6, 3]),
    "single works": np.ones(90, int),
}


# For a correlation that cannot be told from so few works, the interval is wider than it need be.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "share", "correlation"),
    [
        ("equal", 0.5, 0.3),
        ("few", 0.5, 0.3),
        ("few", 0.5, 1),
        ("unequal", 0.5, 0.6),
        ("unequal", 0.5, 1),
        ("unequal", 0.1, 1),
        ("one work is half", 0.5, 1),
        ("painters", 0.5, 0.3),
        ("single works", 0.5, 1),
        ("single works", 0.9, 1),
    ],
)
def test_the_interval_covers_the_truth_in_95_of_100_cases(kind, share, correlation):
    rng, sizes, repeats = np.random.default_rng(0), GROUPS[kind], 250
    covered = 0
    for _ in range(repeats):
        low, high = share_interval(*answers(drawn(rng, sizes, share, correlation), sizes))
        covered += low <= share <= high
    assert 0.92 <= covered / repeats <= 0.98


def test_the_ends_are_the_shares_that_two_tests_just_reject():
    """Groups whose answers are all alike, and so many of them that nothing else is likely."""
    right, groups = answers(2 * (np.arange(300) < 90), np.full(300, 2))
    low, high = share_interval(right, groups)
    half = stats.binom.pmf(90, 300, [low, high]) / 2
    assert stats.binom.sf(90, 300, low) + half[0] == pytest.approx(0.025, abs=1e-3)
    assert stats.binom.cdf(89, 300, high) + half[1] == pytest.approx(0.025, abs=1e-3)


@pytest.mark.parametrize("share", [0, 1])
def test_of_answers_that_are_all_alike_the_interval_has_one_end(share):
    right, groups = answers([10 * share] * 6, [10] * 6)
    interval = share_interval(right, groups)
    assert share in interval
    # As certain as six trials, and not as sixty.
    assert interval == pytest.approx(wilson_interval(share, 6), abs=0.04)


def test_the_share_is_always_inside():
    # A hundred images of one work against all others: no p explains both.
    for hits in ([100, *[0] * 50], [0, *[1] * 50]):
        right, groups = answers(hits, [100, *[1] * 50])
        low, high = share_interval(right, groups)
        assert low <= right.mean() <= high


def test_images_of_one_work_count_as_less_than_as_many_works():
    labels = np.zeros(60, int)
    logs = np.log(np.where(np.arange(60)[:, None] < 30, [0.9, 0.1], [0.1, 0.9]))
    alone = metrics.summary(Predictions(labels, logs))
    ids = np.asarray([f"work {i // 10}" for i in range(60)])
    clustered = metrics.summary(Predictions(labels, logs, ids))
    assert (alone["works"], clustered["works"]) == (60, 6)
    assert (alone["clusters"], clustered["clusters"]) == (60, 6)
    assert clustered["top1_ci95"] == pytest.approx(wilson_interval(0.5, 6), abs=0.04)
    assert alone["top1_ci95"] == list(wilson_interval(0.5, 60))
    # Two scans of each work, of which a list of near-duplicates says that they are one.
    twice = Predictions(labels, logs, ids, np.asarray([f"group {i // 20}" for i in range(60)]))
    row = metrics.summary(twice)
    assert (row["works"], row["clusters"]) == (6, 3)
    assert row["top1_trials"] < clustered["top1_trials"] < alone["top1_trials"] == 60


def test_works_of_one_image_each_are_independent():
    labels = np.arange(50) % 3
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 50))
    ids = np.asarray([str(i) for i in range(50)])
    names = ["a", "b", "c"]
    assert metrics.summary(Predictions(labels, logs, ids), names) == metrics.summary(
        Predictions(labels, logs), names
    )


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 1])
@pytest.mark.parametrize("trials", [0.8, 7, 60, 250.5])
def test_trials_are_those_of_an_interval_as_wide(share, trials):
    interval = wilson_interval(share, trials)
    assert independent_trials(share, interval, 1000) == pytest.approx(trials)
    assert independent_trials(share, interval, 5) == pytest.approx(min(trials, 5))
