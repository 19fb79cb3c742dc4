"""Near-duplicates: one picture photographed, scaled, cropped, turned, mirrored, framed or encoded again.

Two steps. A perceptual hash (64 bits of a DCT) is looked up in buckets, so that 80,000 pictures need not
all be compared with each other. It is looked up for each of the eight turns and mirrors of a picture:
one canonical turn would differ between two scans of a picture that is nearly symmetric. Pairs that are
near by hash are then compared pixel by pixel on small grey copies.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import fft

from artjax.prepare.borders import inside_border
from artjax.prepare.hash_lookup import near_pairs

SIDE_PX = 32
_BORDER_SIDE_PX = 128  # a border of 3 % has three whole lines
_WIDE_BORDER = 0.25  # of the area
# What is measured with both limits, and on what, is in docs/preparing.md.
MAX_DISTANCE = 15
MIN_CORRELATION = 0.95
# Between two whole pictures with wide borders, which look alike through these.
MIN_CORRELATION_WITH_BORDERS = 0.98
RULE = (MAX_DISTANCE, MIN_CORRELATION, MIN_CORRELATION_WITH_BORDERS)
TURNS = 8  # by 0, 90, 180 and 270 degrees, as they are and mirrored

_FREQUENCIES = 8
_PAIRS_AT_ONCE = 1 << 10  # pairs of pictures, 4 MB each time that they are copied
_CROPPED_AT_ONCE = 1 << 6  # pairs of pictures, whose crops take 12 MB
_SMALL = 24
_FLAT = 2.0  # levels of 255
# Ground differs from the corners by at most so many levels of 255 (with 8, different fans are pairs),
# and so many standard deviations of the picture (one of little contrast would be nothing but ground).
_GROUND, _GROUND_DEVIATIONS = 16.0, 0.5
_LEAST_SHARE = 0.05  # of the pixels without the ground; where fewer are left, all are compared
_CORNERS = [0, 1, -2, -1]
# Between these, crops are tried: below, none lifts a correlation to the limit; above, none is needed.
_HOPELESS, _CLEAR = 0.5, 0.99


class View(NamedTuple):
    """What a picture, or the part of it inside its border, is compared by.

    `hashes` are 64-bit perceptual hashes of the eight turns, `grey` is uint8 [32, 32] as bytes;
    `wide_border`: whether a quarter of the view, or more, is border.
    """

    hashes: tuple[int, ...]
    grey: bytes
    wide_border: bool = False


class Fingerprint(NamedTuple):
    """A picture's views: of the whole, and of the part inside its border, if it has one."""

    views: tuple[View, ...]


class Views(NamedTuple):
    """The views of several pictures, as arrays.

    `picture` is the index of each view's picture, int64 [V]; `hashes` uint64 [V, 8], or [V, 1] of the
    picture as it is; `grey` uint8 [V, 32, 32]; `wide_border` bool [V].
    """

    picture: np.ndarray
    hashes: np.ndarray
    grey: np.ndarray
    wide_border: np.ndarray

    def only(self, chosen: np.ndarray) -> Views:
        """The chosen ones, by index or as bool [V]."""
        return Views(*(of[chosen] for of in self))


class NearDuplicate(NamedTuple):
    """Two pictures, by index (`first` < `second`), that look the same.

    `distance` is the number of bits in which their hashes differ; `correlation` is of their pixels. Both
    are of the views, and of the turn of the second, that correlate best. `shared_points`: how many local
    features one transform takes from one to the other; None where they were not found by these.
    """

    first: int
    second: int
    distance: int
    correlation: float
    shared_points: int | None = None


def fingerprint_of(jpeg: bytes) -> Fingerprint:
    """The fingerprint of a picture, from its encoded bytes."""
    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("L", (_BORDER_SIDE_PX, _BORDER_SIDE_PX))
        return fingerprint_of_grey(image.convert("L"))


def fingerprint_of_grey(grey: Image.Image) -> Fingerprint:
    """The fingerprint of a picture of mode L.

    Borders of 3 % a side are seen if it has about 128 pixels a side or more.
    """
    small = grey.resize((_BORDER_SIDE_PX, _BORDER_SIDE_PX), Image.Resampling.BOX)
    left, upper, right, lower = inside = inside_border(np.asarray(small))
    whole = 0, 0, *small.size
    wide = (right - left) * (lower - upper) <= (1 - _WIDE_BORDER) * _BORDER_SIDE_PX**2
    views = [_view_of(grey, whole, wide)]
    if inside != whole:
        views.append(_view_of(grey, inside, False))
    return Fingerprint(tuple(views))


def _view_of(grey: Image.Image, box: tuple[int, int, int, int], wide_border: bool) -> View:
    """The view of a box, in 128ths of the picture's width and height."""
    # Imported here, because those who only train need not have it.

    across, down = grey.width / _BORDER_SIDE_PX, grey.height / _BORDER_SIDE_PX
    left, upper, right, lower = box
    small = grey.resize(
        (SIDE_PX, SIDE_PX),
        Image.Resampling.LANCZOS,
        box=(left * across, upper * down, right * across, lower * down),
    )
    hashes: list[int] = hashes_of(np.asarray(small)).tolist()
    return View(tuple(hashes), small.tobytes(), wide_border)


def hashes_of(grey: np.ndarray) -> np.ndarray:
    """The perceptual hashes of the eight turns of a picture, the same bits as of ImageHash's `phash`.

    Each bit is whether one of the 8 x 8 lowest coefficients of a DCT-II is above their median. Turns
    could be made of the coefficients, but not with the same bits: rounding decides in even pictures.

    Args:
      grey: uint8 [32, 32].

    Returns:
      uint64 [8].
    """
    turns = np.stack([turned(grey, turn) for turn in range(TURNS)]).astype(np.float64)
    columns = fft.dct(turns, axis=1)[:, :_FREQUENCIES]
    lowest = fft.dct(columns, axis=2)[..., :_FREQUENCIES].reshape(TURNS, -1)
    bits = lowest > np.median(lowest, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """Pictures [..., S, S] turned by `turn` x 90 degrees counterclockwise; from 4 on, mirrored first."""
    mirrored = pictures[..., ::-1] if turn >= 4 else pictures
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4, axes=(-2, -1)))


def _turned_each(pictures: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Pictures [P, S, S], each turned by its own of `turns` [P]."""
    result = np.empty_like(pictures)
    for turn in range(TURNS):
        result[turns == turn] = turned(pictures[turns == turn], turn)
    return result


def views_of(fingerprints: Sequence[Fingerprint]) -> Views:
    """The views of all pictures, one picture after the other."""
    views = [view for fingerprint in fingerprints for view in fingerprint.views]
    grey = np.frombuffer(b"".join(view.grey for view in views), np.uint8)
    return Views(
        np.repeat(
            np.arange(len(fingerprints)), np.asarray([len(f.views) for f in fingerprints], int)
        ),
        np.asarray([view.hashes for view in views], np.uint64).reshape(-1, TURNS),
        grey.reshape(-1, SIDE_PX, SIDE_PX),
        np.asarray([view.wide_border for view in views], bool),
    )


def find_near_duplicates(fingerprints: list[Fingerprint]) -> list[NearDuplicate]:
    """All pairs of pictures that look the same, sorted by index.

    The time grows with the number of pictures and of pairs that are near by hash, far less than with
    all pairs: see benchmarks/near_duplicates.py.
    """
    if len(fingerprints) < 2:
        return []
    views = views_of(fingerprints)
    triples = near_pairs(views.hashes[:, 0], views.hashes, MAX_DISTANCE)
    triples = triples[views.picture[triples[:, 0]] != views.picture[triples[:, 1]]]
    best: dict[tuple[int, int], NearDuplicate] = {}
    for first, second, distances, correlations in _alike(views, views, triples):
        pairs = zip(views.picture[first].tolist(), views.picture[second].tolist(), strict=True)
        for pair, distance, correlation in zip(pairs, distances, correlations, strict=True):
            if pair not in best or correlation > best[pair].correlation:
                best[pair] = NearDuplicate(*pair, int(distance), float(correlation))
    return sorted(best.values())


def looks_like_any(views: Views, others: Views) -> np.ndarray:
    """Which views look the same as one of others, in any of their turns: the rule for near-duplicates.

    Returns:
      bool [V].
    """
    found = np.zeros(len(views.picture), bool)
    triples = near_pairs(others.hashes[:, 0], views.hashes, MAX_DISTANCE, of_one_list=False)
    for _, second, _, _ in _alike(others, views, triples):
        found[second] = True
    return found


def _alike(
    these: Views, those: Views, triples: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields the pairs whose pixels correlate: both views, bits between their hashes, correlation; [P].

    Args:
      these: views, by the first column of `triples`.
      those: views, by the second one; the third is their turn.
      triples: as from `near_pairs`.
    """
    for start in range(0, len(triples), _PAIRS_AT_ONCE):
        first, second, turns = triples[start : start + _PAIRS_AT_ONCE].T
        correlations = aligned_correlations(
            these.grey[first], _turned_each(those.grey[second], turns)
        )
        both_wide = these.wide_border[first] & those.wide_border[second]
        least = np.where(both_wide, MIN_CORRELATION_WITH_BORDERS, MIN_CORRELATION)
        alike = correlations >= least
        first, second, turns = first[alike], second[alike], turns[alike]
        distances = np.bitwise_count(these.hashes[first, 0] ^ those.hashes[second, turns])
        yield first, second, distances, correlations[alike]


def aligned_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of pictures, the highest over small crops of the one and of the other.

    Scans differ in how much of the frame or the edge they show: from each side up to 2 of 32 pixels are
    cut away, of one picture at a time. What is even ground in both is left out, or any two round fans on
    plain paper would correlate, whatever is painted on them.

    Args:
      first: grey uint8 [P, 32, 32].
      second: grey uint8 [P, 32, 32].

    Returns:
      float [P]; 1 where two are the same to the last bit, 0 where one is nearly flat.
    """
    one, other = _with_ground(first), _with_ground(second)
    best = _correlations(one, other)
    (open_rows,) = np.nonzero((best > _HOPELESS) & (best < _CLEAR))
    for start in range(0, len(open_rows), _CROPPED_AT_ONCE):
        rows = open_rows[start : start + _CROPPED_AT_ONCE]
        for whole, cropped in ((one, other), (other, one)):
            candidates = _correlations(
                _crops(whole[:, rows], _CROPS[:1]), _crops(cropped[:, rows], _CROPS)
            )
            best[rows] = np.maximum(best[rows], candidates.max(axis=1))
    return np.where((first == second).all(axis=(1, 2)), 1.0, best)


def _with_ground(pictures: np.ndarray) -> np.ndarray:
    """float32 [2, P, 32, 32]: the pictures, and 1 where they are ground, 0 elsewhere.

    Ground has the level of the corners, if three of four are of one level.
    """
    corners = pictures[:, _CORNERS][..., _CORNERS].reshape(len(pictures), -1).astype(np.float32)
    level = np.median(corners, axis=1, keepdims=True)
    limit = np.minimum(_GROUND, _GROUND_DEVIATIONS * pictures.std(axis=(1, 2)))[:, None]
    even = (np.abs(corners - level) <= limit).mean(axis=1) >= 0.75
    near = np.abs(pictures - level[..., None]) <= limit[..., None]
    ground = near & even[:, None, None]
    return np.stack([pictures, ground]).astype(np.float32)


def _crops(layers: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """float32 [2, P, M * M, 24, 24]: pictures with their ground, cut and scaled by `matrices`."""
    down = np.einsum("aij,lpjk->lpaik", matrices, layers, optimize=True)
    both = np.einsum("bij,lpakj->lpabki", matrices, down, optimize=True)
    return both.reshape(*layers.shape[:2], -1, _SMALL, _SMALL)


def _crop_matrices() -> np.ndarray:
    """float32 [9, 24, 32]: box averages of a line of 32 pixels without 0, 1 or 2 at each end.

    The first leaves nothing out.
    """
    matrices = []
    for left, right in product(range(3), repeat=2):
        edges = np.linspace(left, SIDE_PX - right, _SMALL + 1)
        pixels = np.arange(SIDE_PX)
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        overlap = np.maximum(overlap, 0)
        matrices.append(overlap / overlap.sum(axis=1, keepdims=True))
    return np.asarray(matrices, np.float32)


_CROPS = _crop_matrices()


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of pictures with their ground, [2, ..., S, S]; 0 where one is nearly flat."""
    weights = 1 - first[1] * second[1]
    weights = np.where(_mean(weights) < _LEAST_SHARE, 1, weights)
    weights /= _mean(weights)
    one, other = (levels - _mean(weights * levels) for levels in (first[0], second[0]))
    variances = _mean(weights * one**2), _mean(weights * other**2)
    flat = np.minimum(*variances) < _FLAT**2
    deviations = np.where(flat, np.inf, np.sqrt(variances[0] * variances[1]))
    return (_mean(weights * one * other) / deviations)[..., 0, 0]


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=(-2, -1), keepdims=True)
