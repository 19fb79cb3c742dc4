import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from artjax.models.pooling import adaptive_average_pool, max_pool_2x2, max_pool_3x3


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


PADDINGS = (((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (0, 0)), ((0, 1), (1, 0)))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(7, 9), (8, 6), (3, 10)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_3x3_equals_flax_with_its_gradient(size, padding, ties):
    rng = np.random.default_rng(0)
    draw = rng.integers(-1, 2, (2, *size, 3)) if ties else rng.normal(size=(2, *size, 3))
    inputs = jnp.asarray(draw, jnp.float32)
    outputs, pullback = jax.vjp(lambda x: max_pool_3x3(x, padding), inputs)
    expected, expected_pullback = jax.vjp(lambda x: nn.max_pool(x, (3, 3), (2, 2), padding), inputs)
    np.testing.assert_array_equal(outputs, expected)
    # Whole numbers, whose sums are exact.
    weights = jnp.asarray(rng.integers(-9, 10, outputs.shape), jnp.float32)
    np.testing.assert_array_equal(pullback(weights)[0], expected_pullback(weights)[0])


def test_nan_spreads_through_max_pool_3x3():
    inputs = jnp.zeros((1, 7, 7, 1)).at[0, 2, 3, 0].set(jnp.nan)
    expected = nn.max_pool(inputs, (3, 3), (2, 2))
    assert int(jnp.isnan(expected).sum()) == 2
    np.testing.assert_array_equal(max_pool_3x3(inputs), expected)


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
