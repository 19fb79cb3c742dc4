"""Selective prediction: from which probability on a network's answers are wrong seldom enough."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from artjax.evaluation.intervals import trials_of
from artjax.evaluation.metrics import Predictions

CONFIDENCE = 0.95
"""Of the promise that the answers above a threshold are wrong at most at the stated rate."""

_COVERAGES = tuple(eighths / 8 for eighths in range(8, 0, -1))
# 0.29 * 100 is 28.999999999999996.
_ROUNDING = 1e-6


class Threshold(NamedTuple):
    """From which probability on an answer is sure.

    Attributes:
      probability: of the most probable class, in [0, 1].
      works: how many works it was set on that are sure.
      wrong: how many of these are wrong.
    """

    probability: float
    works: int
    wrong: int


class Graded(NamedTuple):
    """Graded answers: how sure a network is of some works, and whether it is right.

    Attributes:
      probability: of the most probable class, float64 [N]; 0 where there is no finite output.
      right: bool [N].
      work: a number that images of one work share, int [N].
    """

    probability: np.ndarray
    right: np.ndarray
    work: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes it again."""
        return {
            # All digits: rounded up, a threshold would leave out the work that it was set on.
            "probability": self.probability.tolist(),
            "right": "".join("01"[int(right)] for right in self.right),
            "work": self.work.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Graded:
        """The inverse of `to_json`."""
        right = np.asarray([digit == "1" for digit in values["right"]], bool)
        return cls(
            np.asarray(values["probability"], np.float64), right, np.asarray(values["work"], int)
        )


def answers(predictions: Predictions) -> Graded:
    """The answers to works with a known label."""
    works = predictions.groups
    if works is None:
        works = np.arange(len(predictions.labels))
    return Graded(
        most_probable(predictions.log_probabilities),
        predictions.predicted == predictions.labels,
        np.unique(works, return_inverse=True)[1],
    )


def threshold(given: Graded, error_rate: float) -> Threshold | None:
    """The lowest probability from which on, with confidence, at most a stated share is wrong.

    Geifman & El-Yaniv, Selective Classification for Deep Neural Networks (2017), algorithm 1: at a
    candidate, the works above it are independent draws of those that will be above it, so an exact
    binomial bound holds for their error (Clopper & Pearson 1934). The candidates are the probabilities
    that the most certain 1/8, 2/8 … of the works have. All bounds hold together with `CONFIDENCE`, since
    each may fail in an eighth of the remaining cases only (Bonferroni). Images of one work count as
    fewer, as in the interval of top-1. The promise is for works of the same kind as these.

    Args:
      given: to works that the network was not trained on.
      error_rate: in (0, 1).

    Returns:
      None if no candidate is shown to keep to the rate, or there are no works.
    """
    for candidate, highest in _candidates(given):
        if highest <= error_rate:
            return candidate
    return None


def least_rate(given: Graded) -> float:
    """The lowest error rate, in [0, 1], for which these works show a threshold."""
    return min((highest for _, highest in _candidates(given)), default=1.0)


def _candidates(given: Graded) -> Iterator[tuple[Threshold, float]]:
    """The candidates for a threshold, the lowest first, and the highest error that each may have."""
    from scipy.stats import beta  # takes 0.6 s to import

    ranked = np.sort(given.probability)[::-1]
    level = (1 - CONFIDENCE) / len(_COVERAGES)
    for coverage in _COVERAGES if len(ranked) else ():
        lowest = ranked[max(1, math.floor(coverage * len(ranked))) - 1]
        sure = given.probability >= lowest
        right = given.right[sure]
        trials = math.floor(trials_of(right, given.work[sure]) + _ROUNDING)
        wrong = math.ceil((1 - right.mean()) * trials - _ROUNDING)
        # Of all wrong the bound is 1, where the distribution has no second parameter.
        highest = beta.ppf(1 - level, wrong + 1, trials - wrong) if wrong < trials else 1.0
        yield Threshold(float(lowest), len(right), int((~right).sum())), float(highest)


def most_probable(log_probabilities: np.ndarray) -> np.ndarray:
    """The probability of the most probable class, float64 [N]; 0 where there is no finite output.

    Args:
      log_probabilities: natural logarithms, float64 [N, classes].
    """
    highest = log_probabilities.max(axis=1)
    return np.where(np.isfinite(highest), np.exp(highest), 0.0)
