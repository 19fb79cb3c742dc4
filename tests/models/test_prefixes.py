"""A network within the names of a larger one, and networks that are none of those here."""

import json
import re

import numpy as np
import pytest

from artjax.errors import WeightsError
from artjax.models.prefixes import prefixes
from artjax.models.unknown_networks import in_words
from artjax.models.weights import Weights, fitting, translated_for, trunk_shapes, why_none

ORIGIN = {"source": "w.pth", "file": "w.pth", "sha256": "", "revision": None}


@pytest.fixture(scope="module")
def of(pytestconfig):
    """(name of a golden file) → arrays of these names and shapes that take no memory."""

    def arrays(name):
        file = pytestconfig.rootpath / "tests" / "models" / "golden" / f"{name}.json"
        shapes = json.loads(file.read_text())["shapes"]
        return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}

    return arrays


def translated(name, arrays):
    return translated_for(name, Weights(arrays, ORIGIN), trunk_shapes(name, 32), 32)


def named(prefix, arrays):
    return {f"{prefix}{name}": array for name, array in arrays.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.module.",
        "module.model.backbone.",
        "encoder.",
        "anything.of.theirs.",
    ],
)
def test_a_network_is_found_behind_any_prefix_beside_its_projector(prefix, of):
    projector = {"projector.0.weight": np.zeros((2, 2)), "queue": np.zeros((2, 9))}
    arrays = named(prefix, of("squeezenet1_1-torchvision")) | (projector if prefix else {})
    found = translated("squeezenet1_1", arrays)
    assert found.prefix == prefix
    assert (
        found.variables.keys()
        == translated("squeezenet1_1", of("squeezenet1_1-torchvision")).variables.keys()
    )


def test_of_student_and_teacher_the_teacher_is_taken(of):
    network = of("squeezenet1_1-torchvision")
    ones = {name: np.broadcast_to(np.float32(1), array.shape) for name, array in network.items()}
    found = translated(
        "squeezenet1_1", named("student.", network) | named("teacher.backbone.", ones)
    )
    assert found.prefix == "teacher.backbone."
    assert found.variables["params/stem_conv/bias"][0] == 1


def test_what_is_left_over_within_a_network_is_no_prefix(of):
    arrays = of("squeezenet1_1-torchvision") | {f"more.{i}": np.zeros(1) for i in range(9)}
    with pytest.raises(WeightsError, match=r"unknown: more\.0, more\.1"):
        translated("squeezenet1_1", arrays)


CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "body", "prefix"),
    [
        ("resnet18-torchvision", "0.", "0."),  # fastai's learn.save
        ("resnet50-torchvision", "", ""),  # Sequential(*children)
        ("squeezenet1_1-torchvision", "0.0.", "0.0."),
        ("vgg16_bn-torchvision", "0.0.", "0.0."),
    ],
)
def test_a_network_cut_at_its_classifier_as_by_fastai_is_read(file, body, prefix, of):
    head = {
        "1.2.weight": np.zeros(9),
        "1.4.weight": np.zeros((2, 9)),
        "1.8.weight": np.zeros((2, 2)),
    }
    arrays = {}
    for name, array in of(file).items():
        part, _, rest = name.partition(".")
        if part in CHILDREN:
            arrays[f"{body}{CHILDREN[part]}.{rest}"] = array
        elif part == "features":
            arrays[f"{body}{rest}"] = array
    name = file.partition("-")[0]
    options = {"head_layers": (8,)} if name.startswith("vgg") else {}
    weights = Weights(arrays | (head if body else {}), ORIGIN)
    assert translated_for(name, weights, trunk_shapes(name, 32, **options), 32).prefix == prefix
    assert fitting(weights, 32, **options) == [name]


def test_another_head_in_the_place_of_the_classifier_is_not_used(of):
    arrays = of("squeezenet1_1-torchvision")
    del arrays["classifier.1.weight"], arrays["classifier.1.bias"]
    arrays["classifier.2.0.weight"] = np.zeros((3, 512))
    assert "classifier.2.0.weight" in translated("squeezenet1_1", arrays).unused


def test_prefixes_are_parts_with_many_names():
    names = [f"module.encoder.layer{n}.weight" for n in range(9)] + ["module.head.weight"]
    assert prefixes(names) == ["", "module.", "module.encoder."]
    assert prefixes([]) == [""]


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("model.24.anchors", "an object detector"),
        ("backbone.body.layer1.0.conv1.weight|roi_heads.box_head.fc6.weight", "an object detector"),
        ("layers.0.blocks.0.attn.relative_position_bias_table", "a Swin transformer"),
        ("features.denseblock1.denselayer1.norm1.weight", "a DenseNet"),
        ("Mixed_5b.branch1x1.conv.weight", "an Inception network"),
        ("features.1.conv.0.0.weight", "a MobileNet"),
        ("embeddings.word_embeddings.weight", "a language model"),
        ("unet.down_blocks.0.lora_A.weight", "adapters (LoRA)"),
        ("layer3.40.conv2.weight", "a ResNet of another size or variant"),
    ],
)
def test_networks_that_are_not_here_are_named_with_their_arrays(name, whose):
    arrays = {part: np.zeros((2, 3)) for part in name.split("|")} | {"x": np.zeros(2)}
    said = why_none(Weights(arrays, ORIGIN), 32)
    assert f"the names are those of {whose}" in said
    assert f"{next(iter(arrays))} [2, 3]" in said
    assert re.search(r"\d numbers in all", said)
    assert len(said.splitlines()) <= 2


def test_an_unknown_network_is_described_by_its_first_arrays():
    arrays = {f"part{i}.w": np.zeros((i + 1, 2)) for i in range(5)}
    assert in_words(arrays) == (
        "part0.w [1, 2], part1.w [2, 2], part2.w [3, 2] and 2 more; 30 numbers in all"
    )


@pytest.mark.slow
def test_weights_that_nearly_fit_say_in_what_they_differ(of):
    arrays = of("resnet18-torchvision")
    del arrays["layer4.1.bn2.bias"]
    said = why_none(Weights(arrays, ORIGIN), 32)
    assert said.startswith("nearly the weights of resnet18")
    assert "missing: params/stage4_block2/bn2/bias" in said
