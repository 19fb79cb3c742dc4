"""Metrics over a whole split, computed in float64 on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from artjax.evaluation.calibration import brier_score, expected_calibration_error


class Predictions(NamedTuple):
    """Predictions for one task, of the works of a split whose label is known.

    Attributes:
      labels: true classes, int [N], all 0 or more.
      log_probabilities: natural logarithms, float64 [N, classes]; nan where a network gave no finite
        output for a work, which then counts as wrong.
      work_ids: what images of one work share, str [N]; None where every image is a work of its own.
    """

    labels: np.ndarray
    log_probabilities: np.ndarray
    work_ids: np.ndarray | None = None

    def only(self, indices: Sequence[int]) -> Predictions:
        """The predictions of some of the works."""
        ids = None if self.work_ids is None else self.work_ids[indices]
        return Predictions(self.labels[indices], self.log_probabilities[indices], ids)

    @property
    def finite(self) -> np.ndarray:
        """Whether each work has probabilities at all, bool [N]. One of them may be 0, not all."""
        return np.isfinite(self.log_probabilities.max(axis=1))

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each work, int [N]; of equals the first; -1 where not `finite`."""
        return np.where(self.finite, self.log_probabilities.argmax(axis=1), -1)

    @property
    def label_ranks(self) -> np.ndarray:
        """Rank of the true class, int [N], 1 = most probable; equal ones are ranked by class number.

        It is classes + 1 where not `finite`.
        """
        rows = np.arange(len(self.labels))
        own = self.log_probabilities[rows, self.labels][:, None]
        classes = np.arange(self.log_probabilities.shape[1])
        before = (self.log_probabilities > own) | (
            (self.log_probabilities == own) & (classes < self.labels[:, None])
        )
        return np.where(self.finite, before.sum(axis=1) + 1, len(classes) + 1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax along the last axis, in float64; all nan where a logit is not finite."""
    logits = logits.astype(np.float64)
    # An overflow to -inf would look like a probability of 0, and to inf makes only its own class nan.
    logits = np.where(np.isfinite(logits).all(axis=-1, keepdims=True), logits, np.nan)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def mean_log_probabilities(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Logarithm of the mean of several probabilities, float64, computed without leaving the logarithms.

    So a probability that float64 cannot hold is not taken for 0.

    Args:
      parts: natural logarithms of probabilities, float64, all of one shape.
    """
    total = parts[0]
    for part in parts[1:]:
        total = np.logaddexp(total, part)
    return total - math.log(len(parts))


def top1(predictions: Predictions) -> float:
    """Share of works whose most probable class is the true one, in [0, 1]."""
    return float((predictions.predicted == predictions.labels).mean())


def top5(predictions: Predictions) -> float:
    """Share of works whose true class is among the five most probable ones, in [0, 1]."""
    return float(((predictions.label_ranks <= 5) & predictions.finite).mean())


def loss(predictions: Predictions) -> float:
    """Mean negative log-likelihood of the true class in nats, without label smoothing.

    It is nan if a work has no finite output.
    """
    rows = np.arange(len(predictions.labels))
    return float(-predictions.log_probabilities[rows, predictions.labels].mean())


def macro_f1(predictions: Predictions) -> float:
    """Unweighted mean of the F1 scores of all classes that occur as a label or as a prediction.

    F1 = 2 TP / (2 TP + FP + FN): Manning et al., Introduction to Information Retrieval (2008),
    section 8.3, and 13.6 for the macro average. Equals scikit-learn's `f1_score(average="macro")`.
    """
    hits, labelled, predicted = _counts(predictions)
    twice = labelled + predicted
    occurs = twice > 0
    return float((2 * hits[occurs] / twice[occurs]).mean())


def balanced_accuracy(predictions: Predictions) -> float:
    """Unweighted mean of the recalls of all classes that have a work, in [0, 1].

    Brodersen et al., The Balanced Accuracy and Its Posterior Distribution (2010), for any number of
    classes. Equals scikit-learn's `balanced_accuracy_score`.
    """
    hits, labelled, _ = _counts(predictions)
    has_work = labelled > 0
    return float((hits[has_work] / labelled[has_work]).mean())


def auroc(predictions: Predictions) -> float | None:
    """Area under the ROC curve of each class against all others, in [0, 1]; the unweighted mean.

    The area of a class is the chance that a work of the class has a higher probability of it than a work
    of another class, where a tie counts half: Hanley & McNeil, The Meaning and Use of the Area under a
    ROC Curve (1982). One against the rest as in Fawcett, An Introduction to ROC Analysis (2006), section
    9.2, but unweighted. Equals the mean of scikit-learn's `roc_auc_score` over the classes that occur as
    a label.

    Returns:
      None if fewer than two classes have a work, or a probability is not a number.
    """
    classes = np.unique(predictions.labels)
    if len(classes) < 2 or np.isnan(predictions.log_probabilities).any():
        return None
    areas = [_area(predictions.log_probabilities[:, c], predictions.labels == c) for c in classes]
    return float(np.mean(areas))


def _area(scores: np.ndarray, own: np.ndarray) -> float:
    """Area under the ROC curve of one class: scores float [N]; which works are its own, bool [N]."""
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    positive = np.bincount(rank[own], minlength=len(counts))
    negative = counts - positive
    lower = np.cumsum(negative) - negative
    pairs = int(own.sum()) * int((~own).sum())
    return float((positive * (lower + negative / 2)).sum() / pairs)


def by_class(predictions: Predictions, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of each class, ready for JSON.

    Manning et al., Introduction to Information Retrieval (2008), section 8.3. Equals scikit-learn's
    `precision_recall_fscore_support(zero_division=nan)`.

    Args:
      predictions: of one task.
      names: of all classes.

    Returns:
      For each class: `precision`, None where it was never predicted; `recall`, None where it has no
      work; `f1`, None where both are so; `n`, its number of images; and `works`, its number of works.
    """
    hits, labelled, predicted = _counts(predictions)
    ids = predictions.work_ids

    def works(c: int) -> int:
        return int(labelled[c]) if ids is None else len(np.unique(ids[predictions.labels == c]))

    def share(part: int, of: int) -> float | None:
        return float(part / of) if of else None

    return {
        name: {
            "precision": share(hits[c], predicted[c]),
            "recall": share(hits[c], labelled[c]),
            "f1": share(2 * hits[c], labelled[c] + predicted[c]),
            "n": int(labelled[c]),
            "works": works(c),
        }
        for c, name in enumerate(names)
    }


def _counts(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each class: works named rightly, works with this label, works named so; each int [classes]."""
    classes = predictions.log_probabilities.shape[1]
    labels, predicted = predictions.labels, predictions.predicted
    hits, labelled, named = (
        np.bincount(of, minlength=classes)
        for of in (labels[labels == predicted], labels, predicted[predictions.finite])
    )
    return hits, labelled, named


def wilson_interval(share: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Confidence interval of a share of n independent trials; z = 1.96 gives 95 %.

    Wilson, Probable Inference (1927); Brown et al., Interval Estimation for a Binomial Proportion
    (2001), section 3.1.1. Unlike share ± z s it stays in [0, 1] and is right near 0 and 1. Here rather
    than from SciPy, whose n is a whole number: see `independent_trials`.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at 1 the bound is exactly 0 or 1; rounding must not say 0.9999999999999999.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def independent_trials(right: np.ndarray, work_ids: np.ndarray) -> float:
    """How many independent trials the images of a split are worth, in [number of works, N].

    Details and second photographs of one work are right or wrong together. The variance of the share of
    right answers is estimated over works; the number of trials is that which gives this variance to a
    binomial share (the effective sample size of Rao & Scott, A Simple Method for the Analysis of
    Clustered Binary Data (1992), section 2).

    Args:
      right: whether each image is right, bool [N].
      work_ids: of each image, [N].
    """
    n = len(right)
    _, group, sizes = np.unique(work_ids, return_inverse=True, return_counts=True)
    works = len(sizes)
    share = right.mean()
    if works == n or works < 2 or share in (0, 1):
        return float(works)
    residual = np.bincount(group, right - share)
    variance = works / (works - 1) * (residual**2).sum() / n**2
    trials = share * (1 - share) / variance if variance else n
    return float(np.clip(trials, works, n))


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
      function: computes it; None where it is not defined.
      template: formats its name and value in a report.
      chance: number of classes → its value for uniform guesses, which stands beside it in a report. If
        that is 1, the metric says nothing and is left out there. None where it is not shown.
    """

    function: Callable[[Predictions], float | None]
    template: str
    chance: Callable[[int], float] | None = None


METRICS: Mapping[str, Metric] = {
    "top1": Metric(top1, "top-1 {:.1%}"),
    "top5": Metric(top5, "top-5 {:.1%}", chance=lambda classes: min(1, 5 / classes)),
    "balanced_accuracy": Metric(
        balanced_accuracy, "balanced accuracy {:.1%}", chance=lambda classes: 1 / classes
    ),
    "macro_f1": Metric(macro_f1, "macro-F1 {:.3f}"),
    "auroc": Metric(auroc, "AUROC {:.3f}"),
    "loss": Metric(loss, "loss {:.3f}"),
    "brier": Metric(brier_score, "Brier score {:.3f}"),
    "ece": Metric(expected_calibration_error, "ECE {:.3f}"),
}
"""All metrics, in the order of a report. A metric that is added here appears in every `metrics.json`."""


def summary(predictions: Predictions, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Computes `METRICS` and the 95 % interval of top-1, in plain Python values.

    Beside them are the independent trials of that interval, the numbers of images and of works, of
    images without a finite output, of classes, of classes that have a work, of classes that were
    predicted at all, and of classes over which `auroc` is the mean.

    Args:
      predictions: of one task.
      names: of all classes, for `by_class`, which is left out without them.
    """
    right = predictions.predicted == predictions.labels
    n = len(right)
    ids = predictions.work_ids
    trials = float(n) if ids is None else independent_trials(right, ids)
    values = {name: metric.function(predictions) for name, metric in METRICS.items()}
    labelled = len(np.unique(predictions.labels))
    return {
        "n": n,
        "works": n if ids is None else len(np.unique(ids)),
        "not_finite": int((~predictions.finite).sum()),
        **values,
        "top1_trials": trials,
        "top1_ci95": list(wilson_interval(float(right.mean()), trials)),
        "classes": predictions.log_probabilities.shape[1],
        "labelled_classes": labelled,
        "predicted_classes": len(np.unique(predictions.predicted[predictions.finite])),
        "auroc_classes": 0 if values["auroc"] is None else labelled,
        **({} if names is None else {"by_class": by_class(predictions, names)}),
    }


def format_metrics(row: Mapping[str, Any], interval_of: str = "this network on other works") -> str:
    """Formats the result of `summary` for a report.

    Args:
      row: as from `summary`.
      interval_of: what the interval of top-1 speaks of; empty leaves it out.
    """
    formatted = []
    for name, metric in METRICS.items():
        chance = metric.chance and metric.chance(row["classes"])
        if chance == 1:
            continue
        formatted.append(_format(metric, row[name]))
        if chance is not None:
            formatted[-1] += f" (chance {chance:.1%})"
        if name == "top1" and interval_of:
            low, high = row["top1_ci95"]
            formatted[-1] += f" (95 % interval {low:.1%} to {high:.1%}, of {interval_of})"
    return ", ".join(formatted)


def _format(metric: Metric, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return metric.template.partition("{")[0] + "undefined"
    return metric.template.format(value)
