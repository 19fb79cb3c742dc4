"""Calibration: whether probabilities mean what they say: of those of 80 %, 80 % are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from artjax.evaluation.intervals import share_interval

if TYPE_CHECKING:  # metrics imports this file
    from artjax.evaluation.metrics import Predictions

BINS = 15
"""As many as in Guo et al., On Calibration of Modern Neural Networks (2017), table 1."""


class Bin(NamedTuple):
    """Works that are about as sure as each other.

    Attributes:
      works: their number.
      probability: the mean probability of their most probable class, in [0, 1].
      right: the share of them that is named rightly, in [0, 1].
      interval: the 95 % interval of that share.
    """

    works: int
    probability: float
    right: float
    interval: tuple[float, float]


def reliability_curve(predictions: Predictions, bins: int = BINS) -> list[Bin]:
    """The bins of the expected calibration error, those of the least sure works first.

    Plotted, right answers against probability, they are the reliability diagram: DeGroot & Fienberg, The
    Comparison and Evaluation of Forecasters (1983). The ECE is the mean, over works, of
    |right - probability|. No bin is empty. There is none where the ECE is not defined.
    """
    number = _bin_of(predictions, bins)
    if number is None:
        return []
    confidence = np.exp(predictions.log_probabilities.max(axis=1))
    right = predictions.predicted == predictions.labels
    groups = predictions.groups
    curve = []
    for b in np.unique(number):
        own = number == b
        interval = share_interval(right[own], None if groups is None else groups[own])
        shares = float(confidence[own].mean()), float(right[own].mean())
        curve.append(Bin(int(own.sum()), *shares, interval))
    return curve


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float | None:
    """Expected calibration error (ECE) of the most probable class, in [0, 1]; 0 is calibrated.

    The works are sorted by the probability of their most probable class into bins of equal mass. The
    ECE is the mean, over works, of the distance between the mean probability of a bin and its share of
    right answers: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015);
    bins of equal mass as in Nixon et al., Measuring Calibration in Deep Learning (2019). Works of equal
    probability share a bin, so that their order does not count. With few works in each bin the ECE is
    too high, because the share of right answers of a bin is left to chance.

    Args:
      predictions: of one task.
      bins: number of bins; there are fewer where probabilities are equal.

    Returns:
      None for fewer works than bins, where it would be no more than the mean error of single works, or
      if a work has no finite output.
    """
    number = _bin_of(predictions, bins)
    if number is None:
        return None
    confidence = np.exp(predictions.log_probabilities.max(axis=1))
    right = predictions.predicted == predictions.labels
    # The number of works of a bin is its weight and also divides its sums, so it falls out.
    distances = np.bincount(number, confidence - right)
    return float(np.abs(distances).sum() / len(number))


def _bin_of(predictions: Predictions, bins: int) -> np.ndarray | None:
    """The number of each work's bin, int [N]; None for fewer works than bins, or no finite output."""
    if len(predictions.labels) < bins or not predictions.finite.all():
        return None
    confidence = np.exp(predictions.log_probabilities.max(axis=1))
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    # Only the inner edges: the first and the last bin have no end, so that a probability of 1 is in one.
    return np.searchsorted(edges, confidence)


def brier_score(predictions: Predictions) -> float | None:
    """Mean squared distance of the probabilities from the truth, in [0, 2]; 0 is perfect.

    The sum over classes of (probability - 1 for the true class, 0 for others)², as a mean over works:
    Brier, Verification of Forecasts Expressed in Terms of Probability (1950). Equals the sum over
    classes of scikit-learn's `brier_score_loss` of each class against the rest.

    Returns:
      None if a work has no finite output.
    """
    if not predictions.finite.all():
        return None
    distances = np.exp(predictions.log_probabilities)
    distances[np.arange(len(distances)), predictions.labels] -= 1
    return float((distances**2).sum(axis=1).mean())
