import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from artjax.models.pooling import adaptive_average_pool, max_pool_2x2


def textbook(x):
    return nn.max_pool(x, (2, 2), (2, 2))


@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_equals_flax_with_its_gradient(ties):
    key = jax.random.key(0)
    x = jax.random.normal(key, (3, 8, 6, 5))
    if ties:
        x = jnp.round(x)  # most windows have equal maxima
    weights = jax.random.normal(jax.random.key(1), (3, 4, 3, 5))
    ours, our_gradient = jax.value_and_grad(lambda x: (max_pool_2x2(x) * weights).sum())(x)
    theirs, their_gradient = jax.value_and_grad(lambda x: (textbook(x) * weights).sum())(x)
    np.testing.assert_array_equal(max_pool_2x2(x), textbook(x))
    assert ours == theirs
    np.testing.assert_array_equal(our_gradient, their_gradient)


def test_adaptive_pool_is_the_identity_at_its_own_size():
    x = jax.random.normal(jax.random.key(0), (2, 7, 7, 3))
    np.testing.assert_array_equal(adaptive_average_pool(x, 7), x)


@pytest.mark.parametrize("side", [2, 3, 8, 14, 20])
def test_adaptive_pool_averages_the_bins_of_its_definition(side):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    pooled = np.asarray(adaptive_average_pool(jnp.asarray(x), 7))
    for i in range(7):
        for j in range(7):
            rows = slice(int(np.floor(i * side / 7)), int(np.ceil((i + 1) * side / 7)))
            columns = slice(int(np.floor(j * side / 7)), int(np.ceil((j + 1) * side / 7)))
            mean = x[:, rows, columns].mean(axis=(1, 2))
            np.testing.assert_allclose(pooled[:, i, j], mean, rtol=1e-5, atol=1e-6)
