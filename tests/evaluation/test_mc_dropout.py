"""Passes with dropout: what they drop, on what that depends, and what their disagreement says."""

import jax
import numpy as np
import pytest
from scipy import stats
from tiny import tiny_config

from artjax.errors import ConfigError
from artjax.evaluation import mc_dropout, metrics
from artjax.evaluation.ensemble import mean_predictions
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training

PASSES = 400


def network(**changes):
    """A network with random weights, whose dropout is before a linear head, and a batch."""
    config = tiny_config(model__name="narrow_bn", model__dropout=0.4, **changes)
    training = create_training(config, {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1]))
    leaves, tree = jax.tree.flatten(training.initial_state().variables)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [
        leaf + 0.1 * jax.random.uniform(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, 40, 40, 3), np.uint8),
        "aspect": rng.uniform(0.4, 2.5, 8).astype(np.float32),
    }
    return training.network, jax.tree.unflatten(tree, drawn), batch


@pytest.fixture(scope="module")
def made():
    return network()


def passes_of(made, works, accumulate=1, number=PASSES):
    of, variables, batch = made
    batch = {name: array[works] for name, array in batch.items()}
    words = mc_dropout.words_of_pixels(batch["image"])
    return np.asarray(of.dropout_logits(variables, batch, words, number)["artist"])


def test_before_a_linear_head_the_passes_have_the_mean_and_variance_of_dropout(made):
    """Of features x and weights w: mean x·w, variance Σ(x w)² rate / (1 - rate); statistics stay."""
    of, variables, batch = made
    passes = passes_of(made, np.arange(8))
    assert passes.shape == (8, PASSES, 3)
    x = np.asarray(of.trunk_outputs(variables, batch), np.float64).reshape(8, -1)
    w = np.asarray(variables["params"]["head_artist"]["kernel"], np.float64)
    variance = (x**2) @ (w**2) * 0.4 / 0.6
    mean = np.asarray(of.logits(variables, batch)["artist"])
    np.testing.assert_array_less(np.abs(passes.mean(axis=1) - mean), 5 * np.sqrt(variance / PASSES))
    np.testing.assert_allclose(passes.var(axis=1), variance, rtol=0.5)


def test_a_work_has_the_same_passes_in_any_batch_and_place(made):
    whole = passes_of(made, np.arange(8), number=5)
    np.testing.assert_allclose(
        passes_of(made, np.asarray([6, 2]), number=5), whole[[6, 2]], rtol=1e-4, atol=1e-5
    )
    assert np.ptp(whole, axis=1).min() > 1e-4  # the passes differ
    in_parts = network(accumulate=2)
    np.testing.assert_allclose(
        passes_of(in_parts, np.arange(8), number=5), whole, rtol=1e-4, atol=1e-5
    )


def test_the_mean_its_entropy_and_what_of_it_is_disagreement(made):
    of, variables, batch = made
    words = mc_dropout.words_of_pixels(batch["image"])
    # The last two works are padding.
    found = mc_dropout.sampled(of, variables, batch, words[:6], 5)["artist"]
    shares = np.exp(metrics.log_softmax(passes_of(made, np.arange(8), number=5)))[:6]
    np.testing.assert_allclose(np.exp(found.log_probabilities), shares.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        found.expected_entropy, stats.entropy(shares, axis=2).mean(axis=1), rtol=1e-5
    )
    given = metrics.Predictions(
        np.zeros(6, int), found.log_probabilities, expected_entropy=found.expected_entropy
    )
    # The mutual information is the mean distance of the passes from their mean (Kullback & Leibler).
    distance = stats.entropy(shares, shares.mean(axis=1, keepdims=True), axis=2).mean(axis=1)
    np.testing.assert_allclose(given.mutual_information, distance, rtol=1e-3, atol=1e-9)
    assert metrics.summary(given)["mutual_information"] == pytest.approx(distance.mean(), rel=1e-3)
    assert given.only([2, 3]).mutual_information == pytest.approx(distance[2:4], rel=1e-3)


def test_members_that_agree_share_no_information_and_others_a_bit():
    with np.errstate(divide="ignore"):
        sure = [
            metrics.Predictions(np.asarray([0, 0]), np.log(np.eye(2)[answers]))
            for answers in ([0, 0], [0, 1])
        ]
    together = mean_predictions(sure)
    assert together.mutual_information == pytest.approx([0, np.log(2)])
    # Of means of means the entropies of the single answers count.
    assert mean_predictions([together, together]).mutual_information == pytest.approx(
        [0, np.log(2)]
    )
    assert mean_predictions(sure[:1]).mutual_information is None


def test_a_network_without_dropout_is_refused():
    config = tiny_config(model__dropout=0.0)
    assert mc_dropout.number_of_passes(config) == 0
    with pytest.raises(ConfigError, match=r"mc_dropout=5: the network has no dropout"):
        mc_dropout.number_of_passes(config, {"mc_dropout": 5})
    with pytest.raises(ConfigError, match="mc_dropout"):
        mc_dropout.number_of_passes(tiny_config(), {"mc_dropout": -1})
