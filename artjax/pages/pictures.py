"""The pictures of the page: small copies in true proportions, each work's at most once."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from artjax.data.canvases import Canvases
from artjax.data.decoding import PILLOW_FORMATS
from artjax.data.examples import examples_at
from artjax.data.works import Split
from artjax.errors import DataError

HEIGHT_PX = 240
_WIDEST = 3.0  # width : height of a small copy; scrolls are shown whole, but small


class Picture(NamedTuple):
    """A small copy: its path relative to the page, its size in pixels, and what it shows."""

    path: str
    width: int
    height: int
    file_name: str
    title: str


def write_pictures(
    data: Canvases,
    splits: Mapping[str, Split],
    wanted: Iterable[str],
    image_feature: str,
    folder: Path,
) -> dict[str, Picture]:
    """Writes small copies of works into `folder`, which exists.

    They are taken from the prepared pictures, or from the canvases, which are smaller, where those are
    not on this machine.

    Returns:
      By file name; paths are relative to the folder above `folder`.
    """
    by_source: dict[str, dict[int, str]] = {}
    aspects = {}
    remaining = set(wanted)
    for split in splits.values():
        for i, name in enumerate(split.file_names):
            if name in remaining:
                source, row = data.place(split, i)
                by_source.setdefault(source, {})[row] = str(name)
                aspects[str(name)] = float(split.aspect[i])
    written: dict[str, Picture] = {}
    for source, names in sorted(by_source.items()):
        for name, image, title in _images(data, source, names, image_feature):
            number = len(written)
            path = folder / f"{number:05d}.jpg"
            size = save_small(image, aspects[name], path)
            written[name] = Picture(f"{folder.name}/{path.name}", *size, name, title)
    return written


def save_small(image: Image.Image, aspect: float, path: Path) -> tuple[int, int]:
    """Writes a small copy of a picture, as JPEG in true proportions.

    Args:
      image: it may be squashed.
      aspect: its true width / height.
      path: of the file.

    Returns:
      Its width and height in pixels.
    """
    size = small_size(aspect)
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(path, "JPEG", quality=85)
    return size


def small_size(aspect: float) -> tuple[int, int]:
    """Width and height in pixels of the small copy of a picture, of its true width / height."""
    height = max(1, round(HEIGHT_PX * min(1.0, _WIDEST / aspect)))
    return max(1, round(height * aspect)), height


def _images(
    data: Canvases, source: str, names: Mapping[int, str], image_feature: str
) -> Iterator[tuple[str, Image.Image, str]]:
    """(file name, picture, title) of the works in the given rows of a split."""
    try:
        for row, example in examples_at(data.prepared, source, names):
            with Image.open(io.BytesIO(example[image_feature]), formats=PILLOW_FORMATS) as image:
                yield names[row], image, _title(example)
    except (DataError, FileNotFoundError, KeyError):
        images = data.images(source)
        for row, name in names.items():
            yield name, Image.fromarray(images[row]), ""


def _title(example: Mapping[str, Any]) -> str:
    title = example.get("title", b"").decode(errors="replace")
    year = int(example.get("year", -1))
    return f"{title}, {year}" if title and year >= 0 else title or (str(year) if year >= 0 else "")
