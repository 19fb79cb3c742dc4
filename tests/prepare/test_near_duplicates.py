import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from artjax import studio
from artjax.prepare import hash_lookup
from artjax.prepare.hash_lookup import near_pairs
from artjax.prepare.near_duplicates import (
    TURNS,
    Fingerprint,
    View,
    aligned_correlations,
    find_near_duplicates,
    fingerprint_of,
    hashes_of,
    looks_like_any,
    turned,
    views_of,
)


def each_with_each(hashes, others, max_distance):
    return [
        [i, j, k]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        for k in range(others.shape[1])
        if (int(hashes[i]) ^ int(others[j, k])).bit_count() <= max_distance
    ]


@pytest.mark.parametrize("max_distance", [0, 3, 11, 15])
def test_near_pairs_are_those_of_each_with_each(max_distance):
    rng = np.random.default_rng(max_distance)
    hashes = rng.integers(0, 2**64, 400, dtype=np.uint64)
    others = np.stack([hashes, rng.integers(0, 2**64, 400, dtype=np.uint64)], axis=1)
    for i in range(200, 400):  # 0 to 19 bits away from another
        flips = sum(1 << int(bit) for bit in rng.permutation(64)[: i % 20])
        others[i, i % 3 % 2] = hashes[i - 200] ^ np.uint64(flips)
    others[:3, 1] = hashes[-3:]  # the later one must not come first
    expected = each_with_each(hashes, others, max_distance)
    assert len(expected) >= 10
    assert {k for _, _, k in expected} == {0, 1}
    assert near_pairs(hashes, others, max_distance).tolist() == expected


def test_near_pairs_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 2**12, 300, dtype=np.uint64)
    whole = near_pairs(hashes, hashes[:, None], 4)
    monkeypatch.setattr(hash_lookup, "_AT_ONCE", 50)
    np.testing.assert_array_equal(near_pairs(hashes, hashes[:, None], 4), whole)
    assert len(whole) > 1000


def test_near_pairs_of_two_lists_have_all_that_are_near():
    hashes = np.asarray([5, 9, 2**40], np.uint64)
    others = np.asarray([[2**63, 2**40 + 1], [8, 4], [2**50 - 1] * 2, [9, 0]], np.uint64)
    found = near_pairs(hashes, others, 1, of_one_list=False).tolist()
    assert found == [[0, 1, 1], [1, 1, 0], [1, 3, 0], [2, 0, 1], [2, 3, 1]]


def test_hashes_have_the_bits_of_imagehash(pictures):
    even = [Image.new("L", (32, 32), level) for level in (0, 90)]
    half = Image.fromarray(np.repeat(np.uint8([[0, 200]]), 16, axis=1).repeat(32, axis=0))
    for picture in [*pictures, *even, half]:
        grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
        theirs = [imagehash.phash(Image.fromarray(turned(grey, turn))) for turn in range(TURNS)]
        assert [f"{of:016x}" for of in hashes_of(grey).tolist()] == [str(of) for of in theirs]


def jpeg(picture, quality=95):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def cropped(picture, share):
    width, height = picture.size
    box = (width * share, height * share, width * (1 - share), height * (1 - share))
    return picture.crop([round(side) for side in box])


def captioned(picture):
    width, height = picture.size
    page = Image.new("RGB", (width, round(height * 1.12)), "white")
    page.paste(picture)
    ImageDraw.Draw(page).text((6, height + 3), "Portrait, 1642", fill="black", font_size=8)
    return page


AGAIN = {
    "encoded": lambda picture: jpeg(picture, 25),
    "half the size": lambda picture: jpeg(picture.reduce(2)),
    "in grey": lambda picture: jpeg(picture.convert("L").convert("RGB")),
    "brighter": lambda picture: jpeg(ImageEnhance.Brightness(picture).enhance(1.2)),
    "cropped": lambda picture: jpeg(cropped(picture, 0.03)),
    "with its frame": lambda picture: jpeg(ImageOps.expand(picture, 3, (70, 50, 20))),
    "turned by a degree": lambda picture: jpeg(picture.rotate(1, fillcolor=(90, 80, 70))),
    "in a wide frame": lambda picture: jpeg(ImageOps.expand(picture, 12, (150, 110, 50))),
    "on a white page": lambda picture: jpeg(ImageOps.expand(picture, (4, 6, 15, 15), "white")),
    "above a caption": lambda picture: jpeg(captioned(picture)),
    "mirrored in a frame": lambda picture: jpeg(ImageOps.expand(ImageOps.mirror(picture), 9)),
    **{
        way.name.lower(): lambda picture, way=way: jpeg(picture.transpose(way), 50)
        for way in Image.Transpose
    },
}


@pytest.fixture(scope="module")
def pictures():
    # One hand paints flat seas that look alike in grey; these two paint portraits and still lifes.
    chosen = [p for p in studio.catalogue() if p.genre in ("portrait", "still life")][:300:10]
    return [Image.fromarray(painting.draw()) for painting in chosen]


@pytest.mark.parametrize("how", AGAIN)
def test_the_same_picture_is_found_and_no_other(pictures, how):
    fingerprints = [fingerprint_of(jpeg(picture)) for picture in pictures]
    again = [fingerprint_of(AGAIN[how](picture)) for picture in pictures]
    found = [(pair.first, pair.second) for pair in find_near_duplicates(fingerprints + again)]
    expected = {(i, i + len(pictures)) for i in range(len(pictures))}
    assert set(found) <= expected
    assert len(found) >= 0.9 * len(expected)


def round_fan(picture):
    """A picture on dark silk, round, on pale paper."""
    side = 180
    silk = Image.new("RGB", (side, side), (120, 95, 60))
    page = Image.new("RGB", (side, side), (235, 228, 215))
    disc = Image.new("L", (side, side))
    ImageDraw.Draw(disc).ellipse((12, 12, 168, 168), fill=255)
    page.paste(Image.blend(silk, picture.resize((side, side)), 0.6), mask=disc)
    return page


def test_round_fans_are_told_apart_by_what_is_painted_on_them(pictures):
    fans = [round_fan(picture) for picture in pictures]
    grey = np.asarray([fan.convert("L").resize((32, 32)) for fan in fans])
    plain = np.corrcoef(grey.reshape(len(fans), -1))
    assert np.median(plain) > 0.95  # as the paper around them is the same
    again = [fan.transpose(Image.Transpose.ROTATE_180) for fan in fans]
    found = find_near_duplicates(
        [fingerprint_of(jpeg(fan)) for fan in fans]
        + [fingerprint_of(jpeg(fan, 50)) for fan in again]
    )
    expected = {(i, i + len(fans)) for i in range(len(fans))}
    assert {pair[:2] for pair in found} <= expected
    assert len(found) >= 0.9 * len(expected)


def test_dark_pictures_in_wide_frames_are_told_apart_and_found_again(pictures):
    silk = [Image.new("RGB", picture.size, (120, 95, 60)) for picture in pictures]
    dark = [Image.blend(*pair, 0.6) for pair in zip(silk, pictures, strict=True)]
    framed = [ImageOps.expand(picture, 25, "white") for picture in dark]
    found = find_near_duplicates(
        [fingerprint_of(jpeg(picture)) for picture in framed]
        + [fingerprint_of(jpeg(picture, 50)) for picture in framed]
    )
    assert [pair[:2] for pair in found] == [(i, i + len(framed)) for i in range(len(framed))]


def test_what_is_ground_in_one_picture_only_is_compared():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 100, (2, 1, 32, 32)).astype(np.uint8)
    first[:, :4], first[:, -4:] = 200, 200  # ground above and below
    second[:, :4], second[:, -4:] = 220, 220
    second[:, :, :4], second[:, :, -4:] = 220, 220  # and at both sides
    compared = np.ones((32, 32), bool)
    compared[:4], compared[-4:] = False, False
    expected = np.corrcoef(first[0][compared], second[0][compared])[0, 1]
    np.testing.assert_allclose(aligned_correlations(first, second), expected, atol=1e-4)


def test_ground_of_a_picture_of_little_contrast_is_within_half_a_deviation():
    first, second = (
        np.random.default_rng(0).normal(100, 10, (2, 1, 32, 32)).round().astype(np.uint8)
    )
    for grey in (first, second):
        grey[:, :2, :2], grey[:, :2, -2:], grey[:, -2:, :2], grey[:, -2:, -2:] = [100] * 4
    near = [np.abs(grey[0] - 100.0) <= grey.std() / 2 for grey in (first, second)]
    compared = ~(near[0] & near[1])
    expected = np.corrcoef(first[0][compared], second[0][compared])[0, 1]
    np.testing.assert_allclose(aligned_correlations(first, second), expected, atol=1e-4)


def test_turns_are_all_of_pillows():
    grey = np.random.default_rng(0).integers(0, 256, (5, 5), np.uint8)
    ways = [Image.fromarray(grey).transpose(way).tobytes() for way in Image.Transpose]
    turns = [turned(grey[None], turn).tobytes() for turn in range(TURNS)]
    assert turns[0] == grey.tobytes()
    assert sorted(turns[1:]) == sorted(ways)


def test_pictures_that_are_the_same_to_the_last_bit_are_near_duplicates_even_if_flat():
    flat = jpeg(Image.new("RGB", (90, 60), (120, 120, 120)))
    other = jpeg(Image.new("RGB", (90, 60), (20, 20, 20)))
    found = find_near_duplicates(
        [fingerprint_of(flat), fingerprint_of(other), fingerprint_of(flat)]
    )
    assert [pair[:2] for pair in found] == [(0, 2)]


def test_correlation_is_numpys(pictures):
    grey = [np.array(p.convert("L").resize((32, 32))) for p in pictures]
    for picture in grey:  # uneven corners are no ground
        picture[:2, :2], picture[:2, -2:], picture[-2:, :2], picture[-2:, -2:] = 0, 90, 170, 255
    first, second = np.asarray(grey[:-1]), np.asarray(grey[1:])
    ours = aligned_correlations(first, second)
    theirs = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    hopeless = np.asarray(theirs) <= 0.5
    assert hopeless.sum() >= 10
    np.testing.assert_allclose(ours[hopeless], np.asarray(theirs)[hopeless], atol=1e-4)
    assert (ours >= np.asarray(theirs) - 1e-4).all()


@pytest.mark.parametrize(("distance", "found"), [(15, [(0, 1, 15, 1.0, None)]), (16, [])])
def test_hashes_may_differ_in_15_bits(distance, found):
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8).tobytes()
    assert (
        find_near_duplicates(
            [
                Fingerprint((View((7 << 30,) * TURNS, grey),)),
                Fingerprint((View((7 << 30 ^ 2**distance - 1,) * TURNS, grey),)),
            ]
        )
        == found
    )


@pytest.mark.parametrize(("deviation", "correlates"), [(1.2, False), (3.0, True)])
def test_nearly_flat_pictures_correlate_with_none(deviation, correlates):
    rng = np.random.default_rng(0)
    levels = np.where(rng.random((32, 32)) < 0.5, 100 - deviation, 100 + deviation)
    first = levels.round().astype(np.uint8)[None]
    second = first.copy()
    second[0, 0, 0] += 1
    (correlation,) = aligned_correlations(first, second)
    assert correlation > 0.99 if correlates else correlation == 0


def test_pictures_are_looked_for_among_others_by_the_same_rule(pictures):
    silk = [Image.new("RGB", picture.size, (120, 95, 60)) for picture in pictures]
    dark = [Image.blend(*pair, 0.6) for pair in zip(silk, pictures, strict=True)]
    # Without the higher limit for wide borders, some of them look like others.
    framed = [ImageOps.expand(picture, 25, "white") for picture in dark]
    known = views_of([fingerprint_of(jpeg(picture)) for picture in framed[::2]])
    asked = [ImageOps.mirror(picture) for picture in framed]
    views = views_of([fingerprint_of(jpeg(picture, 50)) for picture in asked])
    found = np.unique(views.picture[looks_like_any(views, known)])
    assert set(found) <= set(range(0, len(pictures), 2))
    assert len(found) >= 0.9 * len(framed[::2])


def test_none_and_one_have_no_near_duplicates():
    assert find_near_duplicates([]) == []
    assert find_near_duplicates([fingerprint_of(jpeg(Image.new("RGB", (8, 8))))]) == []
