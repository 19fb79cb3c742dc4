"""Drawn pictures with many corners, and what others make of them."""

import numpy as np
from PIL import Image, ImageDraw


def drawn(
    seed: int, size: tuple[int, int] = (256, 200), shapes: int = 90, largest: int = 45
) -> Image.Image:
    """Shapes in any colours."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, tuple(rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(shapes):
        x, y, w, h = rng.integers(0, (*size, largest, largest))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(rng.integers(0, 256, 3)))
    return picture


def detail(picture: Image.Image, left: float = 0.2, upper: float = 0.3) -> Image.Image:
    """A third of the area."""
    w, h = picture.size
    box = (left * w, upper * h, (left + 0.58) * w, (upper + 0.58) * h)
    return picture.crop(tuple(round(edge) for edge in box))


def framed(picture: Image.Image, seed: int = 0) -> Image.Image:
    """In a patterned frame of 10 % of each side of the whole."""
    w, h = picture.size
    frame = drawn(1000 + seed, (round(w / 0.8), round(h / 0.8)), 400, 22)
    frame.paste(picture, (round(w / 8), round(h / 8)))
    return frame
