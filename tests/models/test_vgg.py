import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from artjax.models import create_model
from artjax.models.vgg import VGG


def build(name, classes=10, relu_after_pool=True):
    return create_model(
        name,
        {"artist": classes},
        dropout=0.5,
        relu_after_pool=relu_after_pool,
        dtype=jnp.float32,
    )


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("name", "oracle"), [("vgg16", "VGG16"), ("vgg19", "VGG19")])
def test_outputs_and_parameter_count_equal_keras(name, oracle):
    theirs = getattr(keras.applications, oracle)(
        weights=None, classes=10, classifier_activation=None
    )
    weights = theirs.get_weights()
    model = build(name)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    layers = [n for n in shapes if n.startswith("conv")] + ["fc1", "fc2", "head_artist"]
    params = {
        layer: {"kernel": kernel, "bias": bias}
        for layer, kernel, bias in zip(layers, weights[0::2], weights[1::2], strict=True)
    }
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda s: s.shape, dict(shapes))
    assert count(shapes) == theirs.count_params()
    ours = model.apply({"params": params}, images)["artist"]
    np.testing.assert_allclose(ours, theirs(images), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    # Table 2 of the paper, in millions: 133, 133, 138, 144 with 1000 classes.
    [("vgg11", 133e6), ("vgg13", 133e6), ("vgg16", 138e6), ("vgg19", 144e6)],
)
def test_parameters_as_in_the_paper(name, parameters):
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(build(name, classes=1000).init, jax.random.key(0), images)
    assert abs(count(shapes["params"]) - parameters) < 0.5e6


@pytest.mark.parametrize("batch_norm", [False, True])
def test_relu_after_the_pool_gives_the_same_values_and_gradients(batch_norm):
    images = jax.random.uniform(jax.random.key(1), (2, 16, 16, 3), minval=-1)

    def create(relu_after_pool):
        return VGG(
            ((4, 4), (8,)), (16,), {"a": 3}, batch_norm=batch_norm, relu_after_pool=relu_after_pool
        )

    variables = create(True).init(jax.random.key(0), images)
    # The heads start at zero, through which no gradient flows.
    head = variables["params"]["head_a"]
    head["kernel"] = jax.random.normal(jax.random.key(2), head["kernel"].shape)

    def loss(params, relu_after_pool):
        logits = create(relu_after_pool).apply({**variables, "params": params}, images)
        return (logits["a"] ** 2).mean()

    after, after_gradient = jax.value_and_grad(loss)(variables["params"], True)
    before, before_gradient = jax.value_and_grad(loss)(variables["params"], False)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max()),
        after_gradient,
        before_gradient,
    )


def test_every_class_starts_equally_likely():
    model = build("vgg_small", classes=7)
    images = jax.random.uniform(jax.random.key(1), (4, 64, 64, 3))
    logits = model.init_with_output(jax.random.key(0), images)[0]["artist"]
    np.testing.assert_array_equal(jax.nn.softmax(logits), np.full((4, 7), np.float32(1 / 7)))


def test_bfloat16_changes_activations_but_not_parameters():
    model = create_model(
        "vgg16_bn", {"artist": 3}, dropout=0.5, relu_after_pool=True, dtype=jnp.dtype("bfloat16")
    )
    shapes = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    )
    logits, variables = shapes
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert logits["artist"].dtype == jnp.float32
    jaxpr = str(jax.make_jaxpr(model.apply)(variables, jnp.zeros((1, 64, 64, 3))))
    assert "bf16[1,64,64,64]" in jaxpr
