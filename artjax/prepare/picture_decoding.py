"""From a picture file in any state to an upright sRGB picture."""

from __future__ import annotations

import io
import math
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from artjax.data.decoding import PILLOW_FORMATS
from artjax.errors import DataError, ImageError
from artjax.prepare import deep_samples

SHORT_SIDE_PX = 512
MAX_PIXELS = 250_000_000
JPEG_QUALITY = 95
# A scroll of 512 x 100,000 pixels is no JPEG (65,535 a side at most), and no network sees all of it.
_LONGEST_SIDE_IN_SHORT_SIDES = 32

_UNKNOWN_FORMAT = "not a picture in any known format"
NOT_A_FILE = "not a regular file"
_WHITE = (255, 255, 255)
_SRGB = ImageCms.createProfile("sRGB")
_LAB = ImageCms.createProfile("LAB")
_DEPTH = "artjax depth"  # where the `info` of a picture has it, in words
# Modes that can be resized before their colours are converted.
_PLAIN_MODES = ("L", "RGB", "CMYK", "LAB", "YCbCr")
# Formats that libvips reads and scales instead, in a fraction of the time and a few rows at a time.
_VIPS_LOADERS = {
    "JPEG": "jpegload_source",
    "MPO": "jpegload_source",
    "PNG": "pngload_source",
    "TIFF": "tiffload_source",
}
_VIPS_BANDS = {"L": 1, "RGB": 3}
_LANCZOS3_BELOW = 2.2  # times smaller
_BAND_ROWS = 256
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
class EncodedPicture:
    """An upright sRGB picture: `jpeg` holds its bytes; width and height in pixels."""

    jpeg: bytes
    width: int
    height: int


def clean(
    path: Path, short_side_px: int = SHORT_SIDE_PX, max_pixels: int = MAX_PIXELS
) -> EncodedPicture:
    """Reads a picture file as `decode` does and encodes it as JPEG (quality 95, 4:4:4).

    Raises:
      ImageError: with the reason, if it is no usable picture.
    """
    return encode(*_decoded(path, short_side_px, max_pixels))


def encode(picture: np.ndarray, comment: str = "") -> EncodedPicture:
    """Encodes uint8 RGB [H, W, 3] as JPEG, with a comment if there is one."""
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"comment": comment} if comment else {}
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, **settings)
    return EncodedPicture(buffer.getvalue(), picture.shape[1], picture.shape[0])


def decode(
    path: Path, short_side_px: int = SHORT_SIDE_PX, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads a picture file of any format in docs/preparing.md; its name does not matter.

    Turned upright by its EXIF orientation, colours converted to sRGB by its ICC profile (one that is
    broken is ignored), transparency over white, the first frame of an animation or page of a document.

    Args:
      path: of the file.
      short_side_px: a picture whose shorter side is longer is scaled down to it; none is enlarged. If
        the longer side is more than 32 times this, the picture is scaled down until it is 32 times this.
      max_pixels: larger pictures are rejected before they are decoded.

    Returns:
      uint8 RGB [H, W, 3].

    Raises:
      ImageError: with the reason, if it is no usable picture.
    """
    return _decoded(path, short_side_px, max_pixels)[0]


def _decoded(path: Path, short_side_px: int, max_pixels: int) -> tuple[np.ndarray, str]:
    """What `decode` returns, and in words how many bits its samples used, where that says something."""
    try:
        with opened(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{width} x {height} pixels are more than the limit of {max_pixels:,}"
                )
            if not width or not height:
                raise ImageError(f"it has {width} x {height} pixels")
            picture = np.asarray(_upright_srgb(path, image, short_side_px))
            return picture, image.info.get(_DEPTH, "")
    except DataError:
        raise
    except OSError as error:
        raise ImageError(error.strerror or str(error) or "cannot be read") from error
    # Decoders meet damaged files with whatever error the damage leads to (struct.error, SyntaxError,
    # IndexError, …): for the collection all of these mean the same.
    except Exception as error:
        raise ImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture file in pixels, upright, without decoding it.

    Raises:
      ImageError: if it is no picture.
      OSError: if it cannot be read.
    """
    try:
        with opened(path) as image:
            sideways = (
                orientation(image) >= 5 and image.format != "TIFF"
            )  # whose size says it already
            return (image.height, image.width) if sideways else image.size
    except (DataError, OSError):
        raise
    except Exception as error:  # see `decode`
        raise ImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file whose header is read.

    Raises `ImageError` if it is no picture, and `OSError` if it cannot be read.

    No other formats are tried than the documented ones. Some of the others start programs from PATH, and
    a file chooses its format by its content: Pillow reads an EPS that is called .jpg with Ghostscript.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
        raise ImageError(NOT_A_FILE)
    if not status.st_size:
        raise ImageError("an empty file")
    with _permissive_pillow():
        image: Image.Image
        try:
            image = Image.open(path, formats=PILLOW_FORMATS)
        except Image.UnidentifiedImageError:
            image = _open_heif(path)
        with image:
            yield image


def _open_heif(path: Path) -> Image.Image:
    """Opens HEIC and HEIF by libheif, without making it a format of Pillow for the whole process."""
    import pi_heif

    with path.open("rb") as file:
        if not pi_heif.is_supported(file):
            raise ImageError(_UNKNOWN_FORMAT)
    image: Image.Image = pi_heif.HeifImageFile(path)
    return image


class _PermissivePillow:
    """While any thread is in the block, Pillow opens pictures of any size and warns of nothing.

    `max_pixels` decides about sizes: Pillow's own limit of 179 megapixels is less than large scans have.
    Its warnings are about damage that does not keep the pixels from loading. Both settings are global
    variables, so the first thread to enter sets them and the last to leave puts the old values back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._restore = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._threads:
                self._restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
            self._threads += 1
        try:
            yield
        finally:
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    self._restore.close()


_permissive_pillow = _PermissivePillow()


def _upright_srgb(path: Path, image: Image.Image, short_side_px: int) -> Image.Image:
    profile = image.info.get("icc_profile")
    longest_px = _LONGEST_SIDE_IN_SHORT_SIDES * short_side_px
    scale = min(1.0, short_side_px / min(image.size), longest_px / max(image.size))
    shallow = _of_fewer_bits(path, image) if deep_samples.is_deep(image) else None
    if shallow is not None:
        picture = _scaled_by_pillow(shallow, scale)
    else:
        vips = _scaled_by_vips(path, image, scale) if scale < 1 else None
        picture = vips or _scaled_by_pillow(image, scale)
    return _oriented(_to_srgb(picture, profile), image)


def _of_fewer_bits(path: Path, image: Image.Image) -> Image.Image | None:
    """Colours of 16 bits that use fewer, scaled to 8; None for others, and for files with any defect."""
    loader = _VIPS_LOADERS.get(image.format or "")
    bands = len(image.getbands())
    if loader is None or (bands == 3 and image.has_transparency_data):
        return None
    pyvips = _pyvips()
    try:
        with path.open("rb") as file:
            source = pyvips.Source.new_from_descriptor(file.fileno())
            read = getattr(pyvips.Image, loader)(source, fail_on="warning")
            if read.bands != bands or read.format != "ushort":
                return None
            colours = read.extract_band(0, n=3)
            bits = deep_samples.depth_of(colours.max())
            words = deep_samples.in_words(bits)
            if not words:
                return None
            shallow = colours * (255 / (2**bits - 1))
            if bands == 4:  # opacity may use more bits than the colours
                alpha = read.extract_band(3)
                shallow = shallow.bandjoin(
                    alpha * (255 / (2 ** deep_samples.depth_of(alpha.max()) - 1))
                )
            pixels = shallow.rint().cast("uchar").numpy()
    except pyvips.Error:
        return None  # Pillow decides what is wrong with it, if anything is
    image.info[_DEPTH] = words
    return Image.fromarray(pixels)


def _scaled_by_vips(path: Path, image: Image.Image, scale: float) -> Image.Image | None:
    """Reads and scales plain 8-bit pictures; None for others, and for files with any defect.

    libvips decodes a few rows at a time, so that a scan of a gigapixel needs no gigabytes.
    """
    bands = _VIPS_BANDS.get(image.mode)
    loader = _VIPS_LOADERS.get(image.format or "")
    if bands is None or loader is None or image.has_transparency_data:
        return None
    pyvips = _pyvips()
    options: dict[str, Any] = {"access": "sequential", "fail_on": "warning"}
    if image.format in ("JPEG", "MPO"):
        # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target keeps the quality.
        options["shrink"] = next(n for n in (8, 4, 2, 1) if n * 2 * scale <= 1 or n == 1)
    try:
        # By descriptor, because libvips takes no file name that is not UTF-8.
        with path.open("rb") as file:
            source = pyvips.Source.new_from_descriptor(file.fileno())
            read = getattr(pyvips.Image, loader)(source, **options)
            if read.bands != bands or read.format != "uchar":
                return None
            width, height = image.size
            if (read.width > read.height) != (width > height):  # Pillow has turned a TIFF's size
                width, height = height, width
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            across, down = read.width / size[0], read.height / size[1]
            # Of its kernels the nearest to an exact Lanczos with three lobes: see docs/preparing.md.
            kernel = "lanczos3" if down < _LANCZOS3_BELOW else "lanczos2"
            scaled = read.reducev(down, kernel=kernel, gap=0)
            pixels = scaled.reduceh(across, kernel="lanczos2", gap=0).numpy()
    except pyvips.Error:
        return None  # Pillow decides what is wrong with it, if anything is
    return Image.fromarray(pixels)


@cache
def _pyvips() -> Any:
    """The library, loaded where it is needed: training from canvases does without."""
    try:
        import pyvips
    except ImportError as error:
        raise DataError(
            f"pictures are read with pyvips, which cannot be imported: {error}"
        ) from error
    # A process cleans one picture after another, and there is a process for each core.
    pyvips.block_untrusted_set(
        True
    )  # loaders that libvips itself does not trust with foreign files
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    return pyvips


def _scaled_by_pillow(image: Image.Image, scale: float) -> Image.Image:
    width, height = image.size
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1:
        image.draft(None, (2 * size[0], 2 * size[1]))
    image.load()
    if image.size == (height, width) and width != height:  # loading has turned a TIFF
        size = (size[1], size[0])
    picture = image if image.mode in _PLAIN_MODES and not image.has_transparency_data else None
    if picture is None:
        picture = _to_plain_mode(image, max(1, math.floor(min(image.size) / min(size) / 3)))
    if scale < 1:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture


def _to_plain_mode(image: Image.Image, factor: int) -> Image.Image:
    """Palettes, bits, transparency and deep samples become 8-bit samples without alpha.

    A few rows at a time and scaled down by a whole `factor`, since these pictures take many times their
    size while they are converted.
    """
    convert = _converter(image)
    rows = factor * max(1, _BAND_ROWS // factor)
    picture = None
    for top in range(0, image.height, rows):
        band = convert(image.crop((0, top, image.width, min(top + rows, image.height))))
        band = band.reduce(factor) if factor > 1 else band
        if picture is None:
            size = (band.width, math.ceil(image.height / factor))
            picture = Image.new(band.mode, size)
        picture.paste(band, (0, top // factor))
    assert picture is not None  # pictures without rows are refused when they are opened
    return picture


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.has_transparency_data:
        return _over_white
    if not image.mode.startswith("I") and image.mode != "F":
        return lambda band: band.convert("RGB")
    convert, image.info[_DEPTH] = deep_samples.converter(image)
    return convert


def _over_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGBA", image.size, (*_WHITE, 255))
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


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
    """Turns the picture as the EXIF data of the original say."""
    turn = _TURNS.get(orientation(original))
    return picture if turn is None else picture.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Of the EXIF data, 1 to 8; 1 (upright) where they are missing or damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a camera's maker note can break the parser in any way
        return 1
    return orientation if orientation in _TURNS else 1
