"""Decodes images: a whole image to a canvas, or a box of it to a square."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image

from artjax.runtime.tensorflow_import import import_tensorflow

# The documented formats that Pillow reads (MPO is a kind of JPEG). A file chooses its format by its
# content, and some of Pillow's other formats start programs from PATH.
PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "PPM")
_MAX_HALVINGS = 3  # a JPEG can be decoded at 1/2, 1/4 or 1/8 of its size


def squash(picture: bytes, size: int) -> tuple[np.ndarray, float]:
    """Decodes an upright image and resizes it to a square canvas, without cropping.

    Args:
      picture: the bytes of a JPEG (or of another of `PILLOW_FORMATS`).
      size: side of the canvas in pixels.

    Returns:
      The canvas, uint8 [size, size, 3], and the image's true width / height.
    """
    with Image.open(io.BytesIO(picture), formats=PILLOW_FORMATS) as image:
        width, height = image.size
        image.draft("RGB", (2 * size, 2 * size))  # a JPEG is decoded at about the size needed
        canvas = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(canvas), width / height


def crop(encoded: Sequence[bytes], sides: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Decodes one box of each image and resamples it to a square. The images are upright.

    For a JPEG, only the box is decoded. It is decoded at the smallest scale at which its sides are still
    at least `size`, so that the linear resampling skips no pixel.

    Args:
      encoded: the bytes of n JPEGs (or of any other format that Pillow reads).
      sides: widths and heights in pixels, int [n, 2]; zeros if the image is not `is_plain_jpeg`.
      boxes: left, top, width and height as shares of the image's sides, float [n, 4].
      size: side of the results in pixels.

    Returns:
      uint8 [n, size, size, 3].
    """
    crops = np.empty((len(encoded), size, size, 3), np.uint8)
    plain = sides.any(axis=1)
    for i in map(int, np.flatnonzero(~plain)):
        crops[i] = _crop_with_pillow(encoded[i], boxes[i], size)
    if plain.any():
        windows, halvings = _windows(sides[plain], boxes[plain], size)
        jpegs = [encoded[i] for i in map(int, np.flatnonzero(plain))]
        crops[plain] = _decoder(size)(jpegs, windows, halvings)
    return crops


def _windows(sides: np.ndarray, boxes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How often to halve each image, and its box in pixels of the halved image.

    Returns:
      top, left, height and width, int32 [n, 4], and the numbers of halvings, int32 [n].
    """
    ratio = (boxes[:, 2:] * sides).min(axis=1) / size
    halvings = np.clip(np.floor(np.log2(np.maximum(ratio, 1))), 0, _MAX_HALVINGS).astype(np.int32)
    sides = -(-sides // 2 ** halvings[:, None])
    start = np.minimum(np.rint(boxes[:, :2] * sides), sides - 1).astype(np.int32)
    extent = np.maximum(np.minimum(np.rint(boxes[:, 2:] * sides), sides - start), 1)
    return np.concatenate([start[:, ::-1], extent[:, ::-1].astype(np.int32)], axis=1), halvings


@cache
def _decoder(size: int) -> Callable[[Sequence[bytes], np.ndarray, np.ndarray], np.ndarray]:
    """A TensorFlow graph (JPEGs, windows, halvings) → uint8 [n, size, size, 3].

    Separate calls of its operations take 1.3 times as long, because they wait for the GIL in between.
    """
    tf = import_tensorflow()

    def crop_one(work: tuple[Any, Any, Any]) -> Any:
        jpeg, window, halvings = work
        pixels = tf.switch_case(
            halvings,
            [
                partial(tf.io.decode_and_crop_jpeg, jpeg, window, channels=3, ratio=2**h)
                for h in range(_MAX_HALVINGS + 1)
            ],
        )
        resampled = tf.image.resize(pixels, (size, size))
        return tf.cast(tf.round(resampled), tf.uint8)

    @partial(
        tf.function,
        input_signature=[
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None, 4], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ],
        autograph=False,
    )
    def crop_all(jpegs: Any, windows: Any, halvings: Any) -> Any:
        spec = tf.TensorSpec([size, size, 3], tf.uint8)
        works = (jpegs, windows, halvings)
        return tf.map_fn(crop_one, works, fn_output_signature=spec, parallel_iterations=4)

    compiled = crop_all.get_concrete_function()

    def crop(jpegs: Sequence[bytes], windows: np.ndarray, halvings: np.ndarray) -> np.ndarray:
        inputs = tf.constant(jpegs), tf.constant(windows), tf.constant(halvings)
        result: np.ndarray = compiled(*inputs).numpy()
        return result

    return crop


def is_plain_jpeg(image: Image.Image) -> bool:
    """Whether the image is an RGB or grey JPEG, which `crop` decodes without Pillow."""
    return image.format == "JPEG" and image.mode in ("RGB", "L")


def _crop_with_pillow(picture: bytes, box: np.ndarray, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(picture), formats=PILLOW_FORMATS) as image:
        left, top, right, bottom = (
            share * side
            for share, side in zip([*box[:2], *(box[:2] + box[2:])], image.size * 2, strict=True)
        )
        corners = (left, top, min(right, image.width), min(bottom, image.height))
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=corners)
    return np.asarray(pixels)
