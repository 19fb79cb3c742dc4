import jax.numpy as jnp
import numpy as np
import pytest

from artjax.models import Preprocessing

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)


def test_default_maps_bytes_to_minus_one_to_one():
    levels = jnp.asarray([0, 127.5, 255])[:, None, None, None] * jnp.ones((1, 1, 1, 3))
    values = Preprocessing().normalise(levels)
    np.testing.assert_array_equal(values[:, 0, 0, 0], [-1, 0, 1])
    assert values.dtype == jnp.float32


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_channels_have_their_own_mean_and_deviation_in_the_given_order(order):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    values = Preprocessing(mean, std, order).normalise(jnp.asarray(PIXELS))
    expected = (PIXELS.astype(np.float64) / 255 - mean) / std
    expected = expected if order == "RGB" else expected[..., [2, 1, 0]]
    np.testing.assert_allclose(values, expected, atol=1e-6)
