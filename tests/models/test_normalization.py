import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from artjax.models.normalization import BatchNorm, LayerNorm


def textbook(train, dtype):
    return nn.BatchNorm(
        use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=jnp.dtype(dtype)
    )


def inputs_and_variables(dtype):
    keys = jax.random.split(jax.random.key(0), 6)
    # Channels with different means and variances, like the outputs of convolutions.
    spread = jnp.exp(jax.random.normal(keys[0], (5,)))
    x = jax.random.normal(keys[1], (6, 4, 8, 5)) * spread[None, None, None]
    x += jax.random.normal(keys[2], (1, 1, 1, 5))
    params = {"scale": 1 + jax.random.normal(keys[3], (5,)), "bias": jnp.arange(5.0)}
    statistics = {"mean": jax.random.normal(keys[4], (5,)), "var": spread}
    weights = jax.random.normal(keys[5], x.shape)
    return x.astype(dtype), {"params": params, "batch_stats": statistics}, weights


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 2e-6), ("bfloat16", 2e-2)])
def test_outputs_gradients_and_averages_are_those_of_flax(train, dtype, rounding):
    x, variables, weights = inputs_and_variables(dtype)

    def ours(params, x):
        module = BatchNorm(dtype=jnp.dtype(dtype))
        given = {**variables, "params": params}
        outputs, changed = module.apply(given, x, train=train, mutable=["batch_stats"])
        return (outputs.astype(jnp.float32) * weights).sum(), (outputs, changed["batch_stats"])

    def theirs(params, x):
        given = {**variables, "params": params}
        with jax.numpy_dtype_promotion("standard"):  # of Flax
            outputs, changed = textbook(train, dtype).apply(given, x, mutable=["batch_stats"])
        return (outputs.astype(jnp.float32) * weights).sum(), (outputs, changed["batch_stats"])

    def everything(function):
        gradient_of = jax.value_and_grad(function, argnums=(0, 1), has_aux=True)
        (_, (outputs, averages)), gradients = gradient_of(variables["params"], x)
        assert outputs.dtype == x.dtype
        return outputs, averages, gradients

    def same(our, their):
        our, their = np.asarray(our, np.float32), np.asarray(their, np.float32)
        np.testing.assert_allclose(our, their, rtol=0, atol=rounding * np.abs(their).max())

    jax.tree.map(same, everything(ours), everything(theirs))


def test_variables_start_as_those_of_flax():
    x = jnp.ones((2, 4, 4, 3))
    ours = BatchNorm().init(jax.random.key(0), x, train=True)
    theirs = textbook(True, "float32").init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_constant_channel_stays_finite():
    x = jnp.full((2, 4, 4, 3), 1e3 + 1 / 3)
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x, train=True)

    def loss(x):
        return module.apply(variables, x, train=True, mutable=["batch_stats"])[0].sum()

    assert np.isfinite(jax.grad(loss)(x)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer_norm_equals_that_of_flax_without_implicit_promotion(dtype):
    x = (100 + jax.random.normal(jax.random.key(0), (4, 5, 8))).astype(dtype)
    settings = {"epsilon": 1e-6, "dtype": jnp.dtype(dtype)}
    ours, theirs = LayerNorm(**settings), nn.LayerNorm(use_fast_variance=False, **settings)
    params = {"scale": jnp.arange(1.0, 9.0), "bias": jnp.arange(8.0)}

    def everything(module, promotion):
        def energy(params, x):
            outputs = module.apply({"params": params}, x)
            return (outputs.astype(jnp.float32) ** 2).sum(), outputs

        with jax.numpy_dtype_promotion(promotion):
            assert jax.tree.map(jnp.shape, module.init(jax.random.key(0), x)["params"]) == (
                jax.tree.map(jnp.shape, params)
            )
            return jax.jit(jax.grad(energy, argnums=(0, 1), has_aux=True))(params, x)

    found = everything(ours, "strict")
    assert found[1].dtype == x.dtype
    jax.tree.map(np.testing.assert_array_equal, found, everything(theirs, "standard"))
