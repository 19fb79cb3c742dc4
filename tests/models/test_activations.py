"""Activations of the VGGs, and the initial kernels that suit them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from artjax.models import create_model
from artjax.models.activations import ACTIVATIONS, activate
from artjax.models.staged import STAGES


class Layer(nn.Module):
    activation: str

    @nn.compact
    def __call__(self, x):
        return activate(self.activation, x, "act")


def applied(name, values):
    layer = Layer(name)
    return layer.apply(layer.init(jax.random.key(0), values), values)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gain_keeps_the_second_moment(name):
    z = jnp.asarray(np.random.default_rng(0).normal(size=1_000_000), jnp.float32)
    moment = float((applied(name, z) ** 2).mean())
    assert ACTIVATIONS[name].gain * moment == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0, 0, 2]),
        ("prelu", [-0.5, 0, 2]),
        ("leaky_relu", [-0.02, 0, 2]),
        ("elu", [np.exp(-2) - 1, 0, 2]),
        ("gelu", [-0.04550026, 0, 1.9544997]),
    ],
)
def test_values(name, expected):
    np.testing.assert_allclose(applied(name, jnp.asarray([-2.0, 0.0, 2.0])), expected, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_vgg_uses_its_activation_everywhere(name):
    model = create_model(
        "vgg_small",
        {"artist": 3},
        dtype=jnp.dtype("float32"),
        platform="cpu",
        activation=name,
        relu_after_pool=True,
    )
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    slopes = [path for path in variables["params"] if path.startswith("act")]
    assert len(slopes) == (6 if name == "prelu" else 0)  # one for each convolution
    _, seen = jax.jit(partial(model.apply, mutable=[STAGES]))(variables, images)
    lowest = min(float(seen[STAGES][f"stage{s}"][0].min()) for s in range(1, 5))
    assert (lowest == 0) == (name == "relu")


def test_gelu_comes_before_the_pool():
    # It is not monotonic, so the two do not commute: the maximum of gelu(-5) and gelu(-1) is gelu(-5).
    model = create_model(
        "vgg_small", {}, dtype=jnp.dtype("float32"), platform="cpu", activation="gelu"
    )
    values = jnp.asarray([-5.0, -1.0])
    assert applied("gelu", values).max() > applied("gelu", values.max()[None])[0]
    images = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    _, seen = jax.jit(partial(model.apply, mutable=[STAGES]))(variables, images)
    normalised = nn.Conv(16, (3, 3), use_bias=False).apply(
        {"params": variables["params"]["conv1_1"]}, images
    ) / np.sqrt(1 + 1e-5)
    expected = nn.max_pool(nn.gelu(normalised, approximate=False), (2, 2), (2, 2))
    np.testing.assert_allclose(seen[STAGES]["stage1"][0], expected, atol=1e-5)


def test_head_layers_take_the_place_of_the_hidden_ones():
    options = {"head_layers": (24, 12), "head_norm": True, "dropout": 0.5}
    model = create_model(
        "vgg11", {"artist": 3}, dtype=jnp.dtype("float32"), platform="cpu", **options
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    assert shapes["head_fc1"]["kernel"].shape == (49 * 512, 24)
    assert shapes["head_fc2"]["kernel"].shape == (24, 12)
    assert shapes["head_bn2"]["scale"].shape == (12,)
    assert shapes["head_artist"]["kernel"].shape == (12, 3)
    assert not [name for name in shapes if name.startswith("fc")]
