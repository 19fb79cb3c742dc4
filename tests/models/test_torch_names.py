"""The way out to torchvision's names: the way in brings the same bits back."""

import numpy as np
import pytest

from artjax.models import family_of
from artjax.models.translation import to_torch
from artjax.models.weights import trunk_shapes

NAMES = ("vgg11", "vgg11_bn", "resnet18", "resnet50", "squeezenet1_1")


def small(side):
    """A side of an array, so that a VGG has few numbers; the first dense layer keeps its 7x7 pixels."""
    return 49 * 4 if side == 49 * 512 else min(side, 8)


@pytest.mark.parametrize("name", [*NAMES, "convnext_tiny", "efficientnet_b0"])
def test_the_way_out_and_in_again_changes_no_bit(name):
    rng = np.random.default_rng(0)
    variables = {
        path: rng.normal(size=tuple(map(small, leaf.shape))).astype(np.float32)
        for path, leaf in trunk_shapes(name, 32).items()
    }
    family = family_of(name)
    arrays, left = to_torch(variables, family.torch_names(name))
    assert not left
    assert all(array.flags.c_contiguous for array in arrays.values())
    back = family.translate(name, arrays, 32)
    assert not back.unused
    assert back.variables.keys() == variables.keys()
    for path, array in variables.items():
        np.testing.assert_array_equal(back.variables[path], array)


def test_dense_layers_see_the_pixels_of_each_channel_together():
    """[49 * C, out] here, with channels last, is [out, C * 49] there."""
    kernel = np.arange(49 * 2 * 3, dtype=np.float32).reshape(49 * 2, 3)
    names = family_of("vgg11").torch_names("vgg11")
    arrays, left = to_torch({"params/fc1/kernel": kernel, "params/other/bias": kernel[0]}, names)
    assert arrays["classifier.0.weight"].shape == (3, 98)
    assert arrays["classifier.0.weight"][2, 49 + 5] == kernel[5 * 2 + 1, 2]
    assert list(left) == ["params/other/bias"]
