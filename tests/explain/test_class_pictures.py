"""Pictures of classes are taken for their class, are the same for a seed, and begin as told."""

import numpy as np
import pytest
from planted import COLOURS, SIDE, run_on

from artjax.explain import class_pictures

pytestmark = pytest.mark.slow

STEPS = 16


@pytest.fixture(scope="module")
def run():
    return run_on(steps=40)


def test_the_network_takes_each_picture_for_its_class(run):
    found = class_pictures(run, [0, 1], steps=STEPS)
    assert found.images.shape == (2, 32, 32, 3)
    assert found.images.dtype == np.uint8
    assert (found.probabilities > 0.95).all()
    # The classes are a red and a blue patch: where a picture is most coloured it has that colour.
    for image, colour in zip(found.images.astype(float), COLOURS, strict=True):
        vivid = np.ptp(image, axis=-1) >= np.quantile(np.ptp(image, axis=-1), 0.95)
        assert np.argmax(image[vivid].mean(axis=0)) == np.argmax(colour)


def test_a_picture_depends_on_seed_and_class_alone(run):
    both = class_pictures(run, [0, 1], steps=STEPS).images
    alone = class_pictures(run, [1], steps=STEPS).images
    np.testing.assert_array_equal(both[1], alone[0])
    many = class_pictures(run, [0, 1] * 5, steps=STEPS)  # more than are drawn at once
    np.testing.assert_array_equal(many.images[8:], both)
    assert many.probabilities.shape == (10,)
    other = class_pictures(run, [1], steps=STEPS, seed=1).images
    assert np.abs(other.astype(int) - alone).mean() > 1


def test_a_picture_may_begin_as_a_painting(run):
    canvas = np.full((SIDE, SIDE, 3), 40, np.uint8)
    canvas[:, SIDE // 2 :] = 215
    found = class_pictures(run, [0, 1], start=(canvas, 1.0), steps=STEPS)
    assert (found.probabilities > 0.95).all()
    left, right = found.images[:, :, :12].mean(), found.images[:, :, -12:].mean()
    assert right - left > 80  # it is still that painting
