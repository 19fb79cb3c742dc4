import dataclasses

import numpy as np
import pytest

from artjax.models import Preprocessing
from artjax.models.presets import PRESETS
from artjax.models.translation import CAFFE, IMAGENET
from artjax.modes.check.inputs import network_input
from artjax.modes.check.verdicts import CANNOT_TELL, OK, WARNING

# Pictures as bright and as varied as those of ImageNet.
PICTURES = np.random.default_rng(0).normal(118, 58, (8, 16, 16, 3)).clip(0, 255).astype(np.uint8)
TF, UNIT = (Preprocessing(**PRESETS[name]) for name in ("tf", "unit"))


@pytest.mark.parametrize(
    ("given", "expected", "known", "verdict", "says"),
    [
        (CAFFE, CAFFE, True, OK, "BGR, mean "),
        (IMAGENET, CAFFE, True, WARNING, "set it to preset=caffe"),
        (IMAGENET, CAFFE, False, CANNOT_TELL, "the file does not say what it expects"),
        (dataclasses.replace(CAFFE, channel_order="RGB"), CAFFE, True, WARNING, "preset=caffe"),
        (UNIT, IMAGENET, True, WARNING, "but the weights expect RGB, mean "),
        (dataclasses.replace(IMAGENET, mean=(0.49, 0.46, 0.41)), IMAGENET, True, OK, "as the"),
        (IMAGENET, Preprocessing((0.1,) * 3, (0.2,) * 3), True, WARNING, "to mean=(0.1, 0.1, 0.1)"),
        (TF, None, False, OK, "on the first batch RGB, mean -0.0"),
        (CAFFE, None, False, WARNING, "a network from scratch learns best from a mean near 0"),
    ],
)
def test_the_input_must_be_what_the_weights_expect(given, expected, known, verdict, says):
    found = network_input(PICTURES, given, expected, known)
    assert found.verdict == verdict
    assert says in found.text


def test_its_numbers_are_those_of_the_batch():
    found = network_input(PICTURES, CAFFE, CAFFE, True)
    blue = PICTURES[..., 2].astype(np.float64)
    assert found.numbers["mean"][0] == pytest.approx(blue.mean() - 104.006, abs=1e-3)
    assert found.numbers["std"][0] == pytest.approx(blue.std(), abs=1e-3)
