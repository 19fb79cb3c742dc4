"""What is no painting: facts of a picture's file, and traces that its source leaves in the pixels.

If such facts tell the classes apart, a network may have learnt where a picture comes from.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from artjax.data.reports import SOURCE_FACTS_CSV, SourceFacts
from artjax.prepare.borders import inside_border
from artjax.prepare.picture_decoding import opened

_OCTAVES = 3
_BORDER_SIDE_PX = 128
_SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_EXIF_DATES = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.DateTime,
)


class OfFile(NamedTuple):
    """The facts of a file as it came; see `SourceFacts`, whose fields these are."""

    bytes: int
    format: str
    luma_step: float
    chroma_step: float
    profile: int
    date: str


def facts_of_file(path: Path) -> OfFile:
    """Reads the header of a picture file.

    Raises:
      ImageError: if it is no picture.
      OSError: if it cannot be read.
    """
    with opened(path) as image:
        tables = getattr(image, "quantization", None) or {}
        return OfFile(
            path.stat().st_size,
            _format(image),
            _mean_step(tables, 0),
            _mean_step(tables, 1),
            int("icc_profile" in image.info),
            _date(image),
        )


def source_facts(size: tuple[int, int], of_file: OfFile, cleaned: bytes) -> SourceFacts:
    """All facts of a picture.

    Args:
      size: width and height of the picture as it came, in pixels.
      of_file: the facts of its file.
      cleaned: the bytes of the JPEG that is prepared from it.
    """
    with Image.open(io.BytesIO(cleaned)) as image:
        depth = image.info.get("comment", b"").decode("ascii", "replace")
        image.draft("L", image.size)
        grey = image.convert("L")
    if depth:  # which cleaning has found, and noted there
        of_file = of_file._replace(format=f"{of_file.format} {depth}")
    small = grey.resize((_BORDER_SIDE_PX, _BORDER_SIDE_PX), Image.Resampling.BOX)
    left, upper, right, lower = inside_border(np.asarray(small))
    border = 1 - (right - left) * (lower - upper) / _BORDER_SIDE_PX**2
    width, height = size
    return SourceFacts(width, height, *of_file, *sharpness(grey), border=round(border, 4))


def depth_lines(facts: Iterable[SourceFacts | None]) -> list[str]:
    """How many pictures were scaled by the range of their samples, and by which; for the user."""
    found = (re.search(r"\d+ bits$", of_picture.format) for of_picture in facts if of_picture)
    depths = Counter(match[0] for match in found if match)
    if not depths:
        return []
    shown = ", ".join(f"{count:,} × {depth}" for depth, count in depths.most_common())
    return [
        f"samples: {depths.total():,} pictures use fewer bits than their files have ({shown}), and were "
        f"scaled by that range; see the column format of {SOURCE_FACTS_CSV}"
    ]


def sharpness(grey: Image.Image) -> tuple[float, float, float]:
    """How much finer detail a picture has at its full size than at half of it; at half; at a quarter.

    Each is the root mean square of the Laplacian (four neighbours) at a size, divided by the same at
    half that size. Pictures of the world have about as much detail at one size as at the next (Field,
    Relations between the Statistics of Natural Images (1987)), so the ratio is near 1, whatever the
    contrast. It is near 0 where a picture was scaled up or is out of focus, and above 1 with grain.

    Args:
      grey: of mode L.

    Returns:
      Three ratios, 0 or more; 0 where the half has no detail at all.
    """
    sizes = [grey.reduce(2**octave) if octave else grey for octave in range(_OCTAVES + 1)]
    details = [_detail(np.asarray(size)) for size in sizes]
    full, half, quarter = (
        round(fine / coarse, 4) if coarse else 0.0 for fine, coarse in pairwise(details)
    )
    return full, half, quarter


def _detail(grey: np.ndarray) -> float:
    """Root mean square of the Laplacian of uint8 [H, W]; 0 for pictures of two pixels."""
    if min(grey.shape) < 3:
        return 0.0
    levels = grey.astype(np.int16)
    laplacian = levels[1:-1, 1:-1] << 2
    for neighbour in (levels[:-2, 1:-1], levels[2:, 1:-1], levels[1:-1, :-2], levels[1:-1, 2:]):
        laplacian -= neighbour
    squares = np.square(laplacian.astype(np.float32))  # whole numbers, and exact: 1020 at most
    # Also in sum, so that every machine writes the same digits.
    return float(np.sqrt(squares.sum(axis=1, dtype=np.float64).sum() / squares.size))


def _format(image: Image.Image) -> str:
    words = [str(image.format), image.mode]
    if image.format in ("JPEG", "MPO"):
        # Imported here, because the import alone changes which formats Pillow knows.
        from PIL import JpegImagePlugin

        words.append(_SUBSAMPLING.get(JpegImagePlugin.get_sampling(image), ""))
        words.append("progressive" if "progressive" in image.info else "")
    return " ".join(filter(None, words))


def _mean_step(tables: dict[int, Any], number: int) -> float:
    return round(float(np.mean(tables[number])), 2) if number in tables else 0.0


def _date(image: Image.Image) -> str:
    """The first day of the EXIF data, as `2014-03-31`; empty where they have none, or are damaged."""
    try:
        exif = image.getexif()
        tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # a camera's maker note can break the parser in any way
        return ""
    for tag in _EXIF_DATES:
        found = re.match(r"(\d{4})[:-](\d{2})[:-](\d{2})", str(tags.get(tag, "")))
        try:
            if found:
                return date(*map(int, found.groups())).isoformat()
        except ValueError:  # 0000:00:00, as cameras without a clock write it
            continue
    return ""
