"""Splits cut by a hash of the work, so that a work and its details never straddle two of them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

FRACTIONS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
# What publishers call them; the list is that of Hugging Face's `datasets`.
_CALLED = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF_NAME = {name: split for split, names in _CALLED.items() for name in names}


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


def split_named(name: str) -> str | None:
    """The split that a publisher's folder or cell names: `Valid` is validation, `train_1` is train."""
    return _SPLIT_OF_NAME.get(re.sub(r"[ _-]?\d*$", "", name.strip().lower()))


def split_of_folders(name: str) -> str | None:
    """The split that the folders of a path name, the outermost first."""
    return next(filter(None, map(split_named, PurePosixPath(name).parent.parts)), None)
