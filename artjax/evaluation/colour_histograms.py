"""How far colour alone gets: logistic regression on colour histograms.

The score of a network is worth what it is above this one. Three kinds of histogram and four strengths of
regularisation are tried; as for a network, the best on validation is tested.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from artjax.data import colours
from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.evaluation.intervals import wilson_interval
from artjax.files import kept_in
from artjax.runtime.threads import on_one_thread, one_thread

STRENGTHS = (30.0, 0.3, 3.0, 300.0)  # the kind is chosen with the first
# More works make it slower, but not noticeably better.
MOST_TRAIN_WORKS = 6000
_KEPT = "colour_histograms.json"
_RIGHT = ("validation_right", "test_right")


def kept_colour_baseline(
    data: Canvases, splits: Mapping[str, Split], task: str
) -> dict[str, Any] | None:
    """What `colour_baseline` gives, computed once and kept beside the canvases of all sizes.

    It depends on the prepared pictures and on which works are in the splits, and on nothing else: not on
    the size of canvases and images, and not on the source.

    Returns:
      As `colour_baseline`. None also where nothing is kept and it cannot be computed: without the
      counts of the colours (`Canvases.colours`), or without scikit-learn.
    """
    known = {name: np.flatnonzero(split.labels[task] >= 0) for name, split in splits.items()}
    labels = {name: splits[name].labels[task][rows] for name, rows in known.items()}
    file = data.directory.parent / _KEPT
    key = f"{task} {_digest(data, {n: splits[n].file_names[known[n]] for n in known}, labels)}"

    def compute() -> dict[str, Any] | None:
        counts = {}
        for name, split in splits.items():
            of_split = data.colours(split)
            if of_split is None:
                raise _NotCountedError
            counts[name] = of_split[known[name]]
        return colour_baseline(counts, labels)

    try:
        result: dict[str, Any] | None = kept_in(file, key, compute)
    except (ModuleNotFoundError, _NotCountedError):
        return None
    return result


class _NotCountedError(Exception):
    """The colours of a split cannot be counted here, perhaps on another day."""


def _digest(
    data: Canvases, file_names: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> str:
    """Of everything that decides the number."""
    method = [colours.SIDE_PX, *colours.KINDS, *STRENGTHS, MOST_TRAIN_WORKS, *_RIGHT]
    digest = hashlib.sha256(repr([*method, data.image_feature]).encode())
    digest.update(data.prepared.fingerprint.encode())
    for name in sorted(labels):
        digest.update(f"{name}\0{len(labels[name])}\0".encode())
        digest.update("\0".join(file_names[name].tolist()).encode() + labels[name].tobytes())
    return digest.hexdigest()[:16]


@on_one_thread("sklearn.linear_model")
def colour_baseline(
    counts: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> dict[str, Any] | None:
    """The score of the histograms on a task, ready for JSON.

    Args:
      counts: colours of the works of train, validation and test, as `colours.count` counts them,
        int [N, 1040] each.
      labels: of the same works, int [N] each, 0 or more.

    Returns:
      The kind and strength that did best on validation, its top-1 there and on test, in [0, 1], the
      interval of the latter, which works of the two it names rightly (a text of as many 0 and 1; see
      `right_works`), and the number of works it was fitted on; None where a split has no work, or train
      one class only.
    """
    if len(np.unique(labels["train"])) < 2 or not all(len(of) for of in labels.values()):
        return None
    chosen = np.random.default_rng(0).permutation(len(labels["train"]))[:MOST_TRAIN_WORKS]
    fitted = np.sort(chosen)

    def tried(kind: str, strength: float) -> tuple[float, str, float, Any]:
        features = colours.histograms(counts["train"][fitted], kind)
        model = fit(features, labels["train"][fitted], strength)
        return float(right(model, "validation", kind).mean()), kind, strength, model

    def right(model: Any, name: str, kind: str) -> np.ndarray:
        """Whether it names each work of a split rightly, bool [N]."""
        return np.asarray(model.predict(colours.histograms(counts[name], kind)) == labels[name])

    # The kind first, then the strength: half as many fits as all combinations, nearly the same result.
    trials = [tried(kind, STRENGTHS[0]) for kind in colours.KINDS]
    best_kind = max(trials, key=itemgetter(0))[1]
    trials += [tried(best_kind, strength) for strength in STRENGTHS[1:]]
    validation, kind, strength, model = max(trials, key=itemgetter(0))
    of_test = right(model, "test", kind)
    test = float(of_test.mean())
    return {
        "kind": kind,
        "strength": strength,
        "train_works": len(fitted),
        "validation_top1": validation,
        "test_top1": test,
        "test_top1_ci95": list(wilson_interval(test, len(of_test))),
        "validation_right": _as_text(right(model, "validation", kind)),
        "test_right": _as_text(of_test),
    }


def right_works(baseline: Mapping[str, Any], name: str) -> np.ndarray:
    """Whether the histograms name each work of a split rightly, bool [N], of those with a known label.

    Args:
      baseline: as from `kept_colour_baseline`.
      name: `validation` or `test`.
    """
    return np.asarray([of == "1" for of in baseline[f"{name}_right"]])


def _as_text(right: np.ndarray) -> str:
    return "".join("01"[of] for of in right.astype(int).tolist())


def fit(features: np.ndarray, labels: np.ndarray, strength: float) -> Any:
    """A logistic regression (scikit-learn's); a larger strength regularises less."""
    # Imported here, because it takes a second that other modes need not wait.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # One thread needs a second for 6,000 works of 23 classes, and four for 300 classes.
    with warnings.catch_warnings(), one_thread():
        # Weakly regularised models need many more steps, for no better score on validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Many classes with few works each are what a small collection has.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return LogisticRegression(C=strength, max_iter=200).fit(features, labels)
