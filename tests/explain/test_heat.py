"""Heat maps add up, lie on what tells the class, come from the weights; every family has them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from planted import PATCH, SIDE, planted, run_on

from artjax import explain
from artjax.errors import ConfigError
from artjax.explain.grad_cam import grad_cam
from artjax.explain.integrated_gradients import integrated_gradients
from artjax.explain.rollout import attention_rollout
from artjax.models import convnext, create_model, efficientnet, names, resnet, squeezenet
from artjax.models.staged import stage_names
from artjax.models.vgg import VGG
from artjax.models.vit import Design, ViT

GROUP = efficientnet.Group(1, 4, 3, 2, 2)
TINY = {
    "convnext": convnext.ConvNeXt(convnext.Plan((1, 1), (4, 8)), classes={"a": 3}),
    "efficientnet": efficientnet.EfficientNet((GROUP, GROUP), classes={"a": 3}),
    "resnet": resnet.ResNet((1, 1), basic=True, classes={"a": 3}),
    "squeezenet": squeezenet.SqueezeNet(
        squeezenet.Plan(4, 3, ((1,), (1,), (1,))), classes={"a": 3}
    ),
    "vgg": VGG(((4,), (8,)), (), classes={"a": 3}),
    "vgg with hidden layers": VGG(((4,), (8,)), (32,), batch_norm=True, classes={"a": 3}),
    "vit": ViT(Design(8, 8, 2, 2), classes={"a": 3}),
    "vit with registers": ViT(Design(8, 8, 2, 2, registers=2), classes={"a": 3}),
    "vit with a pool": ViT(Design(8, 8, 2, 2, attention_pool=True), classes={"a": 3}),
}
LAYERS = {
    "convnext": "stage2",
    "efficientnet": "top",
    "resnet": "stage2",
    "squeezenet": "stage3",
    "vgg": "stage2",
    "vgg with hidden layers": "stage2",
    "vit": "block1",
    "vit with registers": "block1",
    "vit with a pool": "block2",
}


@pytest.fixture(scope="module")
def run():
    return run_on(steps=40)


@pytest.fixture(scope="module")
def pictures():
    return planted(8, np.random.default_rng(5))


def drawn(model, images):
    """Variables of a network: its head, which is 0 at first, is drawn as well."""
    variables = model.init(jax.random.key(0), images)
    kernel = variables["params"]["head_a"]["kernel"]
    variables["params"]["head_a"]["kernel"] = jax.random.normal(jax.random.key(1), kernel.shape)
    return variables


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_every_place_of_the_chosen_layer_counts_and_has_its_value(name):
    model = TINY[name]
    layer = model.last_place()
    assert layer == LAYERS[name]

    @jax.jit
    def all_of(images):
        variables = drawn(model, images)
        outputs = model.apply(variables, images, until=layer)

        def logit(outputs):
            return model.apply(variables, outputs, after=layer)["a"][:, 1].sum()

        slopes = model.places_of(jax.grad(logit)(outputs))
        classes = jnp.asarray([1, 1, -1])
        maps, chosen = grad_cam(model, variables, images, classes, "a", layer)
        logits = model.apply(variables, images)["a"]
        return maps, chosen, slopes, model.places_of(outputs), logits

    images = jax.random.normal(jax.random.key(2), (3, 48, 48, 3))
    maps, chosen, slopes, places, logits = all_of(images)
    assert maps.shape == places.shape[:3] == slopes.shape[:3]
    assert maps.shape[1] == maps.shape[2] > 1
    assert (np.abs(slopes).max(axis=-1) > 0).all()  # else a place could not light up
    assert chosen.tolist() == [1, 1, int(logits[2].argmax())]
    # Equations 1 and 2 of the paper, place by place.
    weights = np.asarray(slopes, np.float64).mean(axis=(1, 2))
    for i in (0, 1):
        expected = np.maximum((np.asarray(places[i]) * weights[i]).sum(axis=-1), 0)
        np.testing.assert_allclose(maps[i], expected, rtol=1e-3, atol=1e-5 * expected.max() + 1e-9)


@pytest.mark.parametrize("name", names())
def test_every_network_has_a_layer_to_look_at(name):
    model = create_model(name, {"a": 3}, dtype=jnp.dtype("float32"), platform="cpu")
    stages = stage_names(model)
    assert model.last_place() in stages[-3:-1]


@pytest.mark.parametrize("name", TINY)
def test_all_methods_compute_in_bfloat16_and_return_float32(name):
    model = TINY[name].clone(dtype=jnp.bfloat16)
    images = jax.ShapeDtypeStruct((2, 48, 48, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    classes = jax.ShapeDtypeStruct((2,), jnp.int32)

    def both(variables, images, classes):
        maps, chosen = grad_cam(model, variables, images, classes, "a", model.last_place())
        found = integrated_gradients(model, variables, images, classes, "a", steps=2, copies=2)
        rolled = attention_rollout(model, variables, images) if isinstance(model, ViT) else maps
        return maps, chosen, found.values, rolled

    maps, chosen, values, rolled = jax.eval_shape(both, variables, images, classes)
    assert maps.shape == rolled.shape
    assert maps.shape[0] == 2
    assert maps.shape[1] == maps.shape[2] >= 2
    assert {of.dtype for of in (maps, values, rolled)} == {jnp.dtype("float32")}
    assert values.shape == images.shape
    assert chosen.dtype == jnp.int32


@pytest.mark.slow
def test_the_map_of_a_planted_patch_lies_on_the_patch(run, pictures):
    images, classes, corners = pictures
    for method, margin in (("gradcam", 5), ("integrated_gradients", 2)):
        found = explain.heat_maps(run, images, method=method)
        assert found.maps.dtype == np.float32
        assert found.maps.max() == 1
        assert found.maps.min() >= 0
        np.testing.assert_array_equal(found.classes, classes)  # the network has learnt the task
        side = found.maps.shape[1]
        places = (np.arange(side) + 0.5) * SIDE / side
        gains, hits = [], []
        for heat, corner in zip(found.maps, corners, strict=True):
            # A place of the last stage is 10 px wide, and sees more than that.
            rows, columns = (
                (places >= begin - margin) & (places < begin + PATCH + margin) for begin in corner
            )
            on_patch = heat[np.ix_(rows, columns)]
            gains.append(on_patch.mean() / heat.mean())
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            hits.append(rows[row] and columns[column])
        # With the margin the patch is about 25 % of the picture, and 12 %.
        assert np.mean(gains) > 1.5, (method, gains)
        assert np.mean(hits) > 0.8, (method, hits)


@pytest.mark.slow
def test_integrated_gradients_add_up_to_the_rise_of_the_logit(run, pictures):
    images = pictures[0]
    found = explain.attributions(run, images, aspect=np.full(len(images), 1.3))
    total = found.values.sum(axis=(1, 2, 3))
    assert np.abs(found.rise).max() > 1
    # 32 points on a path that crosses the kinks of ReLUs and max-pools: within 2 % of the largest rise.
    np.testing.assert_allclose(total, found.rise, atol=0.02 * np.abs(found.rise).max())


def test_smoothgrad_is_the_mean_over_noisy_copies(pictures):
    """Of a linear network it changes nothing but noise, whose mean is 0: the gradient is constant."""

    class Linear(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return {"a": nn.Dense(2, name="dense")(inputs.reshape(len(inputs), -1))}

    inputs = jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    variables = Linear().init(jax.random.key(1), inputs)
    classes = jnp.asarray([0, 1])
    plain = integrated_gradients(Linear(), variables, inputs, classes, "a", steps=3)
    noisy = integrated_gradients(Linear(), variables, inputs, classes, "a", steps=3, copies=400)
    kernel = variables["params"]["dense"]["kernel"].T.reshape(2, 4, 4, 3)
    np.testing.assert_allclose(plain.values, inputs * kernel, rtol=1e-4, atol=1e-6)
    assert not np.allclose(noisy.values, plain.values, atol=1e-4)
    # The deviation of a mean of 400 copies with noise of 0.15 of the range.
    np.testing.assert_allclose(
        noisy.values, plain.values, atol=5 * 0.15 / 20 * float(jnp.abs(kernel).max())
    )


@pytest.mark.slow
def test_other_weights_give_another_map(run, pictures):
    """Adebayo et al., Sanity Checks for Saliency Maps (2018), section 4: a map that stays is empty."""
    images, classes, _ = pictures
    leaves, tree = jax.tree.flatten(run.variables["params"])
    rng = np.random.default_rng(0)
    drawn = [jax.device_put(rng.permuted(leaf.ravel()).reshape(leaf.shape)) for leaf in leaves]
    other = replace(run, variables={**run.variables, "params": tree.unflatten(drawn)})
    cams = [explain.heat_maps(of, images, classes).maps for of in (run, other)]
    # With their signs: what is shown of attributions follows the edges of a picture, as Adebayo et al.
    # found of all that is multiplied by the input.
    signed = [explain.attributions(of, images, classes).values for of in (run, other)]
    for before, after in (cams, signed):
        alike = [
            np.corrcoef(a.ravel(), b.ravel())[0, 1]
            for a, b in zip(before, after, strict=True)
            if a.any() and b.any()
        ]
        assert len(alike) > 2
        assert np.mean(alike) < 0.5, alike


@pytest.mark.slow
def test_maps_are_of_the_given_class_and_do_not_depend_on_the_batch(run, pictures):
    images, classes, _ = pictures
    own = explain.heat_maps(run, images)
    against = explain.heat_maps(run, images, 1 - classes)
    assert not np.allclose(own.maps, against.maps, atol=0.1)
    np.testing.assert_array_equal(against.classes, 1 - classes)
    # 18 pictures are two batches, the second of them padded; 3 are one of four.
    many = explain.heat_maps(run, np.resize(images, (18, *images.shape[1:])))
    np.testing.assert_allclose(many.maps[16:], own.maps[:2], atol=1e-4)
    few = explain.heat_maps(run, images[:3])
    np.testing.assert_allclose(few.maps, own.maps[:3], atol=1e-4)


@pytest.mark.slow
def test_maps_see_the_crop_that_evaluation_sees(run, pictures):
    """A picture twice as wide as high: its left and right quarter are not seen."""
    images = pictures[0][:2].copy()
    wide = np.full(len(images), 2.0)
    before = explain.attributions(run, images, aspect=wide)
    images[:, :, : SIDE // 4 - 1] = 0
    images[:, :, -SIDE // 4 + 1 :] = 255
    after = explain.attributions(run, images, aspect=wide)
    np.testing.assert_allclose(before.values, after.values, atol=1e-6)
    assert not np.allclose(explain.attributions(run, images).values, after.values, atol=1e-2)


def test_what_cannot_be_explained_is_one_line(run, pictures):
    images = pictures[0][:2]
    with pytest.raises(ConfigError, match="method gradcamm: valid are gradcam, integrated"):
        explain.heat_maps(run, images, method="gradcamm")
    with pytest.raises(ConfigError, match="rollout follows attention, and narrow_bn has none"):
        explain.heat_maps(run, images, method="rollout")
    with pytest.raises(ConfigError, match="task artist: this run has patch"):
        explain.heat_maps(run, images, task="artist")
    with pytest.raises(ConfigError, match=r"layer pooled: .* are stage1, stage2, stage3"):
        explain.heat_maps(run, images, layer="pooled")
    assert explain.heat_maps(run, images, layer="stage2").maps.shape == (2, 8, 8)


@pytest.mark.slow
def test_rollout_follows_attention():
    """Two blocks by hand, from the network's own layers, in float64."""
    model = TINY["vit with registers"]
    images = jax.random.normal(jax.random.key(2), (2, 32, 32, 3))
    variables = drawn(model, images)
    found = np.asarray(attention_rollout(model, variables, images))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    rolled = np.eye(19)
    for block, before in (("block1", "embedding"), ("block2", "block1")):
        x = np.asarray(model.apply(variables, images, until=before), np.float64)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = x * params[f"{block}_norm1"]["scale"] + params[f"{block}_norm1"]["bias"]
        query, key = (
            (x @ params[f"{block}_{of}"]["kernel"] + params[f"{block}_{of}"]["bias"]).reshape(
                2, 19, 2, 4
            )
            for of in ("query", "key")
        )
        weights = np.exp(np.einsum("bqhc,bnhc->bhqn", query, key) / 2)
        weights = (weights / weights.sum(-1, keepdims=True)).mean(1)
        rolled = (weights / 2 + np.eye(19) / 2) @ rolled
    np.testing.assert_allclose(found.reshape(2, -1), rolled[:, 0, 3:], rtol=1e-4)
