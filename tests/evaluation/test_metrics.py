import numpy as np
import pytest
from scipy import special
from sklearn import metrics as oracle

from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions


# With 200 works every class occurs as a label or a prediction. With 9, some occur once, some never.
@pytest.mark.parametrize(("works", "classes"), [(200, 7), (9, 12)])
def test_all_numbers_equal_scikit_learn(works, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - 1, works)
    logits = rng.normal(size=(works, classes)).astype(np.float32)
    given = Predictions(labels, metrics.log_softmax(logits))
    probabilities = special.softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.exp(given.log_probabilities), probabilities, rtol=1e-12)
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(given.predicted, predicted)
    assert metrics.top1(given) == pytest.approx(oracle.accuracy_score(labels, predicted))
    top5 = oracle.top_k_accuracy_score(labels, probabilities, k=5, labels=range(classes))
    assert metrics.top5(given) == pytest.approx(top5)
    loss = oracle.log_loss(labels, probabilities, labels=range(classes))
    assert metrics.loss(given) == pytest.approx(loss)
    f1 = oracle.f1_score(labels, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(given) == pytest.approx(f1)


@pytest.mark.parametrize(("right", "works"), [(0, 9), (9, 9), (62, 100), (1, 3)])
def test_the_interval_ends_at_the_shares_that_a_score_test_just_rejects(right, works):
    low, high = metrics.wilson_interval(right / works, works)
    share, z = right / works, 1.959963984540054  # the normal distribution has 2.5 % above z
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / works)
    assert (low == 0) == (right == 0)
    assert (high == 1) == (right == works)


def test_interval_ends_exactly_at_0_and_at_1():
    # Not so for all n by its formula alone, whose rounding leaves 1e-17 or 0.9999999999999999.
    assert {metrics.wilson_interval(0.0, n)[0] for n in range(1, 500)} == {0.0}
    assert {metrics.wilson_interval(1.0, n)[1] for n in range(1, 500)} == {1.0}


def test_equal_probabilities_are_ranked_by_class_number():
    ties = Predictions(np.asarray([0, 1, 2]), np.log(np.full((3, 3), 1 / 3)))
    assert list(ties.label_ranks) == [1, 2, 3]
    assert list(ties.predicted) == [0, 0, 0]


def test_log_softmax_survives_large_logits():
    values = metrics.log_softmax(np.asarray([[1e4, 0.0], [-1e4, 0.0]], np.float32))
    np.testing.assert_allclose(np.exp(values).sum(axis=1), 1)
    assert np.isfinite(values).all()
