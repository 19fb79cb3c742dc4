"""Which of several networks are shown to be better than others on the same works."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from artjax.evaluation.metrics import Predictions

LEVEL = 0.05
"""The chance that any difference at all is claimed among equally good networks is at most this."""

_TIE = 1e-9


def score_by_work(predicted: Mapping[str, Predictions]) -> np.ndarray:
    """What each work adds to the mean top-1 of a network, but for a factor: float64 [works].

    The images of one work are right or wrong together, and so are its labels; so a work is what is
    compared. The order of the works is the same for all predictions of the same images.

    Args:
      predicted: for each task, predictions of the works whose label is known.
    """
    ids, shares = [], []
    for task, of_task in predicted.items():
        works = of_task.work_ids
        if works is None:
            works = np.asarray([f"{task} {i}" for i in range(len(of_task.labels))])
        ids.append(works)
        shares.append((of_task.predicted == of_task.labels) / len(of_task.labels))
    _, group = np.unique(np.concatenate(ids), return_inverse=True)
    return np.bincount(group, np.concatenate(shares))


def shown_to_be_better(scores: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Which networks are shown to be better than which others.

    Each pair has an exact sign test, two-sided, over the works in which the two differ. Where every work
    is one image, that is the exact test of McNemar, Note on the Sampling Error of the Difference Between
    Correlated Proportions or Percentages (1947). All pairs are one family: Holm, A Simple Sequentially
    Rejective Multiple Test Procedure (1979). To compare the others with the best only would need a
    smaller family, but it is the best on these same works: among thirty equally good networks and 200
    works, it would then be called better in 20 % of cases, instead of 5.

    Args:
      scores: of each network on each work, as from `score_by_work`: float64 [networks, works].
      level: of the whole family.

    Returns:
      Whether the network of the row is shown to be better than that of the column, bool [networks,
      networks].
    """
    from scipy.stats import binom  # takes 0.6 s to import

    count = len(scores)
    better = np.zeros((count, count), bool)
    if count < 2:
        return better
    first, second = np.triu_indices(count, 1)
    difference = scores[first] - scores[second]
    wins = (difference > _TIE).sum(1)
    losses = (difference < -_TIE).sum(1)
    p_values = np.minimum(1.0, 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5))
    shown = holm(p_values, level)
    better[first, second] = shown & (wins > losses)
    better[second, first] = shown & (losses > wins)
    return better


def holm(p_values: np.ndarray, level: float) -> np.ndarray:
    """Which hypotheses are rejected, bool [n], so that a true one is with probability `level` at most.

    The smallest of n p-values is compared with level / n, the next one with level / (n - 1), and so on,
    up to the first that is larger: Holm (1979), section 3.
    """
    order = np.argsort(p_values, kind="stable")
    passed = p_values[order] <= level / np.arange(len(p_values), 0, -1)
    rejected = np.zeros(len(p_values), bool)
    rejected[order] = np.cumprod(passed).astype(bool)
    return rejected
