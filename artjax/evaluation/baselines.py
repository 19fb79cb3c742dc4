"""What a score has to beat: chance, answers that are always the same, and colour alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

WORDS: Mapping[str, str] = {
    "chance": "chance",
    "best_constant": "the best constant answer",
    "train_majority": "always train's most frequent class",
    "colour_histograms": "colour histograms",
}
"""The baselines of top-1, in the order of a report."""

LOSS_WORDS: Mapping[str, str] = {
    "uniform_loss": "uniform guesses",
    "train_frequencies_loss": "the label frequencies of train",
}
"""The baselines of the loss: the same probabilities for every work."""


def baselines(
    train_labels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    colour_histograms: float | None = None,
) -> dict[str, float | None]:
    """Top-1 of each of `WORDS`, in [0, 1], and loss of each of `LOSS_WORDS`, in nats, on a split.

    Args:
      train_labels: of the training works, int [M], -1 = unknown.
      labels: of the works of the split, int [N], 0 or more.
      classes: number of classes.
      colour_histograms: what these reach on the split; None where they were not computed.

    Returns:
      For each baseline its number. That of train's frequencies is None where a class of these works has
      no training work: such guesses give it no probability, and their loss is infinite.
    """
    return {
        "chance": 1 / classes,
        "best_constant": float(np.bincount(labels).max() / len(labels)),
        "train_majority": majority_top1(train_labels, labels),
        "colour_histograms": colour_histograms,
        "uniform_loss": math.log(classes),
        "train_frequencies_loss": frequencies_loss(train_labels, labels, classes),
    }


def majority_top1(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 of always naming the class most frequent in training, in [0, 1]; nan where none is known."""
    majority = np.bincount(train_labels[train_labels >= 0]).argmax()
    known = labels[labels >= 0]
    return float((known == majority).mean()) if len(known) else float("nan")


def frequencies_loss(train_labels: np.ndarray, labels: np.ndarray, classes: int) -> float | None:
    """Loss of giving each class its share of the training works, in nats: a cross-entropy.

    Cover & Thomas, Elements of Information Theory (2006), section 5.4.

    Returns:
      None where it is infinite: a class of these works has no training work.
    """
    counts = np.bincount(train_labels[train_labels >= 0], minlength=classes)
    of_works = counts[labels]
    return float(-np.log(of_works / counts.sum()).mean()) if of_works.all() else None


def loss_warning(row: Mapping[str, Any]) -> list[str]:
    """A line if the probabilities are worth no more than those of guesses, else nothing.

    Args:
      row: of a task, as in `metrics.json`.
    """
    loss, values = row["loss"], row["baselines"]
    if loss is None or row["classes"] < 2:  # with one class there is nothing to guess
        return []
    unbeaten = [
        f"{words} have {values[name]:.3f}"
        for name, words in LOSS_WORDS.items()
        if values[name] is not None and loss >= values[name]
    ]
    if not unbeaten:
        return []
    return [
        f"  warning: loss {loss:.3f}, where {' and '.join(unbeaten)}: the probabilities say no "
        "more than guesses do"
    ]


def in_words(baselines: Mapping[str, float | None], low: float) -> list[str]:
    """The baselines as a report shows them, and which of them a score was not shown to beat.

    Args:
      baselines: as `baselines` gives them.
      low: lower end of the score's interval.
    """
    known = {name: baselines[name] for name in WORDS if baselines[name] is not None}
    shown = ", ".join(f"{WORDS[name]} {share:.1%}" for name, share in known.items())
    losses = ", ".join(
        f"{words} {baselines[name]:.3f}"
        for name, words in LOSS_WORDS.items()
        if baselines[name] is not None
    )
    lines = [f"  to beat: {shown}", f"  loss to beat: {losses}"]
    unbeaten = [f"{WORDS[name]} ({share:.1%})" for name, share in known.items() if share >= low]
    if unbeaten:
        lines.append(
            f"  not shown to be better than {' or '.join(unbeaten)}: the interval includes it"
        )
    return lines
