"""Exact numbers over a whole split, in float64 on the host."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Predictions(NamedTuple):
    """What a model said of the works of a split whose label is known, for one task.

    Attributes:
      labels: true classes, int [N], all 0 or more.
      log_probabilities: natural logarithms, float64 [N, classes].
    """

    labels: np.ndarray
    log_probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each work, int [N]; the first of equals."""
        return self.log_probabilities.argmax(axis=1)

    @property
    def label_ranks(self) -> np.ndarray:
        """Rank of the true class, int [N], 1 = likeliest; among equals, the lower class first."""
        rows = np.arange(len(self.labels))
        own = self.log_probabilities[rows, self.labels][:, None]
        classes = np.arange(self.log_probabilities.shape[1])
        before = (self.log_probabilities > own) | (
            (self.log_probabilities == own) & (classes < self.labels[:, None])
        )
        return before.sum(axis=1) + 1


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax along the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def top1(predictions: Predictions) -> float:
    """Share of works whose likeliest class is the true one, in [0, 1]."""
    return float((predictions.predicted == predictions.labels).mean())


def top5(predictions: Predictions) -> float:
    """Share of works whose true class is among the five likeliest, in [0, 1]."""
    return float((predictions.label_ranks <= 5).mean())


def loss(predictions: Predictions) -> float:
    """Mean negative log-likelihood of the true class in nats (no label smoothing)."""
    rows = np.arange(len(predictions.labels))
    return float(-predictions.log_probabilities[rows, predictions.labels].mean())


def macro_f1(predictions: Predictions) -> float:
    """Unweighted mean of the F1 scores of the classes that occur, as label or as prediction.

    F1 = 2 TP / (2 TP + FP + FN): Manning et al., Introduction to Information Retrieval (2008),
    section 8.3, and 13.6 for the macro average. Equals scikit-learn's `f1_score(average="macro")`.
    """
    classes = predictions.log_probabilities.shape[1]
    labels, predicted = predictions.labels, predictions.predicted
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    twice = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurs = twice > 0
    return float((2 * hits[occurs] / twice[occurs]).mean())


def wilson_interval(share: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Confidence interval of a share of n independent trials; z = 1.96 gives 95 %.

    Wilson, Probable Inference (1927); Brown et al., Interval Estimation for a Binomial Proportion
    (2001), section 3.1.1. Unlike share ± z s it stays in [0, 1] and is right near 0 and 1.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at 1 the bound is exactly 0 or 1; rounding must not say 0.9999999999999999.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def summary(predictions: Predictions) -> dict[str, float | int | list[float]]:
    """All of the above as one JSON-ready row; the majority baseline is added by who knows train."""
    share = top1(predictions)
    n = len(predictions.labels)
    return {
        "n": n,
        "loss": loss(predictions),
        "top1": share,
        "top1_ci95": list(wilson_interval(share, n)),
        "top5": top5(predictions),
        "macro_f1": macro_f1(predictions),
        "classes": predictions.log_probabilities.shape[1],
    }
