import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from artjax.models import create_model
from artjax.models.vgg import VGG

STAGES = ((4, 4), (8,))


def build(name, classes=10, relu_after_pool=True):
    return create_model(
        name,
        {"artist": classes},
        dropout=0.5,
        relu_after_pool=relu_after_pool,
        dtype=jnp.float32,
        platform="cpu",
    )


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.slow
def test_outputs_and_parameter_count_equal_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras  # takes seconds, and only here

    theirs = keras.applications.VGG16(weights=None, classes=10, classifier_activation=None)
    weights = theirs.get_weights()
    model = build("vgg16")
    images = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    layers = [n for n in shapes if n.startswith("conv")] + ["fc1", "fc2", "head_artist"]
    params = {
        layer: {"kernel": kernel, "bias": bias}
        for layer, kernel, bias in zip(layers, weights[0::2], weights[1::2], strict=True)
    }
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda s: s.shape, dict(shapes))
    assert count(shapes) == theirs.count_params()
    ours = model.apply({"params": params}, images)["artist"]
    with jax.numpy_rank_promotion("allow"):  # of Keras
        expected = theirs(images)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    # Table 2 of the paper, in millions: 133, 133, 138, 144 with 1000 classes.
    [("vgg11", 133e6), ("vgg13", 133e6), ("vgg16", 138e6), ("vgg19", 144e6)],
)
def test_parameters_as_in_the_paper(name, parameters):
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(build(name, classes=1000).init, jax.random.key(0), images)
    assert abs(count(shapes["params"]) - parameters) < 0.5e6


class Textbook(nn.Module):
    """A VGG of Flax's own layers, in the usual order."""

    batch_norm: bool

    @nn.compact
    def __call__(self, x):
        for s, widths in enumerate(STAGES, start=1):
            for c, channels in enumerate(widths, start=1):
                use_bias = not self.batch_norm
                x = nn.Conv(channels, (3, 3), use_bias=use_bias, name=f"conv{s}_{c}")(x)
                if self.batch_norm:
                    x = nn.BatchNorm(False, momentum=0.9, name=f"bn{s}_{c}")(x)
                x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(3, name="head_a")(x.mean((1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("relu_after_pool", [False, True])
@pytest.mark.parametrize("stem_channels", [3, 8])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_values_and_gradients_are_those_of_the_textbook(batch_norm, stem_channels, relu_after_pool):
    images = jax.random.uniform(jax.random.key(1), (4, 16, 16, 3), minval=-1)
    ours = VGG(
        STAGES,
        (),
        classes={"a": 3},
        batch_norm=batch_norm,
        dropout=0.0,
        relu_after_pool=relu_after_pool,
        stem_channels=stem_channels,
    )
    variables = jax.jit(Textbook(batch_norm).init)(jax.random.key(0), images)
    shapes = jax.eval_shape(ours.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)

    def loss(params, apply):
        logits, changed = apply({**variables, "params": params})
        return (logits**2).mean(), changed

    def our_apply(variables):
        logits, changed = ours.apply(variables, images, train=True, mutable=["batch_stats"])
        return logits["a"], changed

    def textbook_apply(variables):
        return Textbook(batch_norm).apply(variables, images, mutable=["batch_stats"])

    gradient_of = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max()),
        gradient_of(variables["params"], our_apply),
        gradient_of(variables["params"], textbook_apply),
    )


@pytest.mark.slow
def test_all_classes_are_equally_likely_at_first():
    model = build("vgg_small", classes=7)
    images = jax.random.uniform(jax.random.key(1), (4, 64, 64, 3))
    logits = jax.jit(model.init_with_output)(jax.random.key(0), images)[0]["artist"]
    np.testing.assert_array_equal(jax.nn.softmax(logits), np.full((4, 7), np.float32(1 / 7)))


def test_bfloat16_changes_activations_but_not_parameters():
    model = create_model(
        "vgg16_bn",
        {"artist": 3},
        dropout=0.5,
        relu_after_pool=True,
        dtype=jnp.dtype("bfloat16"),
        platform="cpu",
    )
    shapes = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    )
    logits, variables = shapes
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert logits["artist"].dtype == jnp.float32
    jaxpr = str(jax.make_jaxpr(model.apply)(variables, jnp.zeros((1, 64, 64, 3))))
    assert "bf16[1,64,64,64]" in jaxpr
