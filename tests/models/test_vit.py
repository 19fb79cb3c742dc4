import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from artjax.models import HEAD, create_model, family_of, vit
from artjax.models.preprocessing import Preprocessing
from artjax.models.resampling import resize_grid
from artjax.models.vit import DESIGNS, ViT, translate
from tools import vit_parity as parity

GOLDEN = json.loads(parity.FIXTURE.read_text())
CASES = {f"{case['kind']}-{case['naming']}": case for case in GOLDEN["cases"]}
KINDS = ("vit", "dinov2", "dinov2reg", "clip", "siglip")
SIDE = parity.TINY_SIZES[0]


def arrays_of(case):
    """The file of a case: `#` stands for the number of each block."""
    shapes = {
        name.replace("#", str(n)): shape
        for name, shape in case["arrays"].items()
        for n in range(parity.TINY["depth"])
    }
    return {name: parity.draw(name, tuple(shape)) for name, shape in shapes.items()}


def tiny_file(kind, naming="timm"):
    return arrays_of(CASES[f"{kind}-{naming}"])


def translated(kind, arrays, side=SIDE):
    return translate(parity.tiny_design(kind), Preprocessing(), arrays, side)


@pytest.mark.parametrize("case", CASES)
def test_every_stage_equals_the_original_also_on_images_of_another_size(case):
    case = CASES[case]
    design = parity.tiny_design(case["kind"])
    # ViTModel's own epsilon is 1e-12; 1e-6 is that of the authors, of timm, and ours.
    for side in parity.TINY_SIZES:
        stages = parity.stages_of(design, arrays_of(case), side)
        assert set(stages) == {"embedding", "block1", "block2", "pooled"}
        for stage in ("embedding", "block2", "pooled"):
            np.testing.assert_allclose(
                parity.probe(stages[stage]), case["outputs"][f"{side}/{stage}"], atol=2e-5
            )


@pytest.mark.parametrize(("sizes", "expected"), zip(parity.RESIZED, GOLDEN["resized"], strict=True))
def test_grids_are_resized_as_by_torch(sizes, expected):
    source, target = sizes
    resized = resize_grid(parity.draw("position", (*source, 2)), *target)
    assert resized.shape == (*target, 2)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized.reshape(-1), expected, atol=1e-6)


def test_a_grid_of_the_same_size_keeps_its_values():
    grid = parity.draw("position", (5, 5, 3))
    np.testing.assert_array_equal(resize_grid(grid, 5, 5), grid)


@pytest.mark.parametrize("name", DESIGNS)
def test_parameters_of_the_trunk_as_in_the_originals(name):
    # Counted in the originals of timm, at the size of their pretraining, without heads.
    size, count = {
        "vit_small_patch16": (224, 21_665_664),
        "vit_base_patch16": (224, 85_798_656),
        "vit_large_patch16": (224, 303_301_632),
        "dinov2_small": (518, 22_056_192),
        "dinov2_base": (518, 86_579_712),
        "dinov2_large": (518, 304_367_616),
        # timm adds the position of the class token to the token itself: one row fewer.
        "dinov2_small_reg": (518, 22_057_344 + 384),
        "dinov2_base_reg": (518, 86_582_016 + 768),
        "dinov2_large_reg": (518, 304_370_688 + 1024),
        "clip_base_patch16": (224, 85_799_424),
        "clip_large_patch14": (224, 303_179_776),
        "siglip_base_patch16": (224, 92_884_224),
        "siglip_large_patch16": (256, 315_956_224),
    }[name]

    # One block tells the size of all; the whole network takes a second to trace.
    def parameters(depth):
        model = ViT(replace(DESIGNS[name], depth=depth), classes={})
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))

    none, one = parameters(0), parameters(1)
    assert none + DESIGNS[name].depth * (one - none) == count


def test_names_in_memory_and_in_files_of_transformers_are_the_same_network():
    files = tiny_file("vit", "ViTModel")
    swaps = {
        "encoder.layer.": "layers.",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    in_memory = {}
    for name, array in files.items():
        for old, new in swaps.items():
            name = name.replace(old, new)
        in_memory[name] = array
    expected, found = translated("vit", files), translated("vit", in_memory)
    assert found.unused == expected.unused == ("pooler.dense.bias", "pooler.dense.weight")
    assert found.variables.keys() == expected.variables.keys()
    for name, values in expected.variables.items():
        np.testing.assert_array_equal(found.variables[name], values)


def test_the_prefix_of_the_names_is_told():
    arrays = {f"module.encoder.{name}": array for name, array in tiny_file("dinov2").items()}
    assert translated("dinov2", arrays).prefix == "module.encoder."
    assert translated("clip", tiny_file("clip", "OpenAI")).prefix == "visual."


def test_what_is_not_of_the_trunk_is_unused():
    assert translated("clip", tiny_file("clip", "OpenAI")).unused == (
        "visual.proj",
        "token_embedding.weight",
        "logit_scale",
    )
    unused = translated("clip", tiny_file("clip", "CLIPModel")).unused
    assert {"logit_scale", "visual_projection.weight", "text_projection.weight"} < set(unused)
    assert all("vision_model" not in name for name in unused)


def test_a_missing_array_is_absent_and_an_additional_block_is_there():
    arrays = tiny_file("dinov2")
    del arrays["blocks.1.attn.qkv.bias"]
    arrays["blocks.2.ls1.gamma"] = np.ones(48, np.float16)
    whole = translated("dinov2", tiny_file("dinov2")).variables
    variables = translated("dinov2", arrays).variables
    assert whole.keys() - variables.keys() == {
        "params/block2_query/bias",
        "params/block2_key/bias",
        "params/block2_value/bias",
    }
    assert variables.keys() - whole.keys() == {"params/block3_scale1"}
    assert {values.dtype for values in variables.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"layer1.0.conv1.weight": np.ones((4, 4, 3, 3))}, "the first is layer1.0.conv1.weight"),
        (
            {"patch_embed.proj.weight": np.ones((8, 3, 4, 4)), "layers.0.blocks.0.norm1.bias": 0},
            "names",
        ),
        (
            {"stages.0.blocks.0.mlp.fc1.weight": np.ones((8, 8))},
            "not those of a vision transformer",
        ),
        ({}, "no array"),
        (tiny_file("dinov2") | {"reg_token": np.ones((1, 4, 48))}, "this network has no registers"),
        (
            tiny_file("dinov2") | {"dist_token": np.ones((1, 1, 48))},
            "dist_token: .* no such tokens",
        ),
        (tiny_file("vit") | {"pos_embed": np.ones((1, 16, 48))}, "16 position embeddings"),
        (tiny_file("siglip") | {"pos_embed": np.ones((1, 17, 48))}, "17 position embeddings"),
    ],
)
def test_other_files_are_refused_in_one_line(arrays, message):
    kind = "siglip" if len(arrays.get("pos_embed", [[]])[0]) == 17 else "vit"
    with pytest.raises(ValueError, match=message) as error:
        translated(kind, arrays)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_epsilon_is_that_of_the_original(kind):
    # Outputs of a random network hardly tell it.
    designs = [design for name, design in DESIGNS.items() if parity.kind_of(name) == kind]
    assert {design.epsilon for design in designs} == {1e-5 if kind == "clip" else 1e-6}


def test_families_know_their_preprocessing_patch_and_parts():
    family = family_of("clip_large_patch14")
    assert family.size_multiple("clip_large_patch14") == 14
    parts = ("block10_fc1/kernel", "embedding_class", "pooled_norm/bias", "head_artist/kernel")
    assert [family.part_of(path) for path in parts] == ["block10", "embedding", "pooled", HEAD]
    assert family.preprocessing.mean == (0.48145466, 0.4578275, 0.40821073)
    assert family_of("dinov2_base").preprocessing.std == (0.229, 0.224, 0.225)
    assert family_of("siglip_base_patch16").preprocessing == Preprocessing()
    arrays = tiny_file("clip")
    of_weights = family.translate("clip_large_patch14", arrays, 56).preprocessing
    assert of_weights == replace(family.preprocessing, interpolation="cubic")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_changes_activations_but_not_parameters(kind):
    model = ViT(parity.tiny_design(kind), classes={"artist": 3}, dtype=jnp.dtype("bfloat16"))
    images = jnp.zeros((2, SIDE, SIDE, 3))
    (logits, stages), variables = jax.eval_shape(
        lambda: (
            model.apply(v := model.init(jax.random.key(0), images), images, mutable=["stages"]),
            v,
        )
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(stages)} == {jnp.dtype("bfloat16")}
    assert logits["artist"].dtype == jnp.float32
    jaxpr = str(jax.make_jaxpr(model.apply)(variables, images))
    softmax = re.findall(r"(\w+)\[[\d,]+\] = exp ", jaxpr)
    assert softmax
    assert set(softmax) == {"f32"}


def test_gradient_of_the_patches_is_that_of_a_convolution():
    images = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 3, 5))

    def loss(convolution, kernel):
        return (convolution(images, kernel) ** 2).sum()

    def convolution(images, kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    expected = jax.value_and_grad(lambda k: loss(convolution, k))(kernel)
    found = jax.value_and_grad(lambda k: loss(vit._product_of_patches, k))(kernel)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_after_and_until_are_the_halves_of_the_network(kind):
    design = replace(parity.tiny_design(kind), depth=1)
    model = ViT(design, classes={"artist": 3}, head_layers=(8,))
    images = parity.draw("pixels", (2, SIDE, SIDE, 3))

    @jax.jit
    def halves(images):
        variables = model.init(jax.random.key(1), images)
        tokens = model.apply(variables, images, until="embedding")
        logits = model.apply(variables, tokens, after="embedding")
        return tokens, logits["artist"], model.apply(variables, images)["artist"]

    tokens, logits, expected = halves(images)
    assert tokens.shape == (2, 16 if kind == "siglip" else 17, 48)
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_options_of_other_families_are_ignored():
    model = create_model(
        "vit_small_patch16",
        {"artist": 2},
        dtype=jnp.float32,
        platform="cpu",
        dropout=0.5,
        activation="relu",
    )
    assert model == ViT(DESIGNS["vit_small_patch16"], classes={"artist": 2}, dropout=0.5)
