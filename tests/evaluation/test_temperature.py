"""The temperature of a task, beside scikit-learn's."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from artjax.evaluation import metrics, temperature
from artjax.evaluation.metrics import Predictions


class GivenLogits(ClassifierMixin, BaseEstimator):
    """A classifier whose logits are what it is asked about."""

    def fit(self, logits, labels):
        self.classes_ = np.unique(labels)
        return self

    def decision_function(self, logits):
        return logits

    def predict(self, logits):
        return logits.argmax(axis=1)


def drawn(sureness, works=400, classes=4):
    """Labels drawn from a softmax, and logits that are `sureness` times too large."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(works, classes))
    labels = (np.cumsum(np.exp(log_softmax(logits, 1)), 1) < rng.random((works, 1))).sum(1)
    return sureness * logits, Predictions(labels, log_softmax(sureness * logits, axis=1))


@pytest.mark.parametrize("sureness", [0.3, 1.0, 4.0])
def test_the_temperature_equals_that_of_scikit_learn(sureness):
    logits, given = drawn(sureness)
    found = temperature.fitted(given)
    oracle = CalibratedClassifierCV(
        FrozenEstimator(GivenLogits().fit(logits, given.labels)), method="temperature"
    ).fit(logits, given.labels)
    logs = temperature.divided(given.log_probabilities, found)
    np.testing.assert_allclose(np.exp(logs), oracle.predict_proba(logits), atol=1e-3)
    assert found == pytest.approx(sureness, rel=0.15)
    after = given._replace(log_probabilities=logs)
    assert metrics.loss(after) <= metrics.loss(given)
    np.testing.assert_array_equal(after.predicted, given.predicted)
    assert metrics.top1(after) == metrics.top1(given)


def test_nothing_is_fitted_where_the_works_say_too_little():
    _, given = drawn(2.0)
    few = given.only(range(temperature.FEWEST_WORKS - 1))
    assert temperature.fitted(few) is None
    assert temperature.fitted(given.only(range(temperature.FEWEST_WORKS))) is not None
    # Of works that are all right, the loss falls as long as the temperature does.
    right = given._replace(labels=given.predicted)
    assert temperature.fitted(right) is None
    broken = given.log_probabilities.copy()
    broken[3] = np.nan
    assert temperature.fitted(given._replace(log_probabilities=broken)) is None
    assert np.isnan(temperature.divided(broken, 2.0)[3]).all()
    assert np.isfinite(temperature.divided(broken, 2.0)[4]).all()
