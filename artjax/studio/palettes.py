"""Palettes that all painters share, so that colour alone tells little of who painted a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Palette(NamedTuple):
    """Colours as RGB in [0, 1], each float32 [3]."""

    dark: np.ndarray
    shadow: np.ndarray
    middle: np.ndarray
    light: np.ndarray
    sky: np.ndarray
    accent: np.ndarray
    skin: np.ndarray


_HEX = (
    # dark     shadow    middle    light     sky       accent    skin
    ("2b2118", "5d4631", "9c7a4e", "e2c48f", "a9b8b4", "b5482e", "d9a679"),  # umber
    ("16222e", "34506a", "6b8fa6", "d6e0dc", "8fb3cf", "d9903d", "d8b08c"),  # northern blue
    ("1d2a1c", "43603a", "83995a", "dfd9a2", "b8cfc6", "c2543f", "cf9f78"),  # meadow
    ("2a1b2d", "5c4061", "96749a", "e6cfd6", "b3a9cc", "d8a23a", "dba98f"),  # violet evening
    ("301a14", "7a3423", "bf6a3c", "f0c27b", "e3b58a", "2f6f73", "d99f73"),  # vermilion
    ("1c1f24", "4a4f57", "8a8d8c", "ddd8cb", "b7bfc4", "a8742f", "c9a487"),  # grey day
    ("12302f", "2f6660", "6fa394", "e0e6cf", "a5d0cb", "cf5b4a", "d7a988"),  # sea green
    ("2f2510", "6e5a20", "b59a3b", "f3e3a1", "cfd2b0", "6b4a86", "dcae7c"),  # ochre
    ("241a1f", "6a3a4a", "b06f74", "f0cdbb", "d9b7b9", "3f6b8a", "e0ab92"),  # rose
    ("10182c", "2a3a68", "5d6fa8", "cfd6ea", "6f86c2", "e0b040", "cba08a"),  # ultramarine
)

PALETTES = tuple(
    Palette(*(np.frombuffer(bytes.fromhex(h), np.uint8).astype(np.float32) / 255 for h in row))
    for row in _HEX
)
