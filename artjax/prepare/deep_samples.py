"""Samples of more than 8 bits. Scanners of 10 to 14 bits write them into 16: white is almost black."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

# What scanners, cameras and microscopes have, and what files have.
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_FULL = (16, 32)
_BAND_ROWS = 256


def depth_of(largest: float) -> int:
    """The bits that samples use: the fewest of 8, 10, 12, 14, 16, 24 and 32 that hold the largest."""
    return next(bits for bits in _DEPTHS if largest < 2**bits or bits == _DEPTHS[-1])


def is_deep(image: Image.Image) -> bool:
    """Whether an image, not loaded yet, has colours of 16 bits, of which Pillow keeps the upper byte."""
    tiles = getattr(image, "tile", None) or ()
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles)


def converter(image: Image.Image) -> tuple[Callable[[Image.Image], Image.Image], str]:
    """How bands of grey samples become 8 bits, and `in_words` of their depth.

    Args:
      image: of mode I, F, I;16 or I;16B, loaded. Integers are divided by the largest value of their
        depth. Floats are taken for [0, 1] where they fit in it, else as integers.
    """
    largest = max(float(band.max()) for band in _bands(image))
    if image.mode == "F" and largest <= 1:
        unit, words = 1 / 255, ""
    else:
        bits = depth_of(largest)
        unit, words = (2**bits - 1) / 255, "" if image.mode == "F" else in_words(bits)
    return lambda band: Image.fromarray(
        np.clip(np.rint(np.asarray(band, np.float32) / np.float32(unit)), 0, 255).astype(np.uint8)
    ), words


def in_words(bits: int) -> str:
    """`12 bits`, for samples that use fewer than their file has room for; empty for others."""
    return "" if bits in _FULL else f"{bits} bits"


def _bands(image: Image.Image) -> Iterator[np.ndarray]:
    # Not `getextrema`, which knows no big-endian samples.
    for top in range(0, image.height, _BAND_ROWS):
        yield np.asarray(image.crop((0, top, image.width, min(top + _BAND_ROWS, image.height))))
