"""Encoded pictures to pixels: the whole of one as a canvas, or a box of it."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

_MOST_SHRINKING = 8  # that a JPEG can be decoded with


def squash(picture: bytes, size: int) -> tuple[np.ndarray, float]:
    """Decodes an encoded upright picture and squashes the whole of it to a canvas.

    Args:
      picture: the bytes of a JPEG (or anything else that Pillow reads).
      size: side of the canvas in pixels.

    Returns:
      The canvas, uint8 [size, size, 3], and the picture's true width / height.
    """
    with Image.open(io.BytesIO(picture)) as image:
        width, height = image.size
        image.draft("RGB", (2 * size, 2 * size))  # never decode far more pixels than are kept
        canvas = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(canvas), width / height


def crop(picture: bytes, sides: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Decodes a box of an encoded upright picture, and resamples it to a square.

    Of a JPEG only the box is decoded, shrunk as far as its sides stay at least `size`, so that the
    linear resampling skips no pixel.

    Args:
      picture: the bytes of a JPEG (or anything else that Pillow reads).
      sides: its width and height in pixels, int [2]; zeros if it is not `is_plain_jpeg`.
      box: left, top, width and height as shares of the picture's sides, float [4].
      size: side of the result in pixels.

    Returns:
      uint8 [size, size, 3].
    """
    if not sides.any():
        return _crop_with_pillow(picture, box, size)
    shrinking = 1
    while shrinking < _MOST_SHRINKING and (box[2:] * sides).min() >= 2 * shrinking * size:
        shrinking *= 2
    sides = -(-sides // shrinking)
    start = np.minimum(np.rint(box[:2] * sides), sides - 1).astype(np.int32)
    extent = np.maximum(np.minimum(np.rint(box[2:] * sides), sides - start), 1).astype(np.int32)
    tf = _tensorflow()
    window = np.concatenate([start[::-1], extent[::-1]])
    pixels = tf.io.decode_and_crop_jpeg(picture, window, channels=3, ratio=shrinking)
    # tf.image.resize does the same, and takes as long again to get there as the decoder.
    resampled = tf.raw_ops.ResizeBilinear(
        images=tf.expand_dims(pixels, 0), size=(size, size), half_pixel_centers=True
    )
    return np.rint(resampled.numpy()[0]).astype(np.uint8)


def is_plain_jpeg(image: Image.Image) -> bool:
    """Whether it is a JPEG of the colours that `crop` decodes without Pillow."""
    return image.format == "JPEG" and image.mode in ("RGB", "L")


def _crop_with_pillow(picture: bytes, box: np.ndarray, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(picture)) as image:
        left, top, right, bottom = (
            share * side
            for share, side in zip([*box[:2], *(box[:2] + box[2:])], image.size * 2, strict=True)
        )
        corners = (left, top, min(right, image.width), min(bottom, image.height))
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=corners)
    return np.asarray(pixels)


@cache
def _tensorflow() -> Any:
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf
