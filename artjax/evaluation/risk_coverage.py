"""The risk-coverage curve: how many answers are wrong among the surest ones, for every share of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # metrics imports this file
    from artjax.evaluation.metrics import Predictions


class Point(NamedTuple):
    """What holds if only the surest works are answered.

    Attributes:
      coverage: the share of the works that are answered, in (0, 1].
      probability: that of the least sure of them; 0 where a network gave no finite output.
      risk: the share of wrong answers among them, in [0, 1].
    """

    coverage: float
    probability: float
    risk: float


def risk_coverage_curve(predictions: Predictions, most: int = 1000) -> list[Point]:
    """The share of wrong answers among the surest works, the surest first.

    Geifman & El-Yaniv, Selective Classification for Deep Neural Networks (2017), section 2. Works of
    equal probability are answered together. The last point has all works: its risk is 1 - top-1.

    Args:
      predictions: of one task.
      most: number of points; of more distinct probabilities so many are kept, evenly spread.
    """
    works = len(predictions.labels)
    if not works:
        return []
    probability, answered, wrong = _by_confidence(predictions)
    covered = np.cumsum(answered)
    risk = np.cumsum(wrong) / covered
    # Of places that differ by less than one, both are the same point.
    kept = np.unique(np.linspace(0, len(risk) - 1, min(len(risk), most)).round().astype(int))
    return [Point(float(covered[i] / works), float(probability[i]), float(risk[i])) for i in kept]


def area_under_risk_coverage(predictions: Predictions) -> float | None:
    """The area under the risk-coverage curve (AURC), in [0, 1]; 0 is without an error.

    The mean of the risk over all numbers of answered works: Geifman et al., Bias-Reduced Uncertainty
    Estimation for Deep Neural Classifiers (2019), section 2. Among works of equal probability it is the
    mean over their orders, so their order does not count. It is low if few answers are wrong, or if
    these are the least sure ones.

    Returns:
      None without a work.
    """
    works = len(predictions.labels)
    if not works:
        return None
    _, answered, wrong = _by_confidence(predictions)
    errors = np.repeat(wrong / answered, answered)  # each of equal works has the mean of them
    return float((np.cumsum(errors) / np.arange(1, works + 1)).mean())


def _by_confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct probabilities, the highest first, and the works and wrong answers that have each."""
    highest = predictions.log_probabilities.max(axis=1)
    confidence = np.where(np.isfinite(highest), np.exp(highest), 0.0)
    wrong = predictions.predicted != predictions.labels
    negative, group = np.unique(-confidence, return_inverse=True)
    return -negative, np.bincount(group), np.bincount(group, wrong)
