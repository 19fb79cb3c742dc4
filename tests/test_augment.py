import colorsys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

from artjax import augment
from artjax.augment import policy
from artjax.config import default_config


def canvases(batch=4, side=72, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (batch, 12, 12, 3), np.uint8)
    resized = [Image.fromarray(n).resize((side, side), Image.Resampling.BICUBIC) for n in noise]
    return np.stack([np.asarray(image) for image in resized])


FILTERS = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("size", [40, 100])
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6])
def test_central_crop_equals_pillow(aspect, interpolation, size):
    images = canvases()
    aspects = jnp.full(4, aspect, jnp.float32)
    cut = partial(augment.central_crop, size=size, interpolation=interpolation)
    ours = jax.jit(cut)(images, aspects)
    # The largest square of a picture of width `aspect` and height 1, in the canvas' pixels.
    width, height = min(1, 1 / aspect) * 72, min(1, aspect) * 72
    box = ((72 - width) / 2, (72 - height) / 2, (72 + width) / 2, (72 + height) / 2)
    for image, our in zip(images, ours, strict=True):
        theirs = Image.fromarray(image).resize((size, size), FILTERS[interpolation], box=box)
        # Pillow rounds twice, and clips what the cubic filter overshoots after each axis.
        limit = 1.5 if interpolation == "linear" else 2.5
        assert np.abs(np.asarray(theirs, np.float32) - our).max() <= limit


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("share", [1.0, 0.5])  # 7/8 is the limit
@pytest.mark.parametrize("aspect", [0.4, 1.0, 2.5])
def test_views_are_the_corners_and_the_centre_of_the_whole_picture(aspect, share, interpolation):
    images, aspects = canvases(), jnp.full(4, aspect, jnp.float32)
    of_canvas = min(share, 7 / 8) * 72
    width, height = min(1, 1 / aspect) * of_canvas, min(1, aspect) * of_canvas
    boxes = [(x, y) for y in (0, 72 - height) for x in (0, 72 - width)]
    boxes.append(((72 - width) / 2, (72 - height) / 2))
    ten = augment.fixed_views(10)
    assert augment.fixed_views(5) == ten[:5]
    for number, view in enumerate(ten):
        x, y = boxes[number % 5]
        ours = augment.view_of(images, aspects, 40, view, share, interpolation)
        for image, our in zip(images, np.asarray(ours), strict=True):
            theirs = Image.fromarray(image).resize(
                (40, 40), FILTERS[interpolation], box=(x, y, x + width, y + height)
            )
            if number >= 5:
                theirs = ImageOps.mirror(theirs)
            limit = 1.5 if interpolation == "linear" else 3.5  # rounded and clipped, as above
            assert np.abs(np.asarray(theirs, np.float32) - our).max() <= limit


@pytest.mark.parametrize("size", [20, 64, 90])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_crop_anywhere_equals_the_product_with_dense_matrices(interpolation, size):
    images = canvases()
    # A square of a wide, a high and a square picture, at both ends and between.
    aspects, across, down = jnp.asarray([2.7, 0.4, 1.0, 1.6]), 1.0, 0.3
    ours = augment.placed_crop(images, aspects, size, across, down, 0.4, interpolation)
    for image, aspect, our in zip(images, np.asarray(aspects), ours, strict=True):
        width, height = 0.4 * min(1, 1 / aspect), 0.4 * min(1, aspect)
        scale = size / (72 * np.asarray([height, width]))
        theirs = jax.image.scale_and_translate(
            jnp.asarray(image, jnp.float32),
            (size, size, 3),
            spatial_dims=(0, 1),
            scale=jnp.asarray(scale, jnp.float32),
            translation=jnp.asarray(
                -72 * scale * [down * (1 - height), across * (1 - width)], jnp.float32
            ),
            method=interpolation,
        )
        if interpolation == "cubic":
            theirs = jnp.clip(theirs, 0, 255)
        np.testing.assert_allclose(our, theirs, rtol=0, atol=0.02)


def crop(key, images, aspect, **changes):
    settings = {"min_area": 0.3, "max_stretch": 4 / 3} | changes
    cut = partial(augment.random_resized_crop, size=32, **settings)
    return jax.jit(cut)(key, images, jnp.asarray(aspect, jnp.float32))


def test_crop_of_the_whole_of_a_square_picture_is_the_central_crop():
    images = canvases()
    whole = crop(jax.random.key(0), images, np.ones(4), min_area=1.0, max_stretch=1.0)
    central = augment.central_crop(images, jnp.ones(4), 32)
    np.testing.assert_allclose(whole, central, atol=1e-3)
    whole = crop(
        jax.random.key(0),
        images,
        np.ones(4),
        min_area=1.0,
        max_stretch=1.0,
        interpolation="cubic",
    )
    cubic = augment.central_crop(images, jnp.ones(4), 32, interpolation="cubic")
    np.testing.assert_allclose(whole, cubic, atol=1e-3)
    assert np.abs(cubic - central).max() > 5


def boxes_seen(aspect, **changes):
    """Width and height of crops, measured on canvases whose pixels encode their position."""
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


MAGNITUDES = {
    "rotate_degrees": 15.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "pca_color": 0.1,
    "blur": 1.5,
    "noise": 0.05,
    "drop_pixels": 0.2,
    "erase": 0.4,
    "mixup": 0.4,
    "cutmix": 1.0,
}
COLORS = ("brightness", "contrast", "saturation", "hue", "pca_color")
RANDOM = {
    name: lambda key, images, magnitude, name=name: augment.random_color(
        key, images, **{name: magnitude}
    )
    for name in COLORS
} | {
    "blur": augment.random_blur,
    "noise": augment.random_noise,
    "drop_pixels": augment.random_pixel_drop,
    "erase": augment.random_erase,
    "mixup": lambda key, images, a: augment.mix(key, images, mixup=a, cutmix=0)[0],
    "cutmix": lambda key, images, a: augment.mix(key, images, mixup=0, cutmix=a)[0],
}


def section(**magnitudes):
    settings = default_config().augment
    settings.update(magnitudes)
    return settings


@partial(jax.jit, static_argnames=("name", "magnitude"))
def transformed(key, images, name, magnitude):
    return RANDOM[name](key, images, magnitude)


BY_ITSELF = list(RANDOM)


@pytest.mark.parametrize("name", BY_ITSELF)
def test_each_is_a_function_of_the_key_that_keeps_shape_dtype_and_range(name):
    images = jnp.asarray(canvases(side=32), jnp.float32)
    one, again, other = (
        transformed(jax.random.key(k), images, name, MAGNITUDES[name]) for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.1
    assert (one.shape, one.dtype) == (images.shape, images.dtype)
    assert 0 <= one.min() <= one.max() <= 255 + 1e-3
    # bfloat16 rounds to a grey level (to half of one, twice), and does nothing else.
    rounded = images.astype(jnp.bfloat16)
    low = transformed(jax.random.key(0), rounded, name, MAGNITUDES[name])
    full = transformed(jax.random.key(0), rounded.astype(jnp.float32), name, MAGNITUDES[name])
    assert low.dtype == jnp.bfloat16
    assert np.abs(low.astype(jnp.float32) - full).max() <= 0.51


@pytest.mark.parametrize("name", BY_ITSELF)
def test_magnitude_0_changes_nothing(name):
    images = jnp.asarray(canvases(side=32), jnp.float32)
    same = transformed(jax.random.key(0), images, name, 0.0)
    np.testing.assert_allclose(same, images, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in BY_ITSELF if n not in ("mixup", "cutmix")])
def test_each_image_is_changed_independently(name):
    images = canvases(side=32).astype(np.float32)
    before = transformed(jax.random.key(0), images, name, MAGNITUDES[name])
    other = images.copy()
    other[1] = 255 - other[1]
    after = transformed(jax.random.key(0), other, name, MAGNITUDES[name])
    for i in (0, 2, 3):
        np.testing.assert_array_equal(before[i], after[i])
    # The amounts differ between images.
    alike = np.asarray(transformed(jax.random.key(0), images[[0] * 4], name, MAGNITUDES[name]))
    assert min(np.abs(alike[i] - alike[0]).max() for i in (1, 2, 3)) > 1


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_colors_equal_pillow(name, theirs):
    images = canvases(side=32)
    factors = np.asarray([0.0, 0.6, 1.0, 1.5], np.float32)
    ours = augment.adjust_color(jnp.asarray(images, jnp.float32), **{name: jnp.asarray(factors)})
    for image, our, factor in zip(images, ours, factors, strict=True):
        expected = np.asarray(theirs(Image.fromarray(image)).enhance(factor), np.float32)
        assert np.abs(expected - our).max() <= 1.6  # Pillow rounds the grey and the result


def test_color_changes_together_equal_single_ones_in_sequence():
    images = jnp.asarray(canvases(side=32) / 4 + 96, jnp.float32)  # so that nothing is clipped
    rng = np.random.default_rng(0)
    amounts = {name: rng.uniform(0.9, 1.1, 4) for name in ("brightness", "contrast", "saturation")}
    amounts |= {"hue": rng.uniform(-0.1, 0.1, 4), "pca_multiples": rng.normal(0, 0.1, (4, 3))}
    amounts = {name: jnp.asarray(value, jnp.float32) for name, value in amounts.items()}
    together = augment.adjust_color(images, **amounts)
    one_by_one = images
    for name, value in amounts.items():
        one_by_one = augment.adjust_color(one_by_one, **{name: value})
    np.testing.assert_allclose(together, one_by_one, atol=1e-3)


def test_hue_turns_the_chroma_of_yiq():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(100, 155, (1, 4, 4, 3)), jnp.float32)
    turned = np.asarray(augment.adjust_color(images, hue=jnp.asarray([0.2])))
    for before, after in zip(images.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        y0, i0, q0 = colorsys.rgb_to_yiq(*np.asarray(before))
        y1, i1, q1 = colorsys.rgb_to_yiq(*after)
        assert abs(y1 - y0) < 0.5
        np.testing.assert_allclose(np.hypot(i1, q1), np.hypot(i0, q0), atol=0.5)
        turn = np.angle(complex(q1, i1) / complex(q0, i0)) / (2 * np.pi)
        assert abs(abs(turn) - 0.2) < 0.02
    reds = jnp.broadcast_to(jnp.asarray([160.0, 90.0, 90.0]), (1, 1, 1, 3))
    red, green, blue = np.asarray(augment.adjust_color(reds, hue=jnp.asarray([1 / 3])))[0, 0, 0]
    assert green > max(red, blue)


def test_pca_color_moves_along_the_published_components():
    images = jnp.full((3, 2, 2, 3), 128.0)
    moved = augment.adjust_color(images, pca_multiples=0.1 * jnp.eye(3)) - images
    # Light first; then blue against red; then green against both.
    directions = np.sign(moved[:, 0, 0])
    np.testing.assert_array_equal(directions, [[-1, -1, -1], [1, -1, -1], [1, -1, 1]])
    lengths = np.linalg.norm(moved[:, 0, 0], axis=-1)
    np.testing.assert_allclose(lengths, 25.5 * np.asarray([0.2175, 0.0188, 0.0045]), rtol=1e-3)


def test_blur_equals_scipy():
    images = canvases(side=32).astype(np.float32)
    deviations = np.asarray([0.3, 1.0, 2.5, 6.0], np.float32)
    ours = augment.gaussian_blur(jnp.asarray(images), jnp.asarray(deviations))
    for image, our, deviation in zip(images, ours, deviations, strict=True):
        blur = partial(ndimage.gaussian_filter, sigma=(deviation,) * 2 + (0,), mode="constant")
        expected = blur(image, truncate=12) / blur(np.ones_like(image), truncate=12)
        np.testing.assert_allclose(our, expected, atol=0.01)


@pytest.mark.parametrize("size", [64, 32])
def test_rotated_crop_equals_scipy(size):
    images, side = canvases(side=72), 72
    aspect, angle, width, height = 1.5, 0.4, 0.7, 0.5
    center = np.asarray([0.45, 0.8])  # y, x in heights of the picture
    full = partial(jnp.full, 4)
    ours = augment.rotated_crop(
        *(images, full(aspect), full(center[1]), full(center[0])),
        *(full(width), full(height), full(angle), size),
    )
    points = size * round(side / size)  # several for each pixel, where the canvas is much finer
    turn = np.asarray([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    to_canvas = np.diag([side, side / aspect])
    matrix = to_canvas @ turn @ np.diag([height, width]) / points
    offset = to_canvas @ center - 0.5 + matrix @ np.full(2, 0.5 - points / 2)
    for image, our in zip(images, ours, strict=True):
        for channel in range(3):
            expected = ndimage.affine_transform(
                *(image[..., channel].astype(np.float64), matrix, offset, (points, points)),
                order=1,
                mode="nearest",
            )
            expected = expected.reshape(size, points // size, size, -1).mean((1, 3))
            np.testing.assert_allclose(our[..., channel], expected, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6])
def test_rotated_crops_stay_within_the_image(aspect):
    # Outside the canvas the edge is repeated, so the encoded position would not change.
    side, batch = 128, 128
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], 0 * ramp[:, None]), -1)
    images = np.broadcast_to(image, (batch, side, side, 3))
    crops = crop(
        *(jax.random.key(0), images, np.full(batch, aspect)), rotate_degrees=45.0, min_area=1.0
    )
    steps = np.diff(np.asarray(crops), axis=2)
    across, down = steps[..., 0] / 255 * aspect, steps[..., 1] / 255
    length = np.hypot(across, down)
    np.testing.assert_allclose(
        length, np.broadcast_to(length[:, 15:16, 15:16], length.shape), rtol=0.05
    )
    angle = np.degrees(np.arctan2(down, across)).mean((1, 2))
    assert -45.5 < angle.min() < -35
    assert 35 < angle.max() < 45.5


def test_rotation_of_0_degrees_is_the_crop_except_for_the_filter():
    images = canvases()
    straight = crop(jax.random.key(0), images, np.ones(4), min_area=0.2)
    turned = crop(jax.random.key(0), images, np.ones(4), min_area=0.2, rotate_degrees=1e-4)
    assert np.abs(np.asarray(straight - turned)).mean() < 2


def test_noise_is_normal_with_its_deviation():
    images = jnp.full((64, 32, 32, 3), 128.0)
    noise = np.asarray(augment.random_noise(jax.random.key(0), images, 0.1) - images) / 255
    deviations = noise.std(axis=(1, 2, 3))
    assert deviations.max() < 0.104
    assert stats.kstest(deviations, stats.uniform(0, 0.1).cdf).pvalue > 0.01
    scaled = (noise / deviations[:, None, None, None]).reshape(-1)
    assert stats.kstest(scaled[::50], stats.norm.cdf).pvalue > 0.01


def test_dropped_pixels_are_grey_in_all_channels():
    images = jnp.zeros((64, 32, 32, 3))
    dropped = np.asarray(augment.random_pixel_drop(jax.random.key(0), images, 0.4))
    assert set(np.unique(dropped)) == {0, 127.5}
    assert (dropped == dropped[..., :1]).all()
    share = (dropped[..., 0] > 0).mean(axis=(1, 2))
    assert stats.kstest(share, stats.uniform(0, 0.4).cdf).pvalue > 0.01


def test_box_mask_equals_a_loop_over_pixels():
    boxes = np.random.default_rng(0).uniform(-0.2, 0.8, (5, 4)).astype(np.float32)
    masks = augment.box_mask(*jnp.asarray(boxes).T, (9, 14))
    for (left, top, width, height), mask in zip(boxes, masks, strict=True):
        for y in range(9):
            for x in range(14):
                inside = left <= (x + 0.5) / 14 < left + width
                inside &= top <= (y + 0.5) / 9 < top + height
                assert mask[y, x, 0] == inside


def test_erased_is_one_grey_box_of_at_most_the_area():
    images = jnp.zeros((64, 40, 40, 3))
    erased = np.asarray(augment.random_erase(jax.random.key(0), images, 0.4)) == 127.5
    assert (erased == erased[..., :1]).all()
    areas = []
    for mask in erased[..., 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        areas.append(mask.mean())
        if len(rows):
            assert mask.sum() == len(rows) * len(columns)
            assert rows[-1] - rows[0] + 1 == len(rows)
            assert columns[-1] - columns[0] + 1 == len(columns)
    assert max(areas) < 0.43
    assert stats.kstest(areas, stats.uniform(0, 0.4).cdf).pvalue > 0.01


def test_mixup_is_the_weighted_mean_with_the_work_before():
    images = canvases(batch=8, side=16).astype(np.float32)
    mixed, share = augment.mix(jax.random.key(0), jnp.asarray(images), mixup=0.4, cutmix=0)
    for i in range(8):
        expected = share[i] * images[i] + (1 - share[i]) * images[i - 1]
        np.testing.assert_allclose(mixed[i], expected, atol=1e-3)


def test_cutmix_takes_a_box_of_the_work_before_and_its_share():
    images = canvases(batch=8, side=16).astype(np.float32)
    mixed, share = map(
        np.asarray, augment.mix(jax.random.key(0), jnp.asarray(images), mixup=0, cutmix=1)
    )
    for i in range(8):
        own = (mixed[i] == images[i]).all(-1)
        assert (mixed[i] == np.where(own[..., None], images[i], images[i - 1])).all()
        rows, columns = np.flatnonzero(~own.all(1)), np.flatnonzero(~own.all(0))
        assert (~own).sum() >= 0.98 * len(rows) * len(columns)  # a box, but for equal pixels
        np.testing.assert_allclose(share[i], own.mean(), atol=0.02)


@pytest.mark.parametrize("a", [0.2, 1.0, 3.0])
def test_weights_of_mixup_are_beta_distributed(a):
    _, share = augment.mix(jax.random.key(0), jnp.zeros((2000, 1, 1, 3)), mixup=a, cutmix=0)
    assert stats.kstest(np.asarray(share, np.float64), stats.beta(a, a).cdf).pvalue > 0.01


def test_with_both_on_each_is_used_for_about_half_of_the_images():
    _, share = augment.mix(jax.random.key(0), jnp.zeros((400, 8, 8, 3)), mixup=3.0, cutmix=1.0)
    of_pixels = np.asarray(share) * 64  # the shares of CutMix are whole pixels
    assert 150 < (np.abs(of_pixels - of_pixels.round()) < 1e-4).sum() < 250


def everything(key, images, aspect, **changes):
    return augment.augmented(key, images, aspect, section(**(MAGNITUDES | changes)), 32)


def batch_of(works=16):
    return canvases(works, 40), np.linspace(0.6, 1.6, works, dtype=np.float32)


def test_without_magnitudes_crop_and_flip_use_the_first_two_keys():
    images, aspect = batch_of()
    crop_key, flip_key = jax.random.split(jax.random.key(5))
    expected = augment.random_resized_crop(
        crop_key, images, aspect, 32, min_area=0.3, max_stretch=4 / 3
    )
    expected = augment.random_flip(flip_key, expected)
    ours, share = augment.augmented(jax.random.key(5), images, aspect, section(), 32)
    np.testing.assert_array_equal(ours, expected)
    assert share is None


@pytest.mark.slow
def test_switching_one_on_does_not_change_the_others():
    images, aspect = batch_of()
    key = jax.random.key(0)
    alone, more = (
        jax.jit(lambda *given, chosen=chosen: augment.augmented(*given, section(**chosen), 32))(
            key, images, aspect
        )[0]
        for chosen in ({"erase": 0.4}, {"erase": 0.4, "noise": 0.01, "hue": 0.1, "cutmix": 1.0})
    )
    grey = 127.5  # the value of erased boxes
    np.testing.assert_array_equal(alone == grey, more == grey)
    first = augment.random_color(key, jnp.full((4, 1, 1, 3), 90.0), brightness=0.4)
    second = augment.random_color(key, jnp.full((4, 1, 1, 3), 90.0), brightness=0.4, hue=0.1)
    np.testing.assert_allclose(first, second, atol=1e-3)


@pytest.mark.slow
def test_eight_devices_augment_like_one_and_move_no_batches():
    images, aspect = batch_of()
    key = jax.random.key(0)
    one, one_share = jax.jit(everything)(key, images, aspect)
    over_all = NamedSharding(Mesh(np.asarray(jax.devices()), "data"), PartitionSpec("data"))
    spread = jax.jit(everything, in_shardings=(None, over_all, over_all), out_shardings=over_all)
    eight, eight_share = spread(key, images, aspect)
    np.testing.assert_allclose(one, eight, atol=1e-2)  # of 255
    np.testing.assert_allclose(one_share, eight_share, atol=1e-6)
    program = spread.lower(key, images, aspect).compile().as_text()
    assert "collective-permute" in program  # an image moves to the next device
    assert "all-gather" not in program


def test_all_augmentations_together_give_valid_images():
    images, aspect = batch_of()
    ours, share = jax.jit(everything)(jax.random.key(0), images, aspect)
    assert (ours.shape, ours.dtype) == ((16, 32, 32, 3), jnp.float32)
    assert 0 <= ours.min() <= ours.max() <= 255
    assert 0 <= share.min() <= share.max() <= 1


def policy_images(batch=2000, side=12):
    rng = np.random.default_rng(3)
    return jnp.asarray(rng.uniform(30, 220, (batch, side, side, 3)), jnp.float32)


apply_policy = jax.jit(policy.apply_policy, static_argnums=(2, 3, 4))


@pytest.mark.slow
def test_trivial_draws_one_transform_of_uniform_strength():
    amounts = policy.drawn_amounts(jax.random.key(0), 9000, "trivial", 5, 30.0)
    given = np.stack([amounts[name] != 0 for name in policy.TRANSFORMS], axis=1)
    assert given.sum(axis=1).max() == 1
    # 9 transforms, of which identity shows nothing, and a thirty-first of the others has strength 0.
    np.testing.assert_allclose(given[:, 1:].mean(axis=0), 30 / 31 / 9, atol=0.012)
    assert not given[:, 0].any()
    for name, transform in policy.TRANSFORMS.items():
        strengths = np.asarray(amounts[name][amounts[name] != 0]) / (transform.largest or 1) * 30
        np.testing.assert_allclose(strengths, strengths.round(), atol=1e-4)
        if name != "identity":
            assert set(np.abs(strengths.round())) == set(range(1, 31))
            assert (strengths < 0).any() == transform.signed


@pytest.mark.parametrize("transforms", [1, 2, 4])
def test_rand_draws_so_many_transforms_of_one_strength(transforms):
    amounts = policy.drawn_amounts(jax.random.key(0), 9000, "rand", transforms, 15.0)
    for name, transform in policy.TRANSFORMS.items():
        drawn = np.asarray(amounts[name])
        assert set(np.unique(np.abs(drawn))) <= {0, np.float32(transform.largest / 2)}
        if name != "identity":
            assert (drawn != 0).mean() == pytest.approx(1 - (8 / 9) ** transforms, abs=0.02)


@pytest.mark.slow
def test_policy_does_to_each_image_what_its_transform_does():
    images, key = policy_images(90), jax.random.key(5)
    seen = np.asarray(apply_policy(key, images, "trivial", 1, 0.0))
    amounts = policy.drawn_amounts(jax.random.split(key, 4)[0], 90, "trivial", 1, 0.0)
    expected = {
        name: augment.adjust_color(images, **{name: 1 + amounts[name]})
        for name in ("brightness", "contrast", "saturation")
    }
    expected["hue"] = augment.adjust_color(images, hue=amounts["hue"])
    expected["blur"] = augment.gaussian_blur(images, 12 * amounts["blur"])
    for name, theirs in expected.items():
        drawn = np.asarray(amounts[name] != 0)
        assert drawn.any()
        np.testing.assert_allclose(seen[drawn], theirs[drawn], atol=2e-3)
    difference = seen - np.asarray(images)
    noise = np.asarray(amounts["noise"])
    spread = difference.std(axis=(1, 2, 3)) / 255
    assert noise.any()
    np.testing.assert_allclose(spread[noise > 0], noise[noise > 0], rtol=0.3)
    for name in ("drop_pixels", "erase"):
        share = np.asarray(amounts[name])
        changed = (np.abs(difference) > 2e-3).any(-1)
        assert share.any()
        assert (seen[share > 0][changed[share > 0]] == augment.damage.GREY).all()
        np.testing.assert_allclose(changed[share > 0].mean((1, 2)), share[share > 0], atol=0.15)
    nothing = sum(np.abs(of) for of in amounts.values()) == 0
    np.testing.assert_allclose(seen[nothing], images[nothing], atol=2e-3)


def test_rand_of_strength_0_changes_nothing():
    images = policy_images(64)
    seen = apply_policy(jax.random.key(5), images, "rand", 3, 0.0)
    np.testing.assert_allclose(seen, images, atol=2e-3)


@pytest.mark.slow
def test_a_policy_changes_no_crop_and_no_mixture():
    magnitudes = default_config().augment
    magnitudes.mixup = 0.2
    key, aspect = jax.random.key(2), jnp.ones(16)
    given = canvases(16), aspect, magnitudes, 32
    plain, share = augment.augmented(key, *given)
    magnitudes.policy = "rand"
    magnitudes.policy_magnitude = 0.0
    with_policy, same_share = augment.augmented(key, *given)
    np.testing.assert_array_equal(share, same_share)
    np.testing.assert_allclose(plain, with_policy, atol=2e-3)
    magnitudes.policy_magnitude = 30.0
    assert np.abs(augment.augmented(key, *given)[0] - plain).max() > 20
