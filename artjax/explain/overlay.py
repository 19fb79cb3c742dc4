"""Heat maps laid over the true picture, in its true proportions."""

from __future__ import annotations

import numpy as np
from PIL import Image

# From cold to hot. Each is lighter than the last, so that they keep their order on grey paper, too.
_COLOURS = np.asarray(
    [(60, 20, 110), (150, 35, 110), (220, 70, 60), (250, 160, 20), (255, 250, 140)], np.float32
)
_STRENGTH = 0.75  # opacity of what is hottest; the coldest is the picture itself
_UNSEEN = 0.55  # how far the picture is faded to white where the network does not look


def overlay(picture: Image.Image, heat: np.ndarray, share: float = 1.0) -> Image.Image:
    """Lays a heat map over a picture.

    The network sees a central square of the picture; there the hot places are coloured. What is outside
    it is pale and grey: nothing there can change the answer.

    Args:
      picture: in true proportions, of any size and mode.
      heat: of that square, float [h, w] in [0, 1].
      share: `HeatMaps.share`.

    Returns:
      A picture in mode RGB, of the size of the given one.
    """
    coloured = picture.convert("RGB")
    left, top, right, bottom = seen_box(picture.size, share)
    grey = np.asarray(coloured.convert("L").convert("RGB"), np.float32)
    result = grey + (255 - grey) * _UNSEEN
    colours = np.asarray(coloured, np.float32)[top:bottom, left:right]
    # At the picture's size first: the colours of a smooth map are smooth, smoothed colours are muddy.
    wide = Image.fromarray(np.asarray(heat, np.float32)).resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC
    )
    hot = np.clip(np.asarray(wide), 0, 1)
    opacity = _STRENGTH * hot[..., None]
    result[top:bottom, left:right] = colours * (1 - opacity) + _colour_of(hot) * opacity
    return Image.fromarray(np.round(result).astype(np.uint8))


def seen_box(size: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    """The central square that a network sees of a picture: left, top, right and bottom in pixels.

    Args:
      size: width and height of the picture in pixels.
      share: side of the square as a share of the largest, in (0, 1].
    """
    width, height = size
    side = max(1, round(share * min(size)))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _colour_of(heat: np.ndarray) -> np.ndarray:
    """RGB on the scale [0, 255], float [h, w, 3], of heat in [0, 1]."""
    places = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(heat, places, channel) for channel in _COLOURS.T], axis=-1)
