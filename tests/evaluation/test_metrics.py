import numpy as np
import pytest
from sklearn import metrics as oracle

from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions


def predictions(works=200, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(works, classes)).astype(np.float32)
    return Predictions(rng.integers(0, classes - 1, works), metrics.log_softmax(logits))


def test_all_numbers_equal_scikit_learn():
    given = predictions()
    labels, probabilities = given.labels, np.exp(given.log_probabilities)
    classes = range(7)
    assert metrics.top1(given) == pytest.approx(oracle.accuracy_score(labels, given.predicted))
    top5 = oracle.top_k_accuracy_score(labels, probabilities, k=5, labels=classes)
    assert metrics.top5(given) == pytest.approx(top5)
    loss = oracle.log_loss(labels, probabilities, labels=classes)
    assert metrics.loss(given) == pytest.approx(loss)
    f1 = oracle.f1_score(labels, given.predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(given) == pytest.approx(f1)


@pytest.mark.parametrize(("right", "works"), [(0, 9), (9, 9), (62, 100), (1, 3)])
def test_bounds_of_the_interval_are_the_shares_that_a_score_test_just_rejects(right, works):
    low, high = metrics.accuracy_interval(right, works)
    share, z = right / works, 1.959963984540054  # the normal distribution has 2.5 % above z
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / works)
    assert (low == 0) == (right == 0)
    assert (high == 1) == (right == works)


def test_rank_of_the_label_counts_equals_before_it_once():
    ties = Predictions(np.asarray([0, 1, 2]), np.log(np.full((3, 3), 1 / 3)))
    assert list(ties.label_ranks) == [1, 2, 3]
    assert list(ties.predicted) == [0, 0, 0]


def test_log_softmax_survives_large_logits():
    values = metrics.log_softmax(np.asarray([[1e4, 0.0], [-1e4, 0.0]], np.float32))
    np.testing.assert_allclose(np.exp(values).sum(axis=1), 1)
    assert np.isfinite(values).all()
