"""Local features: what a detail, a large crop or a framed copy shares with the whole picture.

Points that stand out, each described by the gradients around it (SIFT, by OpenCV), are found again in
another picture, whatever its scale, turn or surroundings. Points that match are no proof; that one
similarity transform takes them all from the one picture to the other is. Lowe, Distinctive Image
Features from Scale-Invariant Keypoints (2004), sections 6 and 7.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np
from PIL import Image

# With 256, details are found no better, carved frames only 4 % better, and it takes three times as long.
SIDE_PX = 128
MOST = 300  # points of a picture, the strongest
# Different pictures share 4 at most, known copies mostly more than 20: docs/preparing.md.
MIN_SHARED = 8

_CONTRAST = 0.02  # half of OpenCV's: soft paintings have few points of more
_RATIO = 0.8  # Lowe (2004), section 7.1
_TOLERANCE = 4.0  # pixels
_SCALES = (0.2, 5.0)
# What two pictures share at their rims alone, such as a frame or a colour chart, is not what they show.
_RIM = 0.12  # of each side
_CELL = 4.0  # points nearer than this are one: SIFT gives several orientations of the same point
_LEAST_PX = 16
SETTINGS = (
    SIDE_PX,
    MOST,
    MIN_SHARED,
    _CONTRAST,
    _RATIO,
    _TOLERANCE,
    *_SCALES,
    _RIM,
    _CELL,
    _LEAST_PX,
)
_LENGTH, _ORIENTATIONS = 128, 8
# A mirrored patch in its own frame: its rows are reversed and its angles negated.
_MIRRORED = (
    np.arange(_LENGTH)
    .reshape(4, 4, _ORIENTATIONS)[::-1][..., -np.arange(_ORIENTATIONS) % _ORIENTATIONS]
    .ravel()
)


class LocalFeatures(NamedTuple):
    """The points of a picture.

    Attributes:
      places: across and down, in pixels, float32 [K, 2].
      descriptors: uint8 [K, 128].
      at_rim: whether each lies in the outer 12 % of a side, bool [K].
    """

    places: np.ndarray
    descriptors: np.ndarray
    at_rim: np.ndarray


def available() -> bool:
    """Whether OpenCV is installed, and what limits its threads."""
    return all(importlib.util.find_spec(name) for name in ("cv2", "threadpoolctl"))


def local_features_of(picture: Image.Image, aspect: float) -> LocalFeatures:
    """The points of a picture, scaled to the area of 128 x 128 pixels, or to its own if that is less.

    Args:
      picture: it may be squashed.
      aspect: its true width / height.
    """
    import cv2

    side = min(SIDE_PX, *picture.size)
    size = [max(_LEAST_PX, round(side * aspect**power)) for power in (0.5, -0.5)]
    grey = picture.convert("L").resize((size[0], size[1]), Image.Resampling.LANCZOS)
    sift = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=_CONTRAST)
    points, descriptors = sift.detectAndCompute(np.asarray(grey), None)
    if descriptors is None:
        descriptors = np.empty((0, _LENGTH))
    # OpenCV returns more than asked for where some are equally strong.
    places = np.asarray([point.pt for point in points[:MOST]], np.float32).reshape(-1, 2)
    shares = places / np.asarray(size, np.float32)
    at_rim = np.minimum(shares, 1 - shares).min(axis=1) < _RIM
    return LocalFeatures(places, descriptors[:MOST].astype(np.uint8), at_rim)


def mirrored(features: LocalFeatures) -> LocalFeatures:
    """The points of the mirrored picture (the mirror stands at its left edge)."""
    places, descriptors = (
        features.places * np.asarray([-1, 1], np.float32),
        features.descriptors[:, _MIRRORED],
    )
    return features._replace(places=places, descriptors=descriptors)


def shared_points(first: LocalFeatures, second: LocalFeatures) -> int:
    """How many points of two pictures one similarity transform takes to each other, mirrored or not.

    Points at the rims of both are not counted. Fewer than `MIN_SHARED` are mostly chance.
    """
    return max(_shared(first, second), _shared(mirrored(first), second))


def _shared(first: LocalFeatures, second: LocalFeatures) -> int:
    import cv2

    pairs = _matches(unit(first.descriptors), unit(second.descriptors))
    if len(pairs) < MIN_SHARED:
        return 0
    one, other = first.places[pairs[:, 0]], second.places[pairs[:, 1]]
    cv2.setRNGSeed(0)
    transform, fits = cv2.estimateAffinePartial2D(
        one, other, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=500, refineIters=0
    )
    if transform is None or not _SCALES[0] < np.hypot(*transform[:, 0]) < _SCALES[1]:
        return 0
    inside = (fits[:, 0] > 0) & ~(first.at_rim[pairs[:, 0]] & second.at_rim[pairs[:, 1]])
    return min(len(np.unique(np.round(places[inside] / _CELL), axis=0)) for places in (one, other))


def _matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pairs, int [P, 2], of descriptors that are each other's nearest, and far nearer than the next."""
    if min(len(first), len(second)) < MIN_SHARED:
        return np.empty((0, 2), np.int64)
    cosines = first @ second.T
    rows = np.arange(len(first))
    nearest = cosines.argmax(axis=1)
    mutual = cosines.argmax(axis=0)[nearest] == rows
    closest = cosines[rows, nearest]
    cosines[rows, nearest] = -1
    # Of vectors of length 1, the squared distance is 2 - 2 cos.
    clear = 1 - closest < _RATIO**2 * (1 - cosines.max(axis=1))
    rows = rows[mutual & clear]
    return np.stack([rows, nearest[rows]], axis=1)


def unit(descriptors: np.ndarray) -> np.ndarray:
    """RootSIFT: float32 [K, 128], each of length 1.

    Arandjelovic & Zisserman, Three things everyone should know to improve object retrieval (2012).
    """
    values = descriptors.astype(np.float32)
    return np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
