"""Splits cut by a hash of the work, so that a work and its details never straddle two of them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

FRACTIONS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))


def split_of(
    work_id: str, fractions: Sequence[tuple[str, float]] = FRACTIONS, salt: str = "artjax"
) -> str:
    """The split of a work: a function of its `work_id` alone.

    Adding works therefore never moves another one. The sizes of the splits are near the fractions for
    large collections, and anything for a handful of works.

    Args:
      work_id: what details and second photographs of one work share.
      fractions: names of the splits and their shares, which sum to 1.
      salt: another one gives another cut.
    """
    text = f"{salt}\0{unicodedata.normalize('NFC', work_id)}"
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    for name, fraction in fractions:
        if place < fraction:
            return name
        place -= fraction
    return fractions[-1][0]  # only rounding leads here
