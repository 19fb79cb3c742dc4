"""Confusion matrix, average precision and curves, beside scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from artjax.errors import WorkdirError
from artjax.evaluation import curves, metrics
from artjax.evaluation.calibration import expected_calibration_error, reliability_curve
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.risk_coverage import area_under_risk_coverage, risk_coverage_curve
from artjax.files import json_text

NAMES = ("ada", "bo", "cy", "dee, jr.", "eve")


def drawn(works=60, classes=5, decimals=None):
    """The last class has no work; with few decimals many probabilities are equal."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(classes), works)
    shares = shares if decimals is None else shares.round(decimals)
    with np.errstate(divide="ignore"):
        return Predictions(rng.integers(0, classes - 1, works), np.log(shares))


@pytest.mark.parametrize("decimals", [None, 1])
def test_average_precision_equals_scikit_learn_for_each_class(decimals):
    given = drawn(decimals=decimals)
    scores = np.exp(given.log_probabilities)
    found = metrics.by_class(given, NAMES)
    theirs = [oracle.average_precision_score(given.labels == c, scores[:, c]) for c in range(4)]
    assert [found[name]["average_precision"] for name in NAMES[:4]] == pytest.approx(theirs)
    assert found["eve"]["average_precision"] is None  # no work
    assert metrics.average_precision(given) == pytest.approx(np.mean(theirs))
    nan = given._replace(log_probabilities=np.where(np.eye(60, 5) > 0, np.nan, scores))
    assert metrics.average_precision(nan) is None


def test_the_confusion_matrix_equals_scikit_learn_and_leaves_out_what_has_no_output():
    given = drawn()
    counts = curves.confusion_matrix(given)
    args = given.labels, given.predicted
    np.testing.assert_array_equal(counts, oracle.confusion_matrix(*args, labels=range(5)))
    theirs = oracle.confusion_matrix(*args, labels=range(5), normalize="true")
    np.testing.assert_allclose(curves.row_normalised(counts), theirs)
    logs = given.log_probabilities.copy()
    logs[:7] = np.nan
    assert curves.confusion_matrix(given._replace(log_probabilities=logs)).sum() == 53


def test_the_error_of_calibration_is_that_of_the_reliability_curve():
    given = drawn(200)
    bins = reliability_curve(given)
    assert sum(one.works for one in bins) == 200
    error = sum(one.works * abs(one.right - one.probability) for one in bins) / 200
    assert error == pytest.approx(expected_calibration_error(given))
    assert all(one.interval[0] <= one.right <= one.interval[1] for one in bins)
    assert reliability_curve(drawn(5)) == []


@pytest.mark.parametrize("classes", [1, 3])
def test_equal_and_certain_probabilities_leave_no_bin_empty(classes):
    with np.errstate(divide="ignore"):
        logs = np.log(np.tile(np.eye(1, classes), (30, 1)))  # the first class, with probability 1
    given = Predictions(np.arange(30) % classes, logs)
    (one,) = reliability_curve(given)
    assert (one.works, one.probability) == (30, 1.0)
    assert one.right == pytest.approx(1 / classes)


def test_risk_and_coverage_of_the_surest_works():
    """Counted by hand: probabilities 0.9, 0.8, 0.8, 0.6, of which the second and the last are wrong."""
    confidence = np.asarray([0.9, 0.8, 0.8, 0.6])
    logs = np.log(np.stack([confidence, 1 - confidence], axis=1))
    given = Predictions(np.asarray([0, 1, 0, 1]), logs)
    curve = risk_coverage_curve(given)
    np.testing.assert_allclose([p.coverage for p in curve], [0.25, 0.75, 1])
    np.testing.assert_allclose([p.risk for p in curve], [0, 1 / 3, 0.5])
    np.testing.assert_allclose([p.probability for p in curve], [0.9, 0.8, 0.6])
    # Of two equal works half a wrong one each.
    assert area_under_risk_coverage(given) == pytest.approx((0 + 0.5 / 2 + 1 / 3 + 0.5) / 4)
    swapped = given.only([0, 2, 1, 3])
    assert area_under_risk_coverage(swapped) == area_under_risk_coverage(given)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    given = drawn(500)
    curve, whole = (risk_coverage_curve(given, most) for most in (20, 1000))
    assert len(curve) == 20 < len(whole) == 500
    assert (curve[0], curve[-1]) == (whole[0], whole[-1])
    assert curve[-1].risk == pytest.approx(1 - metrics.top1(given))


def test_what_is_written_is_read_again(tmp_path):
    given = drawn()
    row = metrics.summary(given, NAMES)
    nothing = Predictions(np.empty(0, int), np.empty((0, 5)))
    of_tasks, classes = {"artist": given, "genre": nothing}, {"artist": NAMES, "genre": NAMES}
    for name, text in curves.tables(of_tasks, classes).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(WorkdirError, match=r"no whole evaluation .*--mode evaluate"):
        curves.read_evaluation(tmp_path)
    (tmp_path / "predictions.csv").write_text("file_name,task\na.jpg,artist\n")
    (tmp_path / "metrics.json").write_text(json_text({"tasks": {"artist": row}}, sort_keys=True))
    found = curves.read_evaluation(tmp_path).tasks["artist"]
    assert found.class_names == NAMES
    np.testing.assert_array_equal(found.confusion, curves.confusion_matrix(given))
    assert found.reliability == reliability_curve(given)
    assert found.risk_coverage == risk_coverage_curve(given)
    assert found.predictions == [{"file_name": "a.jpg", "task": "artist"}]
