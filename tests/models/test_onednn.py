"""Layers by oneDNN: the values of XLA, with what follows a layer computed in the same call."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from artjax.models import create_model, onednn
from artjax.models.activations import gelu
from artjax.models.staged import stage_names

pytestmark = pytest.mark.skipif(not onednn.is_there(), reason="this jaxlib does not bring oneDNN")


def array(number, *shape):
    return jax.random.normal(jax.random.key(number), shape)


def convolution(x, kernel, stride=1, padding="SAME", **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=numbers, **options
    )


IMAGES, KERNEL, BY_CHANNEL = array(0, 2, 9, 8, 6), array(1, 3, 3, 6, 5), array(2, 1, 1, 1, 5)
ADDED = array(3, 2, 9, 8, 5)
TOKENS, MATRIX, HEADS = array(4, 2, 7, 6), array(5, 6, 5), array(6, 6, 4, 3)


# Each: its function, the calls of oneDNN, and the equations of others that are left.
CASES = {
    "convolution": (lambda: convolution(IMAGES, KERNEL), 1, set()),
    "stride": (lambda: convolution(IMAGES, KERNEL, 2), 1, set()),
    "uneven padding": (lambda: convolution(IMAGES, KERNEL, 2, ((0, 2), (3, 1))), 1, set()),
    "normalised": (
        lambda: nn.relu((convolution(IMAGES, KERNEL) - BY_CHANNEL) * (BY_CHANNEL + 2) + BY_CHANNEL),
        1,
        set(),
    ),
    "shift, then scale": (
        lambda: (convolution(IMAGES, KERNEL) + BY_CHANNEL) * BY_CHANNEL,
        1,
        set(),
    ),
    "residual": (lambda: nn.relu(ADDED + (convolution(IMAGES, KERNEL) + BY_CHANNEL)), 1, set()),
    "GELU": (lambda: gelu(convolution(IMAGES, KERNEL) + BY_CHANNEL), 1, set()),
    "SiLU": (lambda: nn.silu(convolution(IMAGES, KERNEL) + BY_CHANNEL), 1, set()),
    "two convolutions": (
        lambda: nn.relu(convolution(IMAGES, KERNEL) + convolution(IMAGES, KERNEL[:1, :1])),
        2,
        set(),
    ),
    "scale after a sum": (lambda: (convolution(IMAGES, KERNEL) + ADDED) * BY_CHANNEL, 1, {"mul"}),
    "difference": (lambda: BY_CHANNEL - convolution(IMAGES, KERNEL), 1, {"sub"}),
    "two products of one": (lambda: (lambda y: y * y)(convolution(IMAGES, KERNEL)), 1, {"mul"}),
    "used twice": (
        lambda: (lambda y: nn.relu(y) + y * BY_CHANNEL)(convolution(IMAGES, KERNEL)),
        1,
        {"custom_jvp_call", "mul", "add"},
    ),
    "factors of places": (
        lambda: convolution(IMAGES[:, :5, :5], KERNEL) * array(7, 1, 5, 1, 1),
        1,
        {"mul"},
    ),
    "factors of the last place": (
        lambda: convolution(IMAGES, KERNEL)[:, :, :5] * 1 + array(8, 2, 1, 1, 5),
        1,
        {"mul", "add"},
    ),
    "tokens": (lambda: TOKENS @ MATRIX + array(9, 1, 1, 5), 1, set()),
    "heads": (
        lambda: lax.dot_general(TOKENS, HEADS, (((2,), (0,)), ((), ()))) + array(9, 1, 1, 4, 3),
        1,
        set(),
    ),
    "from heads": (
        lambda: (
            TOKENS @ MATRIX
            + lax.dot_general(
                array(10, 2, 7, 4, 3), array(11, 4, 3, 5), (((2, 3), (0, 1)), ((), ()))
            )
        ),
        2,
        set(),
    ),
    "groups": (
        lambda: convolution(IMAGES, array(12, 3, 3, 3, 4), feature_group_count=2),
        0,
        {"conv_general_dilated"},
    ),
    "dilated": (
        lambda: convolution(IMAGES, KERNEL, rhs_dilation=(2, 2)),
        0,
        {"conv_general_dilated"},
    ),
    "bfloat16": (
        lambda: convolution(IMAGES.astype(jnp.bfloat16), KERNEL.astype(jnp.bfloat16)),
        0,
        {"conv_general_dilated"},
    ),
    "batched product": (lambda: TOKENS @ TOKENS.swapaxes(1, 2), 0, {"dot_general"}),
}
WATCHED = {"add", "sub", "mul", "custom_jvp_call", "conv_general_dilated", "dot_general", "jit"}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_xla(name):
    function, calls, left = CASES[name]
    traced = jax.make_jaxpr(onednn.with_onednn(lambda _: function()))(0.0)
    names = [equation.primitive.name for equation in traced.eqns]
    assert names.count("ffi_call") == calls
    shape = traced.out_avals[0].shape
    of_shape = {e.primitive.name for e in traced.eqns if e.outvars[0].aval.shape == shape}
    assert of_shape & WATCHED == left
    expected, found = function(), jax.jit(onednn.with_onednn(lambda _: function()))(0.0)
    assert found.dtype == expected.dtype
    expected = np.asarray(expected, np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "vit_small_patch16"])
def test_networks_have_the_same_features(name):
    model = create_model(name, {"artist": 2}, dropout=0.0, dtype=jnp.float32, platform="cpu")
    images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    until = stage_names(model)[-1]
    variables = jax.jit(lambda key: model.init(key, images, until=until))(jax.random.key(1))
    variables = jax.tree.map(lambda leaf: leaf + 0.1 * (leaf.ndim == 1), variables)

    def features(variables, images):
        return model.apply(variables, images, until=until)

    expected, found = (
        jax.jit(f)(variables, images) for f in (features, onednn.with_onednn(features))
    )
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_its_programs_are_not_kept():
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    assert before == 0  # all others are
    with warnings.catch_warnings(), onednn.not_kept():
        warnings.simplefilter("error")  # jaxlib fails to write them, and JAX warns
        jax.jit(onednn.with_onednn(convolution))(IMAGES, KERNEL[:2])
    assert getattr(jax.config, name) == before


def test_it_is_used_only_with_versions_that_were_tried(monkeypatch):
    monkeypatch.setattr(onednn, "_TRIED_JAXLIB", ((0, 9),))
    assert not onednn.is_there.__wrapped__()
    monkeypatch.setattr(onednn, "_TRIED_JAXLIB", ((0, 10),))
    monkeypatch.setattr(onednn, "_TARGET", "__onednn$unknown")
    assert not onednn.is_there.__wrapped__()
