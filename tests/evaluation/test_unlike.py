"""Distances from train, and the limit that works of the same kind seldom exceed."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from artjax.evaluation import unlike
from artjax.evaluation.embeddings import unit


@pytest.mark.parametrize("works", [3, 60])
def test_the_distance_is_the_mean_to_the_nearest_works(works):
    rng = np.random.default_rng(0)
    there, train = unit(rng.normal(size=(9, 6))), unit(rng.normal(size=(works, 6)))
    found = unlike.distances(there, train.astype(np.float16))
    count = min(works, unlike.NEIGHBOURS)
    oracle = NearestNeighbors(n_neighbors=count, metric="cosine").fit(train).kneighbors(there)[0]
    np.testing.assert_allclose(found, oracle.mean(axis=1), atol=2e-3)


@pytest.mark.parametrize(("works", "rate"), [(19, 0.05), (40, 0.05), (200, 0.1)])
def test_works_of_the_same_kind_exceed_the_limit_as_seldom_as_stated(works, rate):
    rng = np.random.default_rng(0)
    beyond = [
        rng.exponential() > unlike.limit(rng.exponential(size=works), rate) for _ in range(4000)
    ]
    assert np.mean(beyond) == pytest.approx(rate, abs=3 * np.sqrt(rate / 4000))


def test_few_works_show_no_limit():
    assert unlike.limit(np.arange(18.0), 0.05) is None
    assert unlike.limit(np.arange(19.0), 0.05) == 18
    assert unlike.limit(np.empty(0), 0.05) is None
