"""What a score has to beat: chance, answers that are always the same, colour, files, neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from artjax.evaluation.intervals import LEVEL

WORDS: Mapping[str, str] = {
    "chance": "chance",
    "best_constant": "the best constant answer",
    "train_majority": "always train's most frequent class",
    "colour_histograms": "colour histograms",
    "source_facts": "facts of the files",
    "nearest_neighbours": "nearest neighbours in the same features",
}
"""The baselines of top-1, in the order of a report."""

CONSTANTS = ("chance", "best_constant", "train_majority")
"""Those that ignore the picture. Their top-1 is taken as exact."""

FITTED = ("colour_histograms", "source_facts", "nearest_neighbours")
"""Those that answer for each work. A test of the same works is paired."""

LOSS_WORDS: Mapping[str, str] = {
    "uniform_loss": "uniform guesses",
    "train_frequencies_loss": "the label frequencies of train",
}
"""The baselines of the loss: the same probabilities for every work."""

VERDICTS = BETTER, NOT_SHOWN, WORSE = ("better than", "not shown to be better than", "worse than")

# 0.29 * 100 is 28.999999999999996.
_ROUNDING = 1e-6
_SMALLEST_SHOWN = 0.001


def baselines(
    train_labels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    others: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, float | None]:
    """Top-1 of each of `WORDS`, in [0, 1], and loss of each of `LOSS_WORDS`, in nats, on a split.

    Args:
      train_labels: of the training works, int [M], -1 = unknown.
      labels: of the works of the split, int [N], 0 or more.
      classes: number of classes.
      others: by the name of a baseline that answers for each work, whether it is right, bool [N].

    Returns:
      For each baseline its number; None where it is not in `others`. That of train's frequencies is None
      where a class of these works has no training work: such guesses give it no probability, and their
      loss is infinite.
    """
    return {
        "chance": 1 / classes,
        "best_constant": float(np.bincount(labels).max() / len(labels)),
        "train_majority": majority_top1(train_labels, labels),
        **dict.fromkeys(FITTED),
        "uniform_loss": math.log(classes),
        "train_frequencies_loss": frequencies_loss(train_labels, labels, classes),
        **{name: float(right.mean()) for name, right in others.items()},
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


def in_words(row: Mapping[str, Any]) -> list[str]:
    """What a score has to beat, and whether it does, as a report shows it.

    Args:
      row: of a task, as in `metrics.json`.
    """
    values = {name: value for name, value in row["baselines"].items() if value is not None}
    shown = ", ".join(f"{WORDS[name]} {values[name]:.1%}" for name in WORDS if name in values)
    losses = ", ".join(
        f"{of} {values[name]:.3f}" for name, of in LOSS_WORDS.items() if name in values
    )
    lines = [f"  to beat: {shown}", f"  loss to beat: {losses}"]
    judged: dict[str, list[str]] = {}
    for name in CONSTANTS:
        verdict = against_constant(row["top1"], row["top1_trials"], values[name])
        judged.setdefault(verdict, []).append(f"{WORDS[name]} ({values[name]:.1%})")
    lines += [
        f"  {verdict} {_listed(judged[verdict])}" for verdict in VERDICTS if verdict in judged
    ]
    lines += [
        against_another(WORDS[name], values[name], row["paired"][name], row)
        for name in FITTED
        if name in values and name in row["paired"]
    ]
    return lines


def against_constant(top1: float, trials: float, share: float) -> str:
    """Which of `VERDICTS` holds of a top-1 beside that of an answer which ignores the picture.

    Exact binomial tests, each to one side at `LEVEL`: Clopper & Pearson, The Use of Confidence or
    Fiducial Limits Illustrated in the Case of the Binomial (1934). Where the number of trials or of
    right ones is no whole number, it is rounded to the side that is harder to show.

    Args:
      top1: the score, in [0, 1].
      trials: how many independent trials it is worth, as from `independent_trials`.
      share: the top-1 to beat, in [0, 1]; taken as exact.
    """
    from scipy.stats import binomtest  # takes 0.6 s to import, which only a report should

    n = math.floor(trials + _ROUNDING)
    fewest = math.floor(top1 * n + _ROUNDING)
    most = math.ceil(top1 * n - _ROUNDING)
    share = min(share, 1.0)  # a mean over folds may be 1.0000000000000002
    if binomtest(fewest, n, share, alternative="greater").pvalue <= LEVEL:
        return BETTER
    if binomtest(most, n, share, alternative="less").pvalue <= LEVEL:
        return WORSE
    return NOT_SHOWN


def against_another(
    name: str, share: float, compared: Mapping[str, Any], row: Mapping[str, Any]
) -> str:
    """A line on the answers of another classifier to the same works, by the test of `paired`.

    Args:
      name: of the other one, in words.
      share: its top-1.
      compared: what `paired` found, with the row as the first one.
      row: of a task, as in `metrics.json`.
    """
    verdict = NOT_SHOWN
    if compared["p"] <= 2 * LEVEL:
        verdict = BETTER if row["top1"] > share else WORSE
    works = "images" if row["works"] < row["n"] else "works"
    p = compared["p"]
    chance = f"p = {p:.2g}" if p >= _SMALLEST_SHOWN else f"p < {_SMALLEST_SHOWN}"
    return (
        f"  {verdict} {name} ({share:.1%}): {compared['only_first']:,} {works} right that they miss, "
        f"{compared['only_second']:,} the reverse, {chance}"
    )


def _listed(names: list[str]) -> str:
    """Names as one writes them: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
