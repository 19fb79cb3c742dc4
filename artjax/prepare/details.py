"""Details, large crops and framed copies in a whole collection, beside what is found by hashes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from artjax.data.decoding import PILLOW_FORMATS
from artjax.errors import DataError
from artjax.prepare import shared_parts
from artjax.prepare.local_features import SIDE_PX, LocalFeatures, available, local_features_of
from artjax.prepare.near_duplicates import (
    SIDE_PX as GREY_PX,
)
from artjax.prepare.near_duplicates import (
    Fingerprint,
    NearDuplicate,
    aligned_correlations,
)
from artjax.prepare.previous import StoredPicture


def with_details(
    pairs: Sequence[NearDuplicate],
    fingerprints: Mapping[int, Fingerprint],
    jpegs: Mapping[int, Path | StoredPicture],
) -> list[NearDuplicate]:
    """The pairs, and those that share local features, sorted by index.

    Args:
      pairs: what was found by hashes.
      fingerprints: of the pictures, by index.
      jpegs: their files.

    Raises:
      DataError: if OpenCV is not installed.
    """
    if not available():
        raise DataError(
            "near_duplicates 'details' needs OpenCV: pip install opencv-python-headless"
        )
    index = list(fingerprints)
    features = shared_parts.extract(lambda i: _of_file(jpegs[index[i]]), len(index))
    result = {(pair.first, pair.second): pair for pair in pairs}
    for part in shared_parts.find_shared_parts(features):
        pair = index[part.first], index[part.second]
        found = result.get(pair) or _whole(pair, fingerprints)
        result[pair] = found._replace(shared_points=part.shared_points)
    return sorted(result.values())


def _of_file(jpeg: Path | StoredPicture) -> LocalFeatures:
    with Image.open(io.BytesIO(jpeg.read_bytes()), formats=PILLOW_FORMATS) as picture:
        aspect = picture.width / picture.height
        # Twice the size that is needed: a JPEG is scaled down faster than it is decoded.
        picture.draft("L", (2 * SIDE_PX, 2 * SIDE_PX))
        return local_features_of(picture, aspect)


def _whole(pair: tuple[int, int], fingerprints: Mapping[int, Fingerprint]) -> NearDuplicate:
    """How far the whole pictures differ, of which one may be but a part of the other."""
    first, second = (fingerprints[i].views[0] for i in pair)
    grey = [
        np.frombuffer(view.grey, np.uint8).reshape(1, GREY_PX, GREY_PX) for view in (first, second)
    ]
    distance = (first.hashes[0] ^ second.hashes[0]).bit_count()
    return NearDuplicate(*pair, distance, float(aligned_correlations(grey[0], grey[1])[0]))
