"""Embeddings and the search for the nearest works."""

import details
import jax
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from tiny import open_canvases

from artjax.evaluation import embeddings
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_nearest_works_are_those_of_scikit_learn(count, monkeypatch):
    rng = np.random.default_rng(0)
    queries, works = (embeddings.unit(rng.normal(size=(n, 5))) for n in (23, 40))
    monkeypatch.setattr(embeddings, "_AT_ONCE", 10)
    found = embeddings.nearest(queries, works, count)
    k = min(count, 40)
    distances, indices = (
        NearestNeighbors(n_neighbors=k, metric="cosine").fit(works).kneighbors(queries)
    )
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarities, 1 - distances, atol=1e-6)


def test_embeddings_are_means_over_the_picture_of_length_one():
    outputs = np.random.default_rng(0).normal(size=(4, 3, 3, 6)).astype(np.float16)
    found = embeddings.unit(outputs)
    mean = outputs.astype(np.float64).mean(axis=(1, 2))
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1)[:, None], rtol=1e-5)
    assert (embeddings.unit(np.zeros((2, 6), np.float16)) == 0).all()


def test_works_are_embedded_by_the_last_stage_in_their_order(details_dir):
    config = details.details_config(task=("genre",), model__name="narrow", batch_size=8)
    split = open_canvases(config, details_dir, None).split("test", {"genre": "genre"})
    training = create_training(config, {"genre": 3}, 60, create_mesh(devices=jax.devices()[:1]))
    network, variables = training.network, training.initial_state().variables
    found = embeddings.embed(network, variables, split)
    assert found.shape[0] == len(split) > 8
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    one = embeddings.embed(network, variables, split.only(np.asarray([9])))
    np.testing.assert_allclose(one[0], found[9], atol=1e-3)
    assert not np.allclose(found[8], found[9], atol=1e-3)
