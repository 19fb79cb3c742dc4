"""Predictions of every work by a head that did not learn from it, on the features of a frozen trunk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from artjax.evaluation.colour_histograms import fit
from artjax.evaluation.metrics import Predictions, log_softmax, loss
from artjax.runtime.threads import on_one_thread

FOLDS = 5
# A smaller one regularises more. Of these, the one with the lowest loss counts.
STRENGTHS = (0.001, 0.01, 0.1)
# More make a fold slower, and the ranking hardly better.
_MOST_TRAIN_WORKS = 10_000


@on_one_thread("sklearn.linear_model")
def cross_validated(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int
) -> tuple[Predictions, np.ndarray]:
    """Predicts each work by a logistic regression on the works of the other folds.

    Args:
      features: float32 [N, C].
      labels: int [N], 0 or more.
      groups: works that belong in one fold, [N].
      classes: number of classes.
      seed: decides the folds.

    Returns:
      The predictions of the strength with the lowest loss, and whether the works of the other folds had
      the class of each work, bool [N]. Where they had fewer than two classes, there are none.
    """
    folds = list(_folds(labels, groups, seed))
    tried = [_predicted(features, labels, folds, classes, strength) for strength in STRENGTHS]

    def loss_of(candidate: tuple[Predictions, np.ndarray]) -> float:
        predictions, in_train = candidate
        judged = np.flatnonzero(in_train & predictions.finite).tolist()
        return loss(predictions.only(judged)) if judged else np.inf

    return min(tried, key=loss_of)


def _folds(
    labels: np.ndarray, groups: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the indices of train and test of each fold; none if there are too few groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    most = int(np.bincount(labels).max())
    count = min(FOLDS, most, len(np.unique(groups)))
    if count < 2:
        return
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with one work has no other work to be predicted from, which is said of it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        yield from folds.split(labels, labels, groups)


def _predicted(
    features: np.ndarray,
    labels: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    classes: int,
    strength: float,
) -> tuple[Predictions, np.ndarray]:
    log_probabilities = np.full((len(labels), classes), np.nan)
    in_train = np.zeros(len(labels), bool)
    for number, (train, test) in enumerate(folds):
        fitted = np.random.default_rng(number).permutation(train)[:_MOST_TRAIN_WORKS]
        known = np.unique(labels[fitted])
        if len(known) < 2:
            continue
        mean, deviation = features[fitted].mean(axis=0), features[fitted].std(axis=0)
        scaled = (features - mean) / np.where(deviation > 0, deviation, 1)
        model = fit(scaled[fitted], labels[fitted], strength)
        of_test = np.full((len(test), classes), -np.inf)
        logits = model.decision_function(scaled[test])
        # Of two classes, scikit-learn has the logit of the second only.
        logits = np.stack([np.zeros_like(logits), logits], axis=1) if logits.ndim == 1 else logits
        of_test[:, known] = log_softmax(logits)
        log_probabilities[test] = of_test
        in_train[test] = np.isin(labels[test], known)
    return Predictions(labels, log_probabilities), in_train
