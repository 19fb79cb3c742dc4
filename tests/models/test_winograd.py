"""Winograd's convolution against XLA's own."""

import jax
import numpy as np
import pytest
from jax import lax

from artjax.models import winograd
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


def test_it_pays_for_wide_kernels_of_3x3_only():
    assert winograd.pays((2, 56, 56, 256), (3, 3, 256, 512))
    assert not winograd.pays((2, 56, 56, 128), (3, 3, 128, 256))
    assert winograd.pays((8, 28, 28, 128), (3, 3, 128, 128))
    assert not winograd.pays((8, 28, 28, 64), (3, 3, 64, 128))
    assert not winograd.pays((8, 7, 7, 512), (3, 3, 512, 512))
    assert not winograd.pays((8, 28, 28, 512), (1, 1, 512, 512))
