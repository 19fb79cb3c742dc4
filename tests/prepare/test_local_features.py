import numpy as np
import pytest
from drawn import detail, drawn, framed
from PIL import Image, ImageOps

from artjax.prepare.local_features import (
    MIN_SHARED,
    SIDE_PX,
    local_features_of,
    mirrored,
    shared_points,
    unit,
)


def features_of(picture):
    """Of a picture as it is on a canvas: squashed to a square."""
    canvas = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return local_features_of(canvas, picture.width / picture.height)


@pytest.mark.parametrize(
    "alter",
    [
        detail,
        framed,
        ImageOps.mirror,
        lambda p: ImageOps.mirror(detail(p)),
        lambda p: p.rotate(90, expand=True),
        lambda p: ImageOps.posterize(p.resize((90, 70)), 4),
    ],
    ids=["detail", "framed", "mirrored", "mirrored detail", "turned", "small, few colours"],
)
def test_what_is_made_of_a_picture_shares_points_with_it_and_not_with_others(alter):
    features = [features_of(drawn(seed)) for seed in range(4)]
    shared = [shared_points(features_of(alter(drawn(0))), other) for other in features]
    assert shared[0] >= MIN_SHARED
    assert max(shared[1:]) < MIN_SHARED


def test_the_points_of_the_mirrored_picture_need_not_be_computed():
    there = features_of(ImageOps.mirror(drawn(0)))
    ours = mirrored(features_of(drawn(0)))
    places = ours.places + np.asarray([local_width(drawn(0)) - 1, 0], np.float32)
    distances = np.linalg.norm(places[:, None] - there.places, axis=2)
    alike = (unit(ours.descriptors) @ unit(there.descriptors).T).max(
        axis=1, where=distances < 1.5, initial=0
    )
    assert np.mean(alike > 0.9) > 0.8


def local_width(picture):
    return round(SIDE_PX * (picture.width / picture.height) ** 0.5)


def test_different_pictures_in_one_frame_share_nothing():
    first, second = (features_of(framed(drawn(seed))) for seed in range(2))
    assert shared_points(first, second) < MIN_SHARED
    inside = np.zeros(len(first.places), bool)
    assert shared_points(first._replace(at_rim=inside), second) >= 2 * MIN_SHARED


def test_points_that_no_single_transform_takes_across_are_not_shared():
    features = features_of(drawn(0))
    scattered = np.random.default_rng(0).permutation(features.places)
    assert shared_points(features, features._replace(places=scattered)) < MIN_SHARED
    assert shared_points(features, features) > 5 * MIN_SHARED


def test_a_flat_picture_has_no_points():
    flat = features_of(Image.new("RGB", (40, 30), "grey"))
    assert (flat.places.shape, flat.descriptors.shape) == ((0, 2), (0, 128))
    assert shared_points(flat, features_of(drawn(0))) == shared_points(flat, flat) == 0
