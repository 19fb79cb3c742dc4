"""Runs beside each other: simulated answers, of which it is known whether they differ."""

import numpy as np
import pytest
from tiny import tiny_config

from artjax.errors import ConfigError
from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions
from artjax.modes.compare import comparing, page
from artjax.modes.compare.mode import recipes_in

WORKS, CLASSES = 120, 4
LABELS = np.arange(WORKS) % CLASSES
CLUSTERS = np.asarray([f"c{i // 2}" for i in range(WORKS)])  # two images of each work


def answers(rng, share):
    """Answers of which about a share is right; images of a cluster are right or wrong together."""
    right = np.repeat(rng.random(WORKS // 2) < share, 2)
    return np.where(right, LABELS, (LABELS + 1) % CLASSES)


def predictions(answers):
    logs = np.log(np.full((WORKS, CLASSES), 0.1 / 3) + np.eye(CLASSES)[answers] * (0.9 - 0.1 / 3))
    return {"artist": Predictions(LABELS, logs, CLUSTERS)}


def test_permuted_predictions_show_no_difference_in_95_percent_of_200_tries(monkeypatch):
    """Which of two networks gives an answer is drawn for each cluster: both are equally good."""
    monkeypatch.setattr("artjax.evaluation.bootstrap.RESAMPLES", 200)  # of the intervals
    rng = np.random.default_rng(0)
    found, outside = 0, 0
    for _ in range(200):
        a, b = answers(rng, 0.7), answers(rng, 0.6)
        swap = np.repeat(rng.random(WORKS // 2) < 0.5, 2)
        (pair,) = comparing.pairs_of(
            [predictions(np.where(swap, b, a)), predictions(np.where(swap, a, b))]
        )
        found += pair.shown
        outside += any(not low <= 0 <= high for low, high in (pair.top1_ci95, pair.macro_f1_ci95))
    assert found <= 10
    assert outside <= 20  # two intervals


def test_a_true_difference_is_shown_and_its_numbers_are_those_of_the_runs():
    rng = np.random.default_rng(1)
    first, second = predictions(answers(rng, 0.95)), predictions(answers(rng, 0.5))
    (pair,) = comparing.pairs_of([first, second])
    a, b = first["artist"], second["artist"]
    assert pair.shown
    assert pair.p < 1e-4
    assert pair.top1 == pytest.approx(metrics.top1(a) - metrics.top1(b))
    assert pair.macro_f1 == pytest.approx(metrics.macro_f1(a) - metrics.macro_f1(b))
    assert (pair.only_first - pair.only_second) / WORKS == pytest.approx(pair.top1)
    for value, (low, high) in ((pair.top1, pair.top1_ci95), (pair.macro_f1, pair.macro_f1_ci95)):
        assert 0 < low < value < high
    # The standard error of a mean of differences, by hand: clusters are what is drawn.
    difference = (a.predicted == LABELS).astype(float) - (b.predicted == LABELS)
    error = difference.reshape(-1, 2).mean(axis=1).std() / np.sqrt(WORKS // 2)
    assert (pair.top1_ci95[1] - pair.top1_ci95[0]) / 4 == pytest.approx(error, rel=0.1)


def test_the_same_answers_have_no_interval_and_no_difference():
    same = predictions(LABELS)
    (pair,) = comparing.pairs_of([same, same])
    assert (pair.p, pair.top1, pair.top1_ci95, pair.shown) == (1.0, 0.0, None, False)


def test_many_comparisons_make_a_small_p_worthless():
    """Six clusters to one side have p = 0.031: shown alone, and not among ten comparisons."""
    worse = LABELS.copy()
    worse[:12] = (worse[:12] + 1) % CLASSES
    two = [predictions(LABELS), predictions(worse)]
    (alone,) = comparing.pairs_of(two)
    assert alone.p == pytest.approx(2 * 0.5**6)  # six clusters, all to one side
    assert alone.shown
    assert comparing.warnings_of([alone]) == []
    many = comparing.pairs_of([*two, *[predictions(LABELS)] * 3])
    assert len(many) == 10
    assert not any(pair.shown for pair in many)
    (warning,) = comparing.warnings_of(many)
    assert warning.startswith("warning: 4 of 10 comparisons have p below 0.05")


def test_recipes_differ_only_if_by_more_than_their_seeds():
    def seeds(*shares):
        rng = np.random.default_rng(2)
        return [predictions(answers(rng, share)) for share in shares]

    apart = seeds(0.95, 0.95, 0.95, 0.5, 0.5, 0.5)
    (found,) = comparing.recipes_of(apart, [[0, 1, 2], [3, 4, 5]])
    assert found.shown
    assert found.difference == pytest.approx(found.means[0] - found.means[1])
    # As far apart in the mean, but so are the seeds of one.
    scattered = seeds(0.95, 0.95, 0.95, 0.95, 0.5, 0.05)
    (found,) = comparing.recipes_of(scattered, [[0, 1, 2], [3, 4, 5]])
    assert not found.shown
    assert found.deviations[1] > 0.2
    assert comparing.recipes_of(apart, [[0], [3, 4]]) == []


def test_runs_that_differ_in_the_seed_only_are_one_recipe():
    configs = [tiny_config(seed=0), tiny_config(steps=13), tiny_config(seed=5)]
    assert recipes_in(configs) == [[0, 2], [1]]
    found = page.differences(configs)
    assert found == {"seed": ["0", "0", "5"], "steps": ["12", "13", "12"]}


def test_a_folder_of_others_is_not_replaced(tmp_path):
    page.check_folder(tmp_path)  # empty
    (tmp_path / "summary.json").write_text('{"kind": "artjax comparison"}')
    page.check_folder(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a comparison"):
        page.check_folder(tmp_path)
