"""A map comes to lie where its square is in the true picture."""

import numpy as np
import pytest
from PIL import Image

from artjax.explain import overlay, seen_box


@pytest.mark.parametrize(
    ("size", "share", "box"),
    [
        ((200, 100), 1.0, (50, 0, 150, 100)),
        ((100, 200), 1.0, (0, 50, 100, 150)),
        ((100, 100), 0.5, (25, 25, 75, 75)),
        ((1, 500), 1.0, (0, 249, 1, 250)),
    ],
)
def test_the_square_is_the_centre_of_the_picture(size, share, box):
    assert seen_box(size, share) == box
    heat = np.zeros((4, 4), np.float32)
    heat[0, -1] = 1  # the upper right corner
    laid = np.asarray(overlay(Image.new("RGB", size, (70, 130, 90)), heat, share), int)
    assert laid.shape == (size[1], size[0], 3)
    left, top, right, bottom = box
    if right - left == 1:
        return
    quarter = (right - left) // 4
    # Hot where the map is hot, the picture itself where it is cold, and pale grey outside the square.
    assert np.abs(laid[top + 2, right - 3] - (70, 130, 90)).sum() > 150
    assert laid[bottom - quarter, left + quarter].tolist() == [70, 130, 90]
    outside = np.ones(laid.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert (laid[outside] == laid[outside][:1]).all()
    assert np.ptp(laid[outside], axis=-1).max(initial=0) == 0


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_pictures_of_any_mode_are_laid_over(mode):
    laid = overlay(Image.new(mode, (30, 20)), np.ones((2, 2), np.float32))
    assert (laid.mode, laid.size) == ("RGB", (30, 20))


def test_hotter_is_lighter():
    heat = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None], 64, axis=0)
    laid = overlay(Image.new("RGB", (64, 64)), heat).convert("L")
    lightness = np.asarray(laid, float)[32]
    assert (np.diff(lightness) > -2).all()
    assert lightness[-1] > 120
