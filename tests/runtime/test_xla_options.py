import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny import tiny_config

from artjax.models import create_model
from artjax.runtime import xla_options
from artjax.runtime.mesh import batch_sharding, create_mesh, replicated
from artjax.runtime.xla_options import compiler_options
from artjax.training.training import create_training


class Textbook(nn.Module):
    """vgg_small from Flax's own layers, with the parameter names of artjax."""

    @nn.compact
    def __call__(self, x):
        for s, widths in enumerate(((16,), (32,), (64, 64), (128, 128)), start=1):
            for c, channels in enumerate(widths, start=1):
                x = nn.Conv(channels, (3, 3), use_bias=False, name=f"conv{s}_{c}")(x)
                x = nn.BatchNorm(use_running_average=False, name=f"bn{s}_{c}")(x)
                x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        return {"artist": nn.Dense(5, name="head_artist")(x.mean((1, 2)))}


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_outputs_and_gradients_equal_the_textbook(devices):
    images = jax.random.uniform(jax.random.key(1), (16, 32, 32, 3), minval=-1)
    textbook = Textbook()
    model = create_model(
        "vgg_small",
        {"artist": 5},
        dropout=0.0,
        relu_after_pool=True,
        dtype=jnp.float32,
        platform="cpu",
    )
    variables = textbook.init(jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, model.init(jax.random.key(0), images)
    )
    weights = jax.random.normal(jax.random.key(2), (16, 5))

    def value_and_gradient(apply):
        def loss(params, images):
            logits, statistics = apply({**variables, "params": params}, images)
            return (logits["artist"] * weights).sum(), (logits["artist"], statistics)

        return jax.value_and_grad(loss, has_aux=True)

    expected = jax.jit(
        value_and_gradient(lambda v, x: textbook.apply(v, x, mutable=["batch_stats"]))
    )(variables["params"], images)
    mesh = create_mesh(devices=jax.devices()[:devices])
    ours = jax.jit(
        value_and_gradient(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])),
        in_shardings=(replicated(mesh), batch_sharding(mesh)),
        compiler_options=compiler_options("cpu"),
    )(variables["params"], images)
    ((_, (logits, _)), gradients), ((_, (their_logits, _)), their_gradients) = ours, expected
    np.testing.assert_allclose(logits, their_logits, rtol=1e-4, atol=1e-4)
    # Sums of thousands of products in another order: compared on the scale of each gradient.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(b).max(), rtol=0),
        gradients,
        their_gradients,
    )


def test_no_convolution_is_left_to_ynnpack():
    if not compiler_options("cpu"):
        pytest.skip("this jaxlib does not know the option")

    def text(options):
        images, kernel = jnp.zeros((8, 16, 16, 32)), jnp.zeros((3, 3, 32, 64))

        def convolution(x, k):
            dimensions = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_general_dilated(
                x, k, (1, 1), "SAME", dimension_numbers=dimensions
            ).sum()

        step = jax.jit(jax.grad(convolution, argnums=(0, 1)), compiler_options=options)
        return step.lower(images, kernel).compile().as_text()

    def inside_fusions(text):
        return sum("ROOT" in line and " convolution(" in line for line in text.splitlines())

    assert inside_fusions(text({}))  # or the option can go
    assert not inside_fusions(text(compiler_options("cpu")))


@pytest.mark.slow
def test_initial_state_has_the_same_bits_as_with_full_optimisation():
    training = create_training(
        tiny_config(), {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1])
    )
    assert "xla_backend_optimization_level" in compiler_options("cpu", runs_once=True)
    full = {"xla_backend_optimization_level": "3"}
    expected = jax.jit(training._create_state, compiler_options=full)()
    jax.tree.map(np.testing.assert_array_equal, training.initial_state(), expected)


def test_options_that_jaxlib_does_not_know_are_left_out(monkeypatch):
    known = {"xla_cpu_opt_preset": "CPU_OPT_PRESET_DEFAULT"}
    unknown = {"xla_cpu_no_such_option": "true", "xla_cpu_experimental_ynn_fusion_type": "NO_SUCH"}
    monkeypatch.setattr(xla_options, "_CPU_OPTIONS", known | unknown)
    compiler_options.cache_clear()
    try:
        assert compiler_options("cpu") == known
    finally:
        compiler_options.cache_clear()


def test_other_platforms_keep_their_defaults():
    assert compiler_options("gpu") == compiler_options("tpu") == {}
