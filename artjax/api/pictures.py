"""What can be given as pictures: paths, folders, arrays, Pillow's images; and what is said of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from artjax.errors import DataError
from artjax.prepare.picture_decoding import orientation
from artjax.prepare.picture_paths import files_of

Pictures = str | os.PathLike[str] | np.ndarray | Image.Image | Iterable[Any]
"""A path of a file or folder, an array uint8 [H, W, 3] or [N, H, W, 3], a Pillow image, or several."""

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
_TIFF_MODES = ("CMYK", "LAB", "F")


class Ranked(NamedTuple):
    """A label, and how probable the network finds it, in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture.

    Attributes:
      picture: its file; of an array or image its position, from 0.
      ranked: for each task all its labels, the most probable first; empty if the picture is not usable.
      reason: why the picture is not usable; empty if it is.
      unsure: for each task whether its answer is wrong more often than `eval.error_rate` allows, by the
        validation works; None where that is not known. Empty if the picture is not usable.
      unlikeness: how far the picture is from train where the network sees it: above 1 it is unlike
        anything there. None where that is not known.
    """

    picture: Path | int
    ranked: Mapping[str, tuple[Ranked, ...]]
    reason: str = ""
    unsure: Mapping[str, bool | None] = field(default_factory=dict)
    unlikeness: float | None = None

    @property
    def unlike_train(self) -> bool | None:
        """Whether the picture is unlike anything in train; None where that is not known."""
        return None if self.unlikeness is None else self.unlikeness > 1

    @property
    def usable(self) -> bool:
        """Whether it is a picture that can be read."""
        return not self.reason

    @property
    def best(self) -> dict[str, str]:
        """For each task the most probable label."""
        return {task: labels[0].label for task, labels in self.ranked.items()}

    def __str__(self) -> str:
        said = self.reason or ", ".join(
            f"{task} {labels[0].label} ({labels[0].probability:.1%}"
            f"{', unsure' if self.unsure.get(task) else ''})"
            for task, labels in self.ranked.items()
        )
        foreign = "; unlike anything in train" if self.unlike_train else ""
        return f"{named(self.picture)}: {said}{foreign}"


class Given(NamedTuple):
    """One of the pictures: how it is called, its file, and why there is none."""

    picture: Path | int
    file: Path
    reason: str = ""


def named(picture: Path | int) -> str:
    """How a message calls a picture."""
    return f"picture {picture}" if isinstance(picture, int) else str(picture)


@contextmanager
def as_files(pictures: Pictures) -> Iterator[list[Given]]:
    """Pictures as files, in the order in which they were given.

    Arrays and images are written without loss into a temporary folder, so that they are cleaned exactly
    as a file with these pixels is. A folder stands for all files in it and in its subfolders.

    Raises:
      DataError: if there are none, or something else was given.
    """
    with TemporaryDirectory(prefix="artjax-") as folder:
        found: list[Given] = []
        for item in _each(pictures):
            if isinstance(item, Path):
                files, missing = files_of([item])
                found += [Given(file, file) for file in files]
                found += [Given(path, path, reason) for path, reason in missing]
            else:
                found.append(_written(item, len(found), Path(folder)))
        if not found:
            raise DataError("no pictures were given")
        yield found


def _each(pictures: Any) -> Iterator[Path | Image.Image]:
    if isinstance(pictures, str | os.PathLike):
        yield Path(pictures).expanduser()
    elif isinstance(pictures, Image.Image):
        yield pictures
    elif hasattr(pictures, "__array__") and not isinstance(pictures, Sequence):
        array = np.asarray(pictures)
        if array.dtype.kind in "OU":  # of paths, such as a column of a table
            yield from _each(array.tolist())
        else:
            yield from map(Image.fromarray, _as_arrays(array))
    elif isinstance(pictures, Iterable) and not isinstance(pictures, bytes | Mapping):
        for item in pictures:
            yield from _each(item)
    else:
        raise DataError(
            f"pictures are paths, uint8 arrays or Pillow images, or a list of them; not "
            f"{type(pictures).__name__}"
        )


def _as_arrays(array: np.ndarray) -> np.ndarray:
    """Checks an array, and returns it as [N, H, W, 3]."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise DataError(
            "an array of pictures is uint8 [H, W, 3] or [N, H, W, 3] with RGB values from 0 to 255, not "
            f"{array.dtype} {list(array.shape)}"
        )
    if 0 in array.shape[-3:]:
        raise DataError(f"an array of pictures has no pixels: its shape is {list(array.shape)}")
    return array if array.ndim == 4 else array[None]


def _written(image: Image.Image, position: int, folder: Path) -> Given:
    """Writes an image as it is, with its colour profile and its orientation."""
    path = folder / f"{position}.{'tiff' if image.mode in _TIFF_MODES else 'png'}"
    try:
        image.load()  # which turns a TIFF: its orientation is known afterwards
        exif = Image.Exif()  # a new one: others may be damaged
        exif[ExifTags.Base.Orientation] = orientation(image)
        kept = image if image.mode in (*_TIFF_MODES, *_PNG_MODES) else image.convert("RGB")
        # Quickly, since it is read once, and not as lossy as the file was that it came from.
        how: dict[str, Any] = (
            {"compress_level": 1} if path.suffix == ".png" else {"compression": "raw"}
        )
        if profile := image.info.get("icc_profile"):
            how["icc_profile"] = profile
        kept.save(path, exif=exif, **how)
    except Exception as error:  # one of a damaged file: see `picture_decoding.decode`
        return Given(position, path, f"cannot be read ({type(error).__name__}: {error})")
    return Given(position, path)
