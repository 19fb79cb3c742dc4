"""Convolutions in other arithmetic: the same outputs, of those and of nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from artjax.models import create_model
from artjax.models.faster_convolutions import with_faster_convolutions


def primitives(function, *arguments):
    names = [e.primitive.name for e in jax.make_jaxpr(function)(*arguments).jaxpr.eqns]
    return names.count("conv_general_dilated"), names.count("dot_general")


def convolution(kernel_shape, inputs_shape=(2, 16, 16, 128), dtype=jnp.float32, **options):
    """A function of inputs and a kernel, and both of these."""
    keys = jax.random.split(jax.random.key(0))
    arrays = [
        jax.random.normal(key, shape, dtype)
        for key, shape in zip(keys, (inputs_shape, kernel_shape), strict=True)
    ]
    given = {"window_strides": (1, 1), "padding": "SAME"} | options
    numbers = ("NHWC", "HWIO", "NHWC")
    return partial(lax.conv_general_dilated, **given, dimension_numbers=numbers), arrays


@pytest.mark.parametrize(
    ("kernel", "options", "replaced"),
    [
        ((1, 1, 128, 8), {}, True),
        ((3, 3, 128, 128), {}, True),
        ((3, 3, 128, 8), {}, False),
        ((3, 3, 128, 128), {"padding": "VALID"}, False),
        ((3, 3, 128, 128), {"window_strides": (2, 2)}, False),
        ((3, 3, 128, 128), {"rhs_dilation": (2, 2)}, False),
        ((1, 1, 128, 8), {"window_strides": (2, 2)}, False),
        ((1, 1, 128, 8), {"padding": ((1, 1), (0, 0))}, False),
        ((1, 1, 1, 128), {"feature_group_count": 128}, False),
        ((1, 1, 128, 8), {"dtype": jnp.bfloat16}, False),
    ],
    ids=str,
)
def test_values_are_those_of_xla(kernel, options, replaced):
    function, arrays = convolution(kernel, **options)
    faster = with_faster_convolutions(function, use_winograd=True)
    assert (primitives(faster, *arrays)[0] == 0) == replaced
    expected, found = function(*arrays), faster(*arrays)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=3e-5 * np.abs(expected).max(), rtol=0)


def test_winograd_is_used_only_where_it_is_wanted():
    function, arrays = convolution((3, 3, 128, 128))
    assert primitives(with_faster_convolutions(function), *arrays) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet50"])
def test_networks_have_the_same_features(name):
    model = create_model(name, {"artist": 2}, dropout=0.0, dtype=jnp.float32, platform="cpu")
    images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    variables = jax.jit(lambda key: model.init(key, images, until="pooled"))(jax.random.key(1))

    def features(variables, batch, nothing):
        assert nothing is None
        return {"features": model.apply(variables, batch["images"], until="pooled")}

    faster = with_faster_convolutions(features, use_winograd=True)
    arguments = variables, {"images": images}, None
    before, after = primitives(features, *arguments), primitives(faster, *arguments)
    assert after[0] < before[0] / 2
    expected, found = (jax.jit(f)(*arguments)["features"] for f in (features, faster))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
