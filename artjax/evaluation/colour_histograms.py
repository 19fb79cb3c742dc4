"""How far colour alone gets: logistic regression on colour histograms.

The score of a network is worth what it is above this one. Three kinds of histogram and four strengths of
regularisation are tried; as for a network, the best on validation is tested.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import numpy as np
from PIL import Image

from artjax.data.canvases import Canvases, Split
from artjax.evaluation.metrics import wilson_interval
from artjax.files import write_atomically

KINDS = ("RGB 8x8x8", "32 bins a channel", "HSV 12x6x6")
STRENGTHS = (30.0, 0.3, 3.0, 300.0)  # the kind is chosen with the first
# More works make it slower, but not noticeably better.
MOST_TRAIN_WORKS = 6000
_KEPT = "colour_histograms.json"


def kept_colour_baseline(
    data: Canvases, splits: Mapping[str, Split], task: str
) -> dict[str, Any] | None:
    """What `colour_baseline` gives, computed once and kept beside the canvases.

    None also where scikit-learn is not installed.
    """
    digest = hashlib.sha256()
    for name, split in sorted(splits.items()):
        for column in (split.file_names, split.labels[task]):
            digest.update(f"{name}\0{len(split)}\0".encode() + column.tobytes())
    file, key = data.directory / _KEPT, f"{task} {digest.hexdigest()[:16]}"
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        kept = {}
    if key not in kept:
        try:
            kept[key] = colour_baseline(splits, task)
        except ModuleNotFoundError:
            return None
        # Only a cache: where the folder cannot be written, the next run computes it again.
        with contextlib.suppress(OSError):
            write_atomically(file, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    result: dict[str, Any] | None = kept[key]
    return result


def colour_baseline(splits: Mapping[str, Split], task: str) -> dict[str, Any] | None:
    """The score of the histograms on a task, ready for JSON.

    Returns:
      The kind and strength that did best on validation, its top-1 there and on test, in [0, 1], the
      interval of the latter, and the number of works it was fitted on; None where a split has no label.
    """
    known = {name: np.flatnonzero(split.labels[task] >= 0) for name, split in splits.items()}
    chosen = np.random.default_rng(0).permutation(known["train"])[:MOST_TRAIN_WORKS]
    known["train"] = np.sort(chosen)
    labels = {name: splits[name].labels[task][rows] for name, rows in known.items()}
    if len(np.unique(labels["train"])) < 2 or not all(len(rows) for rows in known.values()):
        return None
    seen = {
        kind: {
            name: histograms((splits[name].images[splits[name].rows[i]] for i in rows), kind)
            for name, rows in known.items()
        }
        for kind in KINDS
    }

    def tried(kind: str, strength: float) -> tuple[float, str, float, Any]:
        model = fit(seen[kind]["train"], labels["train"], strength)
        score = float(model.score(seen[kind]["validation"], labels["validation"]))
        return score, kind, strength, model

    # The kind first, then the strength: half as many fits as all combinations, nearly the same result.
    trials = [tried(kind, STRENGTHS[0]) for kind in KINDS]
    best_kind = max(trials, key=itemgetter(0))[1]
    trials += [tried(best_kind, strength) for strength in STRENGTHS[1:]]
    score, kind, strength, model = max(trials, key=itemgetter(0))
    test = float(model.score(seen[kind]["test"], labels["test"]))
    return {
        "kind": kind,
        "strength": strength,
        "train_works": len(known["train"]),
        "validation_top1": score,
        "test_top1": test,
        "test_top1_ci95": list(wilson_interval(test, len(known["test"]))),
    }


def histogram(picture: np.ndarray, kind: str) -> np.ndarray:
    """Square roots of the shares (Hellinger's kernel) of a uint8 RGB picture [H, W, 3]; float [bins]."""
    if kind == "32 bins a channel":
        bins = (picture >> 3).astype(np.int64) + 32 * np.arange(3)
        size = 96
    elif kind == "HSV 12x6x6":
        hsv = np.asarray(Image.fromarray(picture).convert("HSV")).astype(np.int64)
        bins = (hsv[..., 0] * 12 >> 8) * 36 + (hsv[..., 1] * 6 >> 8) * 6 + (hsv[..., 2] * 6 >> 8)
        size = 432
    else:
        eighths = (picture >> 5).astype(np.int64)
        bins = eighths[..., 0] * 64 + eighths[..., 1] * 8 + eighths[..., 2]
        size = 512
    counts = np.bincount(bins.ravel(), minlength=size)
    return np.sqrt(counts / (picture.shape[0] * picture.shape[1])).astype(np.float32)


def histograms(pictures: Iterable[np.ndarray], kind: str) -> np.ndarray:
    """Histograms of many pictures, float [N, bins]."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda picture: histogram(picture, kind), pictures)))


def fit(features: np.ndarray, labels: np.ndarray, strength: float) -> Any:
    """A logistic regression (scikit-learn's); a larger strength regularises less."""
    # Imported here, because it takes a second that other modes need not wait.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Weakly regularised models need many more steps, for no better score on validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Many classes with few works each are what a small collection has.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return LogisticRegression(C=strength, max_iter=200).fit(features, labels)
