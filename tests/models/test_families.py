"""The families with pretrained weights compute what the original implementations compute.

The numbers in `golden/` are of torchvision and timm: `tools/weights_parity.py --golden` writes them.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from artjax.models import HEAD, convnext, create_model, efficientnet, family_of, resnet, squeezenet
from artjax.models.staged import stage_names
from artjax.models.vgg import _first_dense_kernel
from artjax.models.weights import Weights, translated_for, trunk_shapes, variables_for
from tools.weights_parity import made, made_pixels, picked

ORIGIN = {"source": "made", "file": "made", "sha256": "", "revision": None}
NEW = (
    "squeezenet1_0",
    "squeezenet1_1",
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "convnext_tiny",
)
GOLDEN = (
    "vgg11-torchvision",
    "vgg16_bn-torchvision",
    "vgg16_bn-timm",
    "squeezenet1_0-torchvision",
    "squeezenet1_1-torchvision",
    pytest.param("resnet18-torchvision", marks=pytest.mark.slow),
    pytest.param("resnet50-torchvision", marks=pytest.mark.slow),
    pytest.param("efficientnet_b0-torchvision", marks=pytest.mark.slow),
    pytest.param("efficientnet_b0-timm", marks=pytest.mark.slow),
    pytest.param("convnext_tiny-torchvision", marks=pytest.mark.slow),
    pytest.param("convnext_tiny-timm", marks=pytest.mark.slow),
)


def is_dense(name):
    return name.startswith(("classifier", "pre_logits", "head.fc"))


def arrays_of(shapes, without_dense):
    """By the formula; those of the fully connected layers only have their shapes."""
    return {
        name: np.broadcast_to(np.float32(0), shape)
        if without_dense and is_dense(name)
        else made(name, tuple(shape))
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("file", GOLDEN)
def test_outputs_of_every_stage_equal_the_original(file, pytestconfig):
    golden = json.loads(
        (pytestconfig.rootpath / "tests" / "models" / "golden" / f"{file}.json").read_text()
    )
    name, side = golden["model"], golden["side"]
    vgg = name.startswith("vgg")
    # Without its fully connected layers a VGG needs a tenth of the time.
    options = {"head_layers": (8,)} if vgg else {}
    expected = trunk_shapes(name, side, **options)
    held = Weights(arrays_of(golden["shapes"], without_dense=vgg), ORIGIN)
    variables = variables_for(name, held, expected, side)
    model = create_model(name, {}, dtype=jnp.float32, platform="cpu", **options)
    stages = [stage for stage in stage_names(model) if stage in golden["stages"]]
    assert len(stages) >= 5

    def outputs(variables, images):
        found, x, after = {}, images, ""
        for stage in stages:
            x = model.apply(variables, x, after=after, until=stage)
            found[stage], after = x, stage
        return found

    found = jax.jit(outputs)(variables, made_pixels(side))
    for stage in stages:
        np.testing.assert_allclose(
            picked(found[stage]), golden["stages"][stage], rtol=0, atol=1e-4, err_msg=stage
        )


def test_first_dense_kernel_takes_the_pixels_in_the_order_of_the_features():
    rng = np.random.default_rng(0)
    theirs = rng.normal(size=(5, 3 * 49))
    features = rng.normal(size=(2, 7, 7, 3))
    channels_first = features.transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_allclose(
        features.reshape(2, -1) @ _first_dense_kernel(theirs), channels_first @ theirs.T
    )
    as_convolution = theirs.reshape(5, 3, 7, 7)
    np.testing.assert_array_equal(_first_dense_kernel(as_convolution), _first_dense_kernel(theirs))


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_stages_come_in_order_and_end_with_pooled_features(name):
    model = create_model(name, {"a": 3}, dtype=jnp.float32, platform="cpu", dropout=0.0)
    family = family_of(name)
    images = jnp.zeros((2, family.size_multiple(name), family.size_multiple(name), 3))
    shapes = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images, mutable=True))
    assert shapes[0]["a"].shape == (2, 3)
    outputs = jax.eval_shape(
        lambda variables: model.apply(variables, images, mutable=["stages"])[1]["stages"],
        shapes[1],
    )
    assert set(outputs) == set(stage_names(model))
    assert len(outputs["pooled"][0].shape) == 2
    assert family.part_of("head_a/kernel") == HEAD


@pytest.mark.parametrize(
    ("name", "parameters"),
    # With 1000 classes, as torchvision's documentation has it.
    [
        ("squeezenet1_0", 1_248_424),
        ("squeezenet1_1", 1_235_496),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("efficientnet_b0", 5_288_548),
        ("convnext_tiny", 28_589_128),
    ],
)
def test_parameters_as_in_torchvision(name, parameters):
    model = create_model(name, {"a": 1000}, dtype=jnp.float32, platform="cpu", dropout=0.0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


@pytest.mark.slow
def test_fixed_norms_of_a_resnet_keep_their_averages_in_training():
    fixed = frozenset({"stem_bn", "stage1_block1/bn2"})
    model = resnet.ResNet((1,), classes={"a": 2}, fixed_norms=fixed)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    variables = model.init(jax.random.key(0), images)
    _, changed = jax.jit(lambda v: model.apply(v, images, train=True, mutable=["batch_stats"]))(
        variables
    )
    before, after = (
        jax.tree_util.tree_leaves_with_path(v["batch_stats"]) for v in (variables, changed)
    )
    kept = {
        "/".join(key.key for key in path[:-1])
        for (path, old), (_, new) in zip(before, after, strict=True)
        if (old == new).all()
    }
    assert kept == fixed


NARROW = {
    "squeezenet": squeezenet.SqueezeNet(squeezenet.Plan(8, 3, ((2,), (2,), (2,))), classes={}),
    "resnet": resnet.ResNet((1,), classes={}),
    "efficientnet": efficientnet.EfficientNet(
        (efficientnet.Group(1, 8, 3, 1, 1), efficientnet.Group(2, 8, 5, 2, 2)), classes={}
    ),
    "convnext": convnext.ConvNeXt(convnext.Plan((1, 1), (8, 16)), classes={}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_is_close_to_float32_and_has_a_finite_gradient(name):
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    exactly, roughly = NARROW[name], NARROW[name].clone(dtype=jnp.dtype("bfloat16"))
    variables = jax.jit(exactly.init)(jax.random.key(0), images)
    exact = jax.jit(lambda v: exactly.apply(v, images, until="pooled"))(variables)

    def energy(params):
        pooled = roughly.apply({**variables, "params": params}, images, until="pooled")
        assert pooled.dtype == jnp.dtype("bfloat16")
        return (pooled.astype(jnp.float32) ** 2).sum(), pooled

    gradient, rounded = jax.jit(jax.grad(energy, has_aux=True))(variables["params"])
    assert np.abs(rounded.astype(jnp.float32) - exact).max() < 0.05 * np.abs(exact).max()
    leaves = jax.tree.leaves(gradient)
    assert all(np.isfinite(leaf).all() and np.any(leaf != 0) for leaf in leaves)


def test_weights_bring_the_preprocessing_of_imagenet(pytestconfig):
    golden = json.loads(
        (pytestconfig.rootpath / "tests/models/golden/squeezenet1_1-torchvision.json").read_text()
    )
    held = Weights(arrays_of(golden["shapes"], without_dense=False), ORIGIN)
    expected = trunk_shapes("squeezenet1_1", 32)
    translated = translated_for("squeezenet1_1", held, expected, 32)
    assert set(translated.unused) == {"classifier.1.weight", "classifier.1.bias"}
    assert translated.preprocessing.crop_share == 0.875
    pixel = translated.preprocessing.normalise(jnp.asarray([255.0, 0, 51])[None, None, None])
    np.testing.assert_allclose(
        pixel[0, 0, 0],
        [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225],
        rtol=1e-5,
    )
