"""What every family gets from its base: a head, BatchNorm that is fixed, and names of stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from artjax.models import HEAD, convnext, create_model, family_of, names, resnet, squeezenet
from artjax.models.staged import stage_names
from artjax.models.vgg import VGG
from artjax.models.vit import Design, ViT
from artjax.runtime.mesh import create_mesh
from artjax.training.groups import flat
from artjax.training.training import create_training

HEAD_WITH_NORM = {"head_layers": (4, 4), "head_norm": True}
SMALLEST = {
    "convnext": convnext.ConvNeXt(convnext.Plan((1,), (4,)), classes={"a": 2}, **HEAD_WITH_NORM),
    "resnet": resnet.ResNet((1,), classes={"a": 2}, **HEAD_WITH_NORM),
    "squeezenet": squeezenet.SqueezeNet(
        squeezenet.Plan(4, 3, ((1,), (1,), (1,))), classes={"a": 2}, **HEAD_WITH_NORM
    ),
    "vgg": VGG(((4,),), (), batch_norm=True, classes={"a": 2}, **HEAD_WITH_NORM),
    "vgg with hidden layers": VGG(((4,),), (4,), classes={"a": 2}, **HEAD_WITH_NORM),
    "vit": ViT(Design(8, 8, 1, 2), classes={"a": 2}, **HEAD_WITH_NORM),
}


def drawn(model, images):
    """The variables of a network, none of them 0 or 1."""
    variables = model.init(jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return tree.unflatten(
        jax.random.uniform(key, leaf.shape, minval=0.1, maxval=0.3)
        for key, leaf in zip(keys, leaves, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_fixed_norm_of_the_head_computes_in_training_what_it_computes_in_evaluation(name):
    images = jax.random.normal(jax.random.key(2), (4, 32, 32, 3))
    free = SMALLEST[name]

    @jax.jit
    def results(images):
        variables = drawn(free, images)
        # The trunk computes as in evaluation, so that only the head's BatchNorm is compared.
        last = stage_names(free)[-1]
        features = free.apply(variables, images, until=last)
        given = {"after": last, "train": True, "mutable": ["batch_stats"]}
        fixed = {
            fix: free.clone(fixed_norms=frozenset(fix)).apply(variables, features, **given)
            for fix in ((), ("head_bn1",), ("head_bn1", "head_bn2"))
        }
        return variables["batch_stats"], free.apply(variables, images)["a"], fixed

    before, evaluated, fixed = results(images)
    for fix, (logits, changed) in fixed.items():
        moved = {
            path.rpartition("/")[0]
            for path, value in flat(changed["batch_stats"]).items()
            if (value != flat(before)[path]).any()
        }
        assert moved == {"head_bn1", "head_bn2"} - set(fix)
        same = np.allclose(logits["a"], evaluated, rtol=1e-5)
        assert same == (len(fix) == 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["convnext_tiny", "resnet50", "squeezenet1_1", "vgg11", "vit_small_patch16"]
)
def test_each_family_takes_a_frozen_head_with_batch_norm(name):
    config = tiny_config(
        model__name=name,
        model__head_layers=(4,),
        model__head_norm=True,
        optim__groups=(("head_.*", 0.0),),
    )
    of = create_training(config, {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1]))
    frozen = of.network.abstract_frozen
    assert set(frozen["batch_stats"]) == {"head_bn1"}
    step = jax.eval_shape(of.train_step, of.abstract_state, of.abstract_batch, frozen["params"])
    assert jax.tree.structure(step[0]) == jax.tree.structure(of.abstract_state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fix_norms", "frozen", "moving"),
    [
        (False, (), {"bn1_1", "bn2_1", "bn3_1", "bn3_2", "head_bn1"}),
        (False, ("head_.*",), {"bn1_1", "bn2_1", "bn3_1", "bn3_2"}),
        (True, (), {"head_bn1"}),
        (True, ("head_.*1/.*",), set()),
    ],
)
def test_statistics_move_unless_their_layer_is_frozen_or_fixed(fix_norms, frozen, moving):
    config = tiny_config(
        model__name="narrow_bn",
        model__head_layers=(4,),
        model__head_norm=True,
        model__fix_norms=fix_norms,
        optim__groups=tuple((pattern, 0.0) for pattern in frozen),
    )
    of = create_training(config, {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1]))
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (16, 40, 40, 3), np.uint8),
        "aspect": np.ones(16, np.float32),
        "label/artist": np.zeros(16, np.int32),
        "mask": np.ones(16, bool),
    }
    state = of.initial_state()
    before = flat(jax.device_get(state.model_state["batch_stats"]))
    given = (of.network.initial_frozen()["params"],) if frozen else ()
    state, _ = of.train_step(state, batch, *given)
    after = flat(jax.device_get(state.model_state["batch_stats"]))
    changed = {path.rpartition("/")[0] for path in before if (before[path] != after[path]).any()}
    assert changed == moving


@pytest.mark.parametrize("head_layers", [(), (8,)])
@pytest.mark.parametrize("name", names())
def test_stages_are_named_once(name, head_layers):
    """The names that a network tells are those of its outputs, and the parts of its parameters."""
    family = family_of(name)
    model = create_model(
        name, {"artist": 3}, dtype=jnp.dtype("float32"), platform="cpu", head_layers=head_layers
    )
    told = stage_names(model)
    side = 2 * family.size_multiple(name)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    traced, shapes = jax.make_jaxpr(model.init, return_shape=True)(jax.random.key(0), images)
    # What `checkpoint_name` leaves, by which rematerialisation knows what to keep.
    marked = [eqn.params["name"] for eqn in traced.eqns if eqn.primitive.name == "name"]
    assert tuple(marked) == told
    assert len(set(told)) == len(told)
    paths = flat(shapes["params"])
    parts = {path: family.part_of(path) for path in paths}
    # The last stage may be a pool without parameters.
    assert {*told[:-1], HEAD} <= set(parts.values()) <= {*told, HEAD}
    heads = {path for path in paths if path.startswith("head_")}
    assert heads == {path for path, part in parts.items() if part == HEAD}
    assert len(heads) == 2 + 2 * len(head_layers)
