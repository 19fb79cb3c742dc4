"""How well a score orders the works of a class before the others: terms of two areas under curves."""

from __future__ import annotations

import numpy as np


def placements(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Where each work stands among those of the other kind, float [N], in [0, 1]; a tie counts half.

    Of a work of the class, the share of the others that have a lower score; of another one, the share of
    the class that has a higher score. Both kinds have the area under the ROC curve as their mean: DeLong
    et al., Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves
    (1988), section 2.

    Args:
      scores: of the class, float [N].
      own: which works are of the class, bool [N]; some are, and some are not.
    """
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    positive = np.bincount(rank[own], minlength=len(counts))
    negative = counts - positive
    lower = (np.cumsum(negative) - negative / 2) / negative.sum()
    higher = 1 - (np.cumsum(positive) - positive / 2) / positive.sum()
    return np.where(own, lower[rank], higher[rank])


def average_precision(scores: np.ndarray, own: np.ndarray) -> float:
    """The area under the precision-recall curve of a class, as a sum of steps, in [0, 1].

    The sum, over the distinct scores from the highest, of the precision of all works that have it or a
    higher one, weighted by what recall rises there: Manning et al., Introduction to Information
    Retrieval (2008), section 8.4. Works of one score come in together, so their order does not count.
    Equals scikit-learn's `average_precision_score`.

    Args:
      scores: of the class, float [N].
      own: which works are of the class, bool [N]; some are.
    """
    _, rank, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.bincount(rank[own], minlength=len(counts))
    return float(hits @ (np.cumsum(hits) / np.cumsum(counts)) / hits.sum())
