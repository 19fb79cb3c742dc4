"""Winograd's convolution against XLA's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from artjax.models import create_model, winograd
from artjax.models.winograd import convolution_3x3


@pytest.mark.parametrize(
    "shape", [(1, 4, 4, 3), (2, 7, 7, 5), (3, 14, 9, 8), (19, 5, 1, 4)], ids=str
)
def test_values_are_those_of_xla(shape):
    keys = jax.random.split(jax.random.key(0))
    inputs = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], (3, 3, shape[-1], 6))
    expected = lax.conv_general_dilated(
        inputs,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    found = jax.jit(convolution_3x3)(inputs, kernel)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=3e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.slow
def test_a_vgg_uses_it_for_wide_layers_only(monkeypatch):
    used = []

    def counted(inputs, kernel):
        used.append(kernel.shape[2:])
        return convolution_3x3(inputs, kernel)

    monkeypatch.setattr("artjax.models.vgg.convolution_3x3", counted)
    plain = create_model("vgg11", {"artist": 2}, dropout=0.0, dtype=jnp.float32, platform="cpu")
    (other,) = plain.other_arithmetic()
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    variables = jax.jit(lambda key: plain.init(key, images, until="stage5"))(jax.random.key(1))
    assert not used
    expected, found = (
        jax.jit(partial(model.apply, until="stage5"))(variables, images) for model in (plain, other)
    )
    assert used == [(256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
    assert plain.clone(dtype=jnp.bfloat16).other_arithmetic() == ()
    small = create_model("vgg_small", {"artist": 2}, dropout=0.0, dtype=jnp.float32, platform="cpu")
    assert small.other_arithmetic() == ()  # it has no wide layer: the same program twice


def test_it_pays_for_wide_kernels_of_3x3_only():
    assert winograd.pays((3, 3, 256, 512))
    assert not winograd.pays((3, 3, 128, 256))
    assert not winograd.pays((1, 1, 512, 512))
