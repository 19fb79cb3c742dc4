"""Colours of each work, counted: what the colour-histogram baseline sees.

They belong to the prepared pictures, not to a run: they are counted once, in a rendition of one size,
and kept beside the canvases of all sizes. So the baseline of a split is one number, whatever images a
run has.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artjax.data.decoding import squash
from artjax.data.prepared import Prepared
from artjax.files import replacing

# Of the rendition. From 64 to 224 px the baselines of two real collections were the same within noise
# (three tasks, 30 random divisions of each). The studio's brush strokes need 128: fewer pixels mix their
# colours (five folds: 64 px 20.5 %, 128 px 24.1 %, 224 px 22.9 %). A work takes 4 ms of one core, as
# much as a canvas of 256 px.
SIDE_PX = 128
# Each kind of histogram, and its bins among all that are counted.
KINDS: Mapping[str, slice] = {
    "RGB 8x8x8": slice(0, 512),
    "32 bins a channel": slice(512, 608),
    "HSV 12x6x6": slice(608, 1040),
}
BINS = 1040
FILE = "colour_counts.npz"
# Changes when the counts would: those of another version of this code are then made again.
_MADE_AS = f"{SIDE_PX} px, {', '.join(KINDS)}"


def count(picture: np.ndarray) -> np.ndarray:
    """The number of pixels in each bin of all `KINDS`.

    Args:
      picture: uint8 RGB [H, W, 3].

    Returns:
      int64 [1040].
    """
    eighths = picture >> 5
    rgb = np.ravel_multi_index(tuple(np.moveaxis(eighths, -1, 0)), (8, 8, 8))
    channels = (picture >> 3) + np.asarray([0, 32, 64], np.uint8)
    hue, saturation, value = np.moveaxis(
        np.asarray(Image.fromarray(picture).convert("HSV"), np.int32), -1, 0
    )
    hsv = (hue * 12 >> 8) * 36 + (saturation * 6 >> 8) * 6 + (value * 6 >> 8)
    return np.concatenate(
        [
            np.bincount(bins.ravel(), minlength=kind.stop - kind.start)
            for bins, kind in zip((rgb, channels, hsv), KINDS.values(), strict=True)
        ]
    )


def count_encoded(picture: bytes) -> np.ndarray:
    """`count` of the rendition of an encoded picture, uint16 [1040]."""
    return count(squash(picture, SIDE_PX)[0]).astype(np.uint16)  # 128² pixels at most


def histograms(counts: np.ndarray, kind: str) -> np.ndarray:
    """Square roots of the shares of the pixels (Hellinger's kernel).

    Args:
      counts: of each work, int [N, 1040].
      kind: one of `KINDS`.

    Returns:
      float32 [N, bins of the kind], in [0, 1].
    """
    pixels = counts[:, KINDS["RGB 8x8x8"]].sum(axis=1, keepdims=True)
    return np.sqrt(counts[:, KINDS[kind]] / pixels).astype(np.float32)


def read(
    folder: Path, prepared: Prepared, image_feature: str, sources: Sequence[str]
) -> np.ndarray | None:
    """The counts of some splits of a prepared set, one after the other.

    Args:
      folder: the collection's folder, in which its canvases of all sizes are.
      prepared: the set whose counts are wanted.
      image_feature: the feature that holds the image.
      sources: names of splits of the prepared set.

    Returns:
      uint16 [N, 1040], in the order of the records. None where there are none, or only those of other
      pictures.
    """
    try:
        with (folder / FILE).open("rb") as stream, np.load(stream) as file:
            if file["made_from"].tolist() != _made_from(prepared, image_feature):
                return None
            none = np.empty((0, BINS), np.uint16)
            return np.concatenate([none, *(file[f"split/{name}"] for name in sources)])
    # Half a file, as a copy that was stopped leaves it, is none.
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def are_there(folder: Path, prepared: Prepared, image_feature: str) -> bool:
    """Whether there are counts of these pictures. It does not read them all."""
    return read(folder, prepared, image_feature, ()) is not None


def write(
    folder: Path, prepared: Prepared, image_feature: str, counts: Mapping[str, np.ndarray]
) -> None:
    """Writes the counts of all splits, uint16 [N, 1040] each; a reader never finds half of them.

    Raises:
      OSError: if the file cannot be written.
    """
    arrays: dict[str, Any] = {f"split/{name}": of for name, of in counts.items()}
    arrays["made_from"] = np.asarray(_made_from(prepared, image_feature))
    with replacing(folder / FILE) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _made_from(prepared: Prepared, image_feature: str) -> list[str]:
    return [prepared.fingerprint, image_feature, _MADE_AS]
