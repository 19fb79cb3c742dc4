"""From a picture file in any state to an upright sRGB picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from artjax.errors import ImageError

SHORT_SIDE_PX = 512
MAX_PIXELS = 250_000_000
JPEG_QUALITY = 95

_WHITE = (255, 255, 255)
_SRGB = ImageCms.createProfile("sRGB")
_LAB = ImageCms.createProfile("LAB")
# Modes that can be resized before their colours are converted.
_PLAIN_MODES = ("L", "RGB", "CMYK", "LAB", "YCbCr")
# What undoes each EXIF orientation (Exif 2.32, 4.6.4, tag 0x0112).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Cleaned:
    """An upright sRGB picture: `jpeg` holds its bytes; width and height in pixels."""

    jpeg: bytes
    width: int
    height: int


def clean(path: Path, short_side_px: int = SHORT_SIDE_PX, max_pixels: int = MAX_PIXELS) -> Cleaned:
    """Reads a picture file as `decode` does and encodes it as JPEG (quality 95, 4:4:4).

    Raises:
      ImageError: with the reason, if it is no usable picture.
    """
    return encode(decode(path, short_side_px, max_pixels))


def encode(picture: np.ndarray) -> Cleaned:
    """Encodes uint8 RGB [H, W, 3] as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Cleaned(buffer.getvalue(), picture.shape[1], picture.shape[0])


def decode(
    path: Path, short_side_px: int = SHORT_SIDE_PX, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads a picture file of any format that Pillow knows; its name does not matter.

    Turned upright by its EXIF orientation, colours converted to sRGB by its ICC profile (one that is
    broken is ignored), transparency over white, the first frame of an animation or page of a document.

    Args:
      path: of the file.
      short_side_px: a picture whose shorter side is longer is scaled down to it; none is enlarged.
      max_pixels: larger pictures are refused before they are decoded.

    Returns:
      uint8 RGB [H, W, 3].

    Raises:
      ImageError: with the reason, if it is no usable picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that does not keep the pixels from loading
            with _without_pillows_limit(), Image.open(path) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ImageError(
                        f"{width} x {height} pixels are more than the limit of {max_pixels:,}"
                    )
                if not width or not height:
                    raise ImageError(f"it has {width} x {height} pixels")
                return np.asarray(_upright_srgb(image, short_side_px))
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError("not a picture in any known format") from error
    except OSError as error:
        raise ImageError(error.strerror or str(error) or "cannot be read") from error
    # Decoders meet damaged files with whatever error the damage leads to (struct.error, SyntaxError,
    # IndexError, …): for the collection each of them means the same.
    except Exception as error:
        raise ImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lets `max_pixels` alone decide: Pillow's own limit, 179 megapixels, is less than large scans."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _upright_srgb(image: Image.Image, short_side_px: int) -> Image.Image:
    profile = image.info.get("icc_profile")
    scale = short_side_px / min(image.size)
    if scale < 1:
        # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target keeps the quality.
        image.draft(None, (2 * round(image.width * scale), 2 * round(image.height * scale)))
    image.load()
    picture = _to_plain_mode(image)
    scale = short_side_px / min(picture.size)
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _oriented(_to_srgb(picture, profile), image)


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """Palettes, bits, transparency and deep samples become 8-bit samples without alpha."""
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (*_WHITE, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_samples(image)
    return image if image.mode in _PLAIN_MODES else image.convert("RGB")


def _from_deep_samples(image: Image.Image) -> Image.Image:
    """16-bit integers keep their upper byte; floats are taken for [0, 1] where they fit in it."""
    samples = np.asarray(image).astype(np.float64)
    if image.mode == "F" and samples.max(initial=0) <= 1:
        samples *= 255
    elif samples.max(initial=0) > 255 or image.mode.startswith("I;16"):
        samples /= 257
    return Image.fromarray(np.clip(np.rint(samples), 0, 255).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if picture.mode == "YCbCr":
        picture = picture.convert("RGB")
    try:
        if not profile and picture.mode != "LAB":
            return picture.convert("RGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else _LAB)
        converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture.convert("RGB")
    assert converted is not None  # it is None only for in-place conversion
    return converted


def _oriented(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Turns the picture as the EXIF data of the original say; damaged EXIF data say nothing."""
    try:
        orientation = original.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a camera's maker note can break the parser in any way
        return picture
    turn = _TURNS.get(orientation or 1)
    return picture if turn is None else picture.transpose(turn)
