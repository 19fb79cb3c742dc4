"""Test works that look like a copy or a detail of a train work: the network has seen the answer.

The build keeps together what looks the same as a whole. What it missed, such as details, or what others
have prepared, is found here: the train works that lie nearest to a test work in feature space, and those
that share local features with it, are compared point by point.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from artjax import pages
from artjax.data.canvases import Canvases
from artjax.data.reports import write_csv
from artjax.data.works import Split, take
from artjax.evaluation import embeddings, train_embeddings
from artjax.files import kept_in
from artjax.pages.pictures import save_small, small_size
from artjax.prepare import shared_parts
from artjax.prepare.local_features import LocalFeatures, available, local_features_of
from artjax.runs import OpenRun

COPIES_CSV, PAGE = "copies.csv", "copies/index.html"
NEAREST = 5
# With more train works, only those nearest in feature space are compared: a minute for each 10,000.
MOST_LOOKED_UP = 20_000
_MOST_SHOWN = 100
_AT_ONCE = 256  # works, whose canvases take 50 MB at 256 px
_KEPT = "copies.json"
# Their local features stay in memory from fold to fold, 40 kB for a work.
_MOST_REMEMBERED = 5_000


class Copy(NamedTuple):
    """A test work and a train work that show the same; a row of `copies.csv`.

    `similarity` is the cosine of their embeddings, `shared_points` the number of their points that one
    similarity transform takes from the one to the other.
    """

    file_name: str
    train_file_name: str
    similarity: float
    shared_points: int


def find_copies(
    opened: OpenRun, tested: tuple[Split, np.ndarray], train: Split
) -> list[Copy] | None:
    """The pairs that show the same, the most similar first; None without OpenCV.

    They are kept beside the canvases, so the same works are not compared again.

    Args:
      opened: the run.
      tested: works to look for, and their embeddings, float32 [N, C].
      train: works to look among.
    """
    if not available():
        return None
    test, points = tested[0], (tested[1], _of_train(opened, train))
    key = _digest(opened.data, (test, train), points)
    pairs: list[list[Any]] = kept_in(
        opened.data.directory / _KEPT, key, lambda: _compared(opened.data, test, train, points)
    )
    return [Copy(*pair) for pair in pairs]


def _digest(data: Canvases, splits: Sequence[Split], points: Sequence[np.ndarray]) -> str:
    """Of everything that decides which pairs are found."""
    digest = hashlib.sha256(repr([NEAREST, MOST_LOOKED_UP, *shared_parts.settings()]).encode())
    digest.update(f"{data.prepared.fingerprint} {data.image_feature}".encode())
    for split, of_split in zip(splits, points, strict=True):
        digest.update("\0".join(split.file_names.tolist()).encode())
        digest.update(np.ascontiguousarray(of_split).tobytes())
    return digest.hexdigest()[:32]


def _compared(
    data: Canvases, test: Split, train: Split, points: Sequence[np.ndarray]
) -> list[Copy]:
    near = embeddings.nearest(points[0], points[1], NEAREST).indices
    rows = np.repeat(np.arange(len(test)), near.shape[1])
    pairs = np.unique(np.stack([rows, near.ravel()], axis=1), axis=0)
    asked = _local_features(data, test, np.arange(len(test)))
    if len(train) <= MOST_LOOKED_UP:
        compared = np.arange(len(train))
        features = _local_features(data, train, compared)
        pairs = np.unique(
            np.concatenate([pairs, shared_parts.find_candidates(asked, features)]), axis=0
        )
    else:
        compared, places = np.unique(pairs[:, 1], return_inverse=True)
        features = _local_features(data, train, compared)
        pairs = np.stack([pairs[:, 0], places], axis=1)
    found = [
        Copy(
            str(test.file_names[first]),
            str(train.file_names[compared[second]]),
            round(float(points[0][first] @ points[1][compared[second]]), 4),
            shared,
        )
        for first, second, shared in shared_parts.verify(asked, features, pairs)
    ]
    return sorted(found, key=lambda copy: (-copy.shared_points, *copy))


def left_out(copies: Sequence[Copy] | None, split: Split) -> np.ndarray | None:
    """Which works of a split are copies, bool [N]; None where this was not looked for."""
    if copies is None:
        return None
    return np.isin(split.file_names, [copy.file_name for copy in copies])


def summary(copies: Sequence[Copy] | None) -> dict[str, int] | None:
    """What `metrics.json` has of them."""
    if copies is None:
        return None
    return {"pairs": len(copies), "works": len({copy.file_name for copy in copies})}


def in_words(found: dict[str, int] | None) -> list[str]:
    """The lines of a report, from what `metrics.json` has."""
    if found is None:
        return [
            "  copies of train works were not looked for: OpenCV is not installed "
            "(pip install opencv-python-headless)"
        ]
    if not found["pairs"]:
        return []
    return [
        f"  warning: {found['works']:,} test works look like a copy or a detail of a train work; "
        f"{PAGE}, beside metrics.json, shows them side by side"
    ]


def write_copies(folder: Path, copies: Sequence[Copy] | None, test: Split, train: Split) -> None:
    """Writes `copies.csv` and the page into a folder, in place of earlier ones.

    Where copies were not looked for, the earlier ones are removed.
    """
    if copies is None:
        shutil.rmtree(folder / Path(PAGE).parent, ignore_errors=True)
        (folder / COPIES_CSV).unlink(missing_ok=True)
        return
    with pages.replaced_folder(folder / Path(PAGE).parent) as new:
        shown = [
            (copy, _picture(test, copy.file_name, new), _picture(train, copy.train_file_name, new))
            for copy in copies[:_MOST_SHOWN]
        ]
        html = pages.render("evaluation/copies.html", shown=shown, pairs=len(copies))
        (new / Path(PAGE).name).write_text(html, encoding="utf-8")
    write_csv(folder / COPIES_CSV, Copy._fields, copies)


def _of_train(opened: OpenRun, train: Split) -> np.ndarray:
    """The embeddings of all train works: those that are kept with the run, if they are all."""
    kept = train_embeddings.kept(opened.run.workdir, opened.run.step)
    if kept is not None and len(kept.indices) == len(train):
        return kept.works.astype(np.float32)
    return train_embeddings.of_works(opened, train)


class _Remembered:
    """The local features of a small collection, by row: all folds of a process ask for the same ones."""

    def __init__(self) -> None:
        self._of: tuple[Any, ...] = ()
        self._features: dict[int, LocalFeatures] = {}

    def of(self, data: Canvases) -> dict[int, LocalFeatures]:
        """Those of a collection, to be filled; those of another one are forgotten."""
        of = data.directory, data.prepared.fingerprint, data.image_feature
        if of != self._of or data.works > _MOST_REMEMBERED:
            self._of, self._features = of, {}
        return self._features


_remembered = _Remembered()


def _local_features(data: Canvases, split: Split, indices: np.ndarray) -> list[LocalFeatures]:
    """Of the works at `indices`, from their canvases."""
    known = _remembered.of(data)
    rows = data.rows_in_collection(split)[indices]
    new = np.flatnonzero([row not in known for row in rows.tolist()])
    known.update(zip(rows[new].tolist(), _extracted(split, indices[new]), strict=True))
    return [known[row] for row in rows.tolist()]


def _extracted(split: Split, indices: np.ndarray) -> list[LocalFeatures]:
    found: list[LocalFeatures] = []
    for start in range(0, len(indices), _AT_ONCE):
        chosen = indices[start : start + _AT_ONCE]
        canvases, aspects = take(split.images, split.rows[chosen]), split.aspect[chosen]

        def read(i: int, canvases: Any = canvases, aspects: Any = aspects) -> LocalFeatures:
            return local_features_of(Image.fromarray(canvases[i]), float(aspects[i]))

        found += shared_parts.extract(read, len(chosen))
    return found


def _picture(split: Split, file_name: str, folder: Path) -> tuple[str, int, int]:
    """Writes a small copy of a work in true proportions; its name in the folder, width and height."""
    (work,) = np.flatnonzero(split.file_names == file_name)[:1]
    aspect = float(split.aspect[work])
    path = folder / f"{split.name}{work}.jpg"
    if not path.exists():
        save_small(Image.fromarray(take(split.images, split.rows[[work]])[0]), aspect, path)
    return path.name, *small_size(aspect)
