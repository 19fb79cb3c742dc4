"""The sum of shifted products equals the convolution of XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from artjax.models import create_model
from artjax.models.depthwise import depthwise_convolution


def by_xla(inputs, kernel, stride):
    margin = len(kernel) // 2
    return lax.conv_general_dilated(
        inputs,
        kernel,
        (stride, stride),
        ((margin, margin), (margin, margin)),
        feature_group_count=inputs.shape[-1],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (7, 1), (3, 2), (5, 2), (3, 3)])
def test_values_and_gradients_are_those_of_xla(size, stride):
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(2, 9, 6, 5)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, 1, 5)), jnp.float32)
    expected = by_xla(inputs, kernel, stride)
    weights = jnp.asarray(rng.normal(size=expected.shape), jnp.float32)

    def both(convolution):
        return jax.value_and_grad(
            lambda x, k: (convolution(x, k, stride) * weights).sum(), argnums=(0, 1)
        )(inputs, kernel)

    np.testing.assert_allclose(depthwise_convolution(inputs, kernel, stride), expected, atol=1e-5)
    for ours, theirs in zip(
        jax.tree.leaves(both(depthwise_convolution)), jax.tree.leaves(both(by_xla)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_cpu_takes_it_and_a_gpu_does_not():
    models = [
        create_model("convnext_tiny", {}, dtype=jnp.dtype("float32"), platform=platform)
        for platform in ("cpu", "gpu")
    ]
    assert [model.shifted for model in models] == [True, False]
