"""What a score has to beat: chance, answers that are always the same, and colour alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

WORDS: Mapping[str, str] = {
    "chance": "chance",
    "best_constant": "the best constant answer",
    "train_majority": "always train's most frequent class",
    "colour_histograms": "colour histograms",
}
"""The baselines, in the order of a report."""


def baselines(
    train_labels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    colour_histograms: float | None = None,
) -> dict[str, float | None]:
    """Top-1 of each of `WORDS` on the works of a split, in [0, 1].

    Args:
      train_labels: of the training works, int [M], -1 = unknown.
      labels: of the works of the split, int [N], 0 or more.
      classes: number of classes.
      colour_histograms: what these reach on the split; None where they were not computed.
    """
    return {
        "chance": 1 / classes,
        "best_constant": float(np.bincount(labels).max() / len(labels)),
        "train_majority": majority_top1(train_labels, labels),
        "colour_histograms": colour_histograms,
    }


def majority_top1(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 of always naming the class most frequent in training, in [0, 1]; nan where none is known."""
    majority = np.bincount(train_labels[train_labels >= 0]).argmax()
    known = labels[labels >= 0]
    return float((known == majority).mean()) if len(known) else float("nan")


def in_words(baselines: Mapping[str, float | None], low: float) -> list[str]:
    """The baselines as a report shows them, and which of them a score was not shown to beat.

    Args:
      baselines: as `baselines` gives them.
      low: lower end of the score's interval.
    """
    known = {name: share for name, share in baselines.items() if share is not None}
    shown = ", ".join(f"{WORDS[name]} {share:.1%}" for name, share in known.items())
    lines = [f"  to beat: {shown}"]
    unbeaten = [f"{WORDS[name]} ({share:.1%})" for name, share in known.items() if share >= low]
    if unbeaten:
        lines.append(
            f"  not shown to be better than {' or '.join(unbeaten)}: the interval includes it"
        )
    return lines
