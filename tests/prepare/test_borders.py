import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from artjax.prepare.borders import inside_border


def noise(width, height, seed=0):
    """A picture none of whose lines is even."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


def boxes(picture):
    return inside_border(np.asarray(picture))


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("border", [(3, 3, 3, 3), (12, 20, 12, 20), (9, 0, 0, 0), (0, 0, 0, 15)])
def test_what_is_inside_a_border_is_found(border, level):
    left, upper, right, lower = border
    framed = ImageOps.expand(noise(100, 90), border, level)
    # One line more than the border goes, which may be a mixture of both.
    assert boxes(framed) == (
        left + (left > 0),
        upper + (upper > 0),
        left + 100 - (right > 0),
        upper + 90 - (lower > 0),
    )


def test_the_grain_of_paper_is_border():
    grain = np.random.default_rng(0).normal(200, 4, (120, 120))
    page = Image.fromarray(grain.round().astype(np.uint8))
    page.paste(noise(80, 80), (20, 20))
    assert boxes(page) == (21, 21, 99, 99)


def test_a_frame_in_a_margin_goes_with_it():
    framed = ImageOps.expand(ImageOps.expand(noise(90, 90), 8, 60), 10, 240)
    left, upper, right, lower = boxes(framed)
    assert all(18 <= side <= 20 for side in (left, upper, 126 - right, 126 - lower))


def test_a_strip_with_a_line_of_text_goes_as_a_whole():
    page = Image.new("L", (128, 128), 250)
    page.paste(noise(128, 112))
    ImageDraw.Draw(page).text((4, 115), "The Night Watch, 1642", fill=0, font_size=8)
    assert len(np.unique(np.asarray(page)[116:124])) > 5
    assert boxes(page) == (0, 0, 128, 111)


@pytest.mark.parametrize(
    "picture",
    [
        noise(64, 48),
        Image.new("L", (64, 48), 77),
        ImageOps.expand(noise(20, 20), 60, 255),  # so little is left that anything looks like it
    ],
    ids=["noise", "flat", "a stamp"],
)
def test_other_pictures_are_whole(picture):
    assert boxes(picture) == (0, 0, *picture.size)


def test_a_line_inside_the_picture_is_no_border():
    pixels = np.array(noise(100, 90))
    pixels[1:8] = np.median(pixels[0])  # an even line, but not the first
    assert boxes(pixels) == (0, 0, 100, 90)
