"""The area under the ROC curve as a mean over works, each with its share in it."""

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
