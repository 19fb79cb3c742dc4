import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from artjax.training import linear_heads, solving


def drawn(works, channels, classes, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.gamma(1.0, 1.0, (works, channels)) * rng.gamma(1.0, 1.0, channels)
    kernel = rng.normal(size=(channels, classes)) / np.sqrt(channels)
    noise = rng.gumbel(size=(works, classes))
    return features.astype(np.float32), (features @ kernel + noise).argmax(1)


def probabilities(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize(("works", "channels"), [(120, 10), (40, 60)])
def test_a_solved_head_is_that_of_scikit_learn(works, channels):
    features, labels = drawn(works, channels, 3)
    weights = np.stack([np.ones(works), np.where(np.arange(works) % 5, 2.0, 0.0)])
    strengths = np.asarray([0.01, 1.0])
    heads = linear_heads.solve(features, np.eye(3)[labels], weights, strengths)
    variance = features.astype(float).var(0).mean()
    for w, of_works in enumerate(weights):
        for s, strength in enumerate(strengths):
            oracle = LogisticRegression(
                C=1 / (of_works.sum() * strength * variance), tol=1e-10, max_iter=20_000
            ).fit(features.astype(float), labels, of_works)
            ours = probabilities(features @ heads.kernel[w, s] + heads.bias[w, s])
            np.testing.assert_allclose(ours, oracle.predict_proba(features), atol=1e-4)


@pytest.mark.slow
def test_splits_of_about_the_same_size_share_a_program():
    before = linear_heads._solve_all._cache_size()
    for works, channels in ((120, 90), (125, 100), (128, 70), (70, 200)):
        features, labels = drawn(works, channels, 3)
        weights, strengths = np.ones((1, works)), np.ones(1)
        linear_heads.solve(features, np.eye(3)[labels], weights, strengths, 0.01)
    assert linear_heads._solve_all._cache_size() == before + 1


def test_parts_hold_groups_together_and_classes_apart():
    labels = np.repeat([0, 1], 50)
    groups = np.arange(100) // 2
    part = solving.parts_of(labels, groups)
    np.testing.assert_array_equal(part[::2], part[1::2])
    counts = np.stack([np.bincount(part[labels == c], minlength=solving.PARTS) for c in (0, 1)])
    assert counts.min() == counts.max() == 10
