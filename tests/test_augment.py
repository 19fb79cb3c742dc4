import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from artjax import augment


def canvases(batch=4, side=72, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (batch, 12, 12, 3), np.uint8)
    resized = [Image.fromarray(n).resize((side, side), Image.Resampling.BICUBIC) for n in noise]
    return np.stack([np.asarray(image) for image in resized])


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6])
def test_central_crop_equals_pillow(aspect):
    images = canvases()
    ours = augment.central_crop(images, jnp.full(4, aspect, jnp.float32), 64)
    # The largest square of a picture of width `aspect` and height 1, in the canvas' pixels.
    width, height = min(1, 1 / aspect) * 72, min(1, aspect) * 72
    box = ((72 - width) / 2, (72 - height) / 2, (72 + width) / 2, (72 + height) / 2)
    for image, our in zip(images, ours, strict=True):
        theirs = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR, box=box)
        assert np.abs(np.asarray(theirs, np.float32) - our).max() <= 1.5  # Pillow rounds twice


def crop(key, images, aspect, **changes):
    settings = {"min_area": 0.3, "max_stretch": 4 / 3} | changes
    return augment.random_resized_crop(
        key, images, jnp.asarray(aspect, jnp.float32), 32, **settings
    )


def test_crop_of_the_whole_of_a_square_picture_is_the_central_crop():
    images = canvases()
    whole = crop(jax.random.key(0), images, np.ones(4), min_area=1.0, max_stretch=1.0)
    central = augment.central_crop(images, jnp.ones(4), 32)
    np.testing.assert_allclose(whole, central, atol=1e-3)


def boxes_seen(aspect, **changes):
    """Extent of crops, measured on canvases whose pixels say where they are."""
    side, batch = 128, 256
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], 0 * ramp[:, None]), -1)
    images = np.broadcast_to(image, (batch, side, side, 3))
    crops = np.asarray(crop(jax.random.key(1), images, np.full(batch, aspect), **changes)) / 255
    inner = crops[:, 1:-1, 1:-1]  # the filter flattens the ramp at the very edge
    across = inner[:, 15, -1, 0] - inner[:, 15, 0, 0]
    down = inner[:, -1, 15, 1] - inner[:, 0, 15, 1]
    return across * 31 / 29, down * 31 / 29


@pytest.mark.parametrize("aspect", [0.4, 1.0, 2.5])
def test_boxes_have_true_proportions_within_the_allowed_stretch(aspect):
    width, height = boxes_seen(aspect)
    stretch = width * aspect / height
    assert stretch.min() > 0.75 * 0.93
    assert stretch.max() < 4 / 3 * 1.07
    assert stretch.min() < 0.8  # and the whole range is used
    assert stretch.max() > 1.25


def test_boxes_have_the_allowed_area():
    width, height = boxes_seen(1.0, max_stretch=1.0)
    area = width * height
    assert 0.3 * 0.9 < area.min() < 0.35
    assert 0.95 < area.max() < 1.07


def test_crops_are_a_function_of_the_key():
    images = canvases()
    again = [np.asarray(crop(jax.random.key(k), images, np.ones(4))) for k in (0, 0, 1)]
    np.testing.assert_array_equal(again[0], again[1])
    assert np.abs(again[0] - again[2]).mean() > 5


def test_flip_mirrors_about_half_of_the_pictures():
    images = jnp.asarray(canvases(batch=64))
    flipped = augment.random_flip(jax.random.key(0), images)
    mirrored = np.asarray(
        [np.array_equal(f, i[:, ::-1]) for f, i in zip(flipped, images, strict=True)]
    )
    same = np.asarray([np.array_equal(f, i) for f, i in zip(flipped, images, strict=True)])
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def test_normalise_maps_bytes_to_minus_one_to_one():
    values = augment.normalise(jnp.asarray([0, 127.5, 255]))
    np.testing.assert_allclose(values, [-1, 0, 1])
