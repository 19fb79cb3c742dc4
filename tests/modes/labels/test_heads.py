"""Heads that predict the works which they have not learnt from."""

import numpy as np
import pytest

from artjax.modes.labels.heads import FOLDS, cross_validated


def test_every_work_is_predicted_and_the_classes_are_found():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = (np.eye(3)[labels] + 0.3 * rng.normal(size=(90, 3))).astype(np.float32)
    predictions, in_train = cross_validated(features, labels, np.arange(90), 4, seed=0)
    assert in_train.all()
    assert (predictions.predicted == labels).mean() > 0.9
    np.testing.assert_allclose(np.exp(predictions.log_probabilities).sum(axis=1), 1)
    assert (np.exp(predictions.log_probabilities)[:, 3] == 0).all()  # nobody has this class


def test_no_work_is_predicted_from_its_own_group():
    """Works of a group look the same and have the same random label: from their group all are known."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    features = rng.normal(size=(40, 60)).astype(np.float32)[groups]
    labels = rng.integers(0, 2, 40)[groups]
    apart, _ = cross_validated(features, labels, groups, 2, seed=0)
    leaking, _ = cross_validated(features, labels, np.arange(120), 2, seed=0)
    assert (apart.predicted == labels).mean() < 0.65
    assert (leaking.predicted == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("labels", "judged"),
    [([0] * 8, 0), ([0], 0), ([0, 1], 0), ([0] * 8 + [1] * 8 + [2], 16)],
    ids=["one class", "one work", "two single works", "a single work"],
)
def test_works_without_another_of_their_class_are_not_judged(labels, judged):
    labels = np.asarray(labels)
    features = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
    predictions, in_train = cross_validated(features, labels, np.arange(len(labels)), 3, seed=0)
    assert (in_train & predictions.finite).sum() == judged
    assert FOLDS > 2
