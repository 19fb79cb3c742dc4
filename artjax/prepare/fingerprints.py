"""How the pictures of a collection look: fingerprints, made from its canvases and kept beside these.

A canvas is squashed to a square, as a fingerprint is. So other scans of a picture are found as by the
build, also where only canvases are left, or others have prepared the set.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from artjax.data.canvases import Canvases
from artjax.data.works import Split, take
from artjax.files import replacing
from artjax.prepare.near_duplicates import Fingerprint, Views, fingerprint_of_grey, views_of

# Changes when the fingerprints would: those of another version of this code are then made again.
_MADE_AS = "1"
_SIDE_PX = 128  # enough to see a border; pictures without canvases are decoded to it
_AT_ONCE = 256  # works, whose canvases take 50 MB at 256 px


def fingerprints_of(data: Canvases, split: Split) -> Views:
    """The views of the works of a split; `picture` is the index of a work in the split."""
    sources = [split.source] if split.source else sorted(data.prepared.splits)
    place = np.full(sum(data.prepared.splits[source] for source in sources), -1)
    place[split.rows] = np.arange(len(split))
    parts, before = [], 0
    for source in sources:
        views = _kept(data, source)
        picture = place[views.picture + before]
        before += data.prepared.splits[source]
        parts.append(views._replace(picture=picture).only(picture >= 0))
    return Views(*map(np.concatenate, zip(*parts, strict=True)))


def made_from(data: Canvases) -> list[str]:
    """What decides the fingerprints, beside the size of the canvases."""
    return [data.prepared.fingerprint, data.image_feature, _MADE_AS]


def _kept(data: Canvases, source: str) -> Views:
    """Those of one split of the prepared set, from the file, which is written if it is not there."""
    file = data.directory / f"{source}.fingerprints.npz"
    kept = _read(file, made_from(data))
    if kept is not None:
        return kept
    views = _made(data, source)
    # A folder that cannot be written only costs the time again. Several processes may write at once.
    with suppress(OSError), replacing(file, mark=f".{os.getpid()}") as partial:
        arrays: dict[str, Any] = {"made_from": np.asarray(made_from(data)), **views._asdict()}
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)
    return views


def _read(file: Path, expected: list[str]) -> Views | None:
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            if kept["made_from"].tolist() != expected:
                return None
            return Views(*(kept[name] for name in Views._fields))
    # Half a file, as a copy that was stopped leaves it, is none.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _made(data: Canvases, source: str) -> Views:
    if data.why_streamed:
        data = replace(data, size=_SIDE_PX)
    images = data.images(source)
    parts = [views_of([])]
    # One thread: these calls are so short that several would wait for Python's lock most of the time.
    with tqdm(total=len(images), desc=f"fingerprints of {source}", unit="image", delay=2) as bar:
        for start in range(0, len(images), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(images)))
            views = views_of([_fingerprint(canvas) for canvas in take(images, rows)])
            parts.append(views._replace(picture=views.picture + start))
            bar.update(len(rows))
    return Views(*map(np.concatenate, zip(*parts, strict=True)))


def _fingerprint(canvas: np.ndarray) -> Fingerprint:
    grey = Image.fromarray(canvas).convert("L")
    # Larger ones take up to twice as long, for the same hashes but for a bit or two.
    return fingerprint_of_grey(grey.reduce(max(1, grey.width // _SIDE_PX)))
