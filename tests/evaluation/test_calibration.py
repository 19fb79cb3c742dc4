"""Whether probabilities mean what they say, beside scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from artjax.evaluation.calibration import BINS, brier_score, expected_calibration_error
from artjax.evaluation.metrics import Predictions


def drawn(works, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, 0.5), works)
    return Predictions(rng.integers(0, classes, works), np.log(shares))


def sure(confidence, right):
    """Two classes: the first is named with a confidence of 0.5 or more; is it right?"""
    with np.errstate(divide="ignore"):
        logs = np.log(np.stack([confidence, 1 - np.asarray(confidence)], axis=1))
    return Predictions(1 - np.asarray(right, int), logs)


@pytest.mark.parametrize("bins", [1, 10, BINS])
def test_bins_of_equal_mass_equal_the_calibration_curve_of_scikit_learn(bins):
    given = drawn(1500)
    confidence = np.exp(given.log_probabilities).max(axis=1)
    right = given.predicted == given.labels
    shares, means = calibration_curve(right, confidence, n_bins=bins, strategy="quantile")
    assert len(shares) == bins  # each of as many works
    expected = np.abs(shares - means).mean()
    assert expected_calibration_error(given, bins) == pytest.approx(expected)
    assert expected > 0.3


def test_a_confidence_of_exactly_1_counts():
    right = np.arange(60) % 4 > 0  # three of four
    assert expected_calibration_error(sure(np.ones(60), right)) == pytest.approx(0.25)
    # The same beside works that are right as often as they say.
    confidence = np.where(np.arange(120) < 60, 1.0, 0.75)
    both = sure(confidence, np.tile(right, 2))
    assert expected_calibration_error(both) == pytest.approx(0.125)


def test_the_order_of_works_of_equal_confidence_does_not_count():
    """Bins that divide them would find half of these works too sure, and half too modest."""
    right = np.arange(100) < 75
    assert expected_calibration_error(sure(np.full(100, 0.75), right)) == pytest.approx(0)


def test_calibrated_probabilities_have_a_small_error_and_others_theirs():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 30_000)
    right = rng.random(30_000) < confidence
    assert expected_calibration_error(sure(confidence, right)) < 0.015
    modest = rng.random(30_000) < confidence - 0.1
    assert expected_calibration_error(sure(confidence, modest)) == pytest.approx(0.1, abs=0.015)


def test_fewer_works_than_bins_have_no_error():
    assert expected_calibration_error(drawn(BINS - 1)) is None
    given = drawn(BINS)  # a work in each bin
    errors = np.exp(given.log_probabilities).max(axis=1) - (given.predicted == given.labels)
    assert expected_calibration_error(given) == pytest.approx(np.abs(errors).mean())


def test_one_class_is_certain():
    given = Predictions(np.zeros(20, int), np.zeros((20, 1)))
    assert expected_calibration_error(given) == brier_score(given) == 0


@pytest.mark.parametrize("classes", [2, 7])
def test_the_brier_score_is_the_sum_of_those_of_each_class(classes):
    given = drawn(50, classes)
    shares = np.exp(given.log_probabilities)
    parts = [oracle.brier_score_loss(given.labels == c, shares[:, c]) for c in range(classes)]
    assert brier_score(given) == pytest.approx(sum(parts))


def test_the_brier_score_is_2_for_certain_errors():
    assert brier_score(sure(np.ones(3), [False] * 3)) == 2


@pytest.mark.parametrize("score", [brier_score, expected_calibration_error])
def test_works_without_a_finite_output_leave_no_score(score):
    given = drawn(30)
    assert score(given) is not None
    given.log_probabilities[3] = np.nan
    assert score(given) is None
