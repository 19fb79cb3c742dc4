import numpy as np
import pytest
from drawn import detail, drawn, framed
from PIL import ImageOps

from artjax.prepare import shared_parts
from artjax.prepare.local_features import LocalFeatures, local_features_of

MADE = (detail, lambda picture: ImageOps.mirror(detail(picture)), framed)


@pytest.fixture(scope="module")
def features():
    """Of thirty pictures, and of what is made of the first three."""
    pictures = [drawn(seed) for seed in range(30)]
    pictures += [alter(picture) for alter, picture in zip(MADE, pictures, strict=False)]
    return shared_parts.extract(
        lambda i: local_features_of(pictures[i], pictures[i].width / pictures[i].height),
        len(pictures),
    )


@pytest.mark.parametrize("fewest", [0, 10**9])
def test_parts_are_found_by_lookup_as_by_comparing_all(features, fewest, monkeypatch):
    monkeypatch.setattr(shared_parts, "_FEWEST", fewest)
    monkeypatch.setattr(shared_parts, "_PICTURES_AT_ONCE", 7)
    found = shared_parts.find_shared_parts(features)
    assert [(part.first, part.second) for part in found] == [(0, 30), (1, 31), (2, 32)]
    assert all(part.shared_points >= 8 for part in found)


def test_lookup_leaves_few_pairs_to_compare(features, monkeypatch):
    monkeypatch.setattr(shared_parts, "_FEWEST", 0)
    pairs = shared_parts.find_candidates(features[30:], features[:30])
    assert {(0, 0), (1, 1), (2, 2)} <= {tuple(pair) for pair in pairs.tolist()}
    assert len(pairs) < 30


def test_of_each_picture_the_works_with_most_votes_are_compared(features, monkeypatch):
    monkeypatch.setattr(shared_parts, "_FEWEST", 0)
    monkeypatch.setattr(shared_parts, "_MOST_CANDIDATES", 1)
    pairs = shared_parts.find_candidates(features[30:], features[:30]).tolist()
    # As they are and mirrored, one each.
    assert len(pairs) <= 6
    assert {(0, 0), (1, 1), (2, 2)} <= set(map(tuple, pairs))


def test_pictures_without_points_are_in_no_pair():
    nothing = LocalFeatures(
        np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8), np.empty(0, bool)
    )
    assert shared_parts.find_shared_parts([nothing, nothing]) == []
    assert shared_parts.find_shared_parts([]) == []


def test_a_work_needs_the_votes_of_two_features_and_one_feature_has_one():
    first, second, other = np.random.default_rng(0).integers(0, 2**64, 3, dtype=np.uint64)
    of_works = ([first, second ^ np.uint64(5)], [first, other], [first, first])
    codes = np.concatenate([np.asarray(of, np.uint64) for of in of_works])
    pairs = shared_parts._most_voted(
        np.asarray([first, second]), np.zeros(2, int), codes, np.repeat(np.arange(3), 2), 3
    )
    assert pairs.tolist() == [[0, 0]]
