"""Metrics over a whole split, computed in float64 on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Predictions(NamedTuple):
    """Predictions for one task, of the works of a split whose label is known.

    Attributes:
      labels: true classes, int [N], all 0 or more.
      log_probabilities: natural logarithms of the probabilities, float64 [N, classes].
    """

    labels: np.ndarray
    log_probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each work, int [N]; of equal ones the first."""
        return self.log_probabilities.argmax(axis=1)

    @property
    def label_ranks(self) -> np.ndarray:
        """Rank of the true class, int [N], 1 = most probable; equal ones are ranked by class number."""
        rows = np.arange(len(self.labels))
        own = self.log_probabilities[rows, self.labels][:, None]
        classes = np.arange(self.log_probabilities.shape[1])
        before = (self.log_probabilities > own) | (
            (self.log_probabilities == own) & (classes < self.labels[:, None])
        )
        return before.sum(axis=1) + 1


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax along the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def top1(predictions: Predictions) -> float:
    """Share of works whose most probable class is the true one, in [0, 1]."""
    return float((predictions.predicted == predictions.labels).mean())


def top5(predictions: Predictions) -> float:
    """Share of works whose true class is among the five most probable ones, in [0, 1]."""
    return float((predictions.label_ranks <= 5).mean())


def loss(predictions: Predictions) -> float:
    """Mean negative log-likelihood of the true class in nats, without label smoothing."""
    rows = np.arange(len(predictions.labels))
    return float(-predictions.log_probabilities[rows, predictions.labels].mean())


def macro_f1(predictions: Predictions) -> float:
    """Unweighted mean of the F1 scores of all classes that occur as a label or as a prediction.

    F1 = 2 TP / (2 TP + FP + FN): Manning et al., Introduction to Information Retrieval (2008),
    section 8.3, and 13.6 for the macro average. Equals scikit-learn's `f1_score(average="macro")`.
    """
    classes = predictions.log_probabilities.shape[1]
    labels, predicted = predictions.labels, predictions.predicted
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    twice = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurs = twice > 0
    return float((2 * hits[occurs] / twice[occurs]).mean())


def accuracy_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the proportion `correct / n` in n independent trials, in [0, 1].

    Wilson, Probable Inference (1927); Brown et al., Interval Estimation for a Binomial Proportion
    (2001), section 3.1.1. The normal approximation can leave [0, 1], and is wrong near 0 and 1.
    """
    # Imported here, because it takes half a second, and other modes do not need it.
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
      function: computes it.
      template: formats its name and value in a report.
    """

    function: Callable[[Predictions], float]
    template: str


METRICS: Mapping[str, Metric] = {
    "top1": Metric(top1, "top-1 {:.1%}"),
    "top5": Metric(top5, "top-5 {:.1%}"),
    "macro_f1": Metric(macro_f1, "macro-F1 {:.3f}"),
    "loss": Metric(loss, "loss {:.3f}"),
}
"""All metrics, in the order of a report. A metric that is added here appears in every `metrics.json`."""


def summary(predictions: Predictions) -> dict[str, float | int | list[float]]:
    """Computes `METRICS`, n, the number of classes and the 95 % interval of top-1, ready for JSON."""
    correct = int((predictions.predicted == predictions.labels).sum())
    n = len(predictions.labels)
    return {
        "n": n,
        **{name: metric.function(predictions) for name, metric in METRICS.items()},
        "top1_ci95": list(accuracy_interval(correct, n)),
        "classes": predictions.log_probabilities.shape[1],
    }


def format_metrics(row: Mapping[str, Any]) -> str:
    """Formats the result of `summary` for a report."""
    formatted = [metric.template.format(row[name]) for name, metric in METRICS.items()]
    low, high = row["top1_ci95"]
    formatted[0] += f" (95 % interval {low:.1%} to {high:.1%})"
    return ", ".join(formatted)
