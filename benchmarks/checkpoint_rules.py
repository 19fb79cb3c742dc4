"""Rules for the best checkpoint, each a function of the scores of all validations of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Scores:
    """The scores of the validations of a run on some works, in the order of the steps, each [V].

    Attributes:
      top1: mean over tasks, in [0, 1].
      loss: sum over tasks, in nats.
      brier: mean over tasks of the squared distance of the probabilities from the truth, in [0, 2].
      probability: mean over tasks of the probability of the true class, in [0, 1].
      standard_error: of `top1`, over works.
      of_works: what each work adds to `top1`, [V, works].
    """

    top1: np.ndarray
    loss: np.ndarray
    brier: np.ndarray
    probability: np.ndarray
    standard_error: np.ndarray
    of_works: np.ndarray

    def first(self, count: int) -> Scores:
        """Those of the first validations."""
        return Scores(*(getattr(self, field.name)[:count] for field in fields(self)))


@dataclass(frozen=True)
class Curves:
    """What the validations of a run said of each held-out work, each [tasks, V, N]; nan = no label.

    Attributes:
      right: whether the most probable class is the true one, 0 or 1.
      log_probabilities: of the true class.
      distances: squared distance of the probabilities from the truth.
      works: number of the work of each image, int [N].
    """

    right: np.ndarray
    log_probabilities: np.ndarray
    distances: np.ndarray
    works: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Curves:
        """Those of a file of `best_checkpoint.py train`, without the warm-up."""
        with np.load(path) as file:
            counts = file["steps"] > file["warmup_steps"]
            parts = [
                file[name][:, counts].astype(np.float64)
                for name in ("right", "log_probabilities", "distances")
            ]
            return cls(*parts, np.unique(file["work_ids"], return_inverse=True)[1])

    def scores(self, images: np.ndarray) -> Scores:
        """The scores on some of the images, bool [N]."""
        right = self.right[:, :, images]
        loss, works = -self.log_probabilities[:, :, images], self.works[images]
        return Scores(
            np.nanmean(right, 2).mean(0),
            np.nanmean(loss, 2).sum(0),
            np.nanmean(self.distances[:, :, images], 2).mean(0),
            np.nanmean(np.exp(-loss), 2).mean(0),
            error_of_sum(of_works(right - np.nanmean(right, 2, keepdims=True), works)),
            of_works(right, works),
        )


def of_works(values: np.ndarray, works: np.ndarray) -> np.ndarray:
    """What each work adds to the mean over tasks of the mean over images, [V, works]; nan = no label."""
    known = ~np.isnan(values)
    parts = np.where(known, values, 0) / known.sum(2, keepdims=True)
    names, group = np.unique(works, return_inverse=True)
    by_work = np.zeros((len(names), values.shape[1]))
    np.add.at(by_work, group, parts.mean(0).T)
    return by_work.T


def error_of_sum(parts: np.ndarray) -> np.ndarray:
    """Standard error of a sum over works of independent parts, [V, works] → [V]."""
    count = max(parts.shape[1], 2)
    floor = 1 / (2 * count)  # all right or all wrong is not certain
    return np.maximum(np.sqrt(count / (count - 1) * (parts**2).sum(1)), floor)


Rule = Callable[[Scores], int]


def last_of(values: np.ndarray) -> int:
    """The index of the last of the highest values."""
    return int(len(values) - 1 - np.argmax(values[::-1]))


def _first_by(*keys: np.ndarray) -> int:
    """The first validation with the lowest keys, the first key first."""
    return min(range(len(keys[0])), key=lambda i: tuple(key[i] for key in keys))


def _within_an_error(scores: Scores) -> np.ndarray:
    """The validations within one standard error of the highest top-1, int."""
    highest = int(np.argmax(scores.top1))
    least = scores.top1[highest] - scores.standard_error[highest]
    return np.flatnonzero(scores.top1 >= least)


def _within_a_paired_error(scores: Scores) -> np.ndarray:
    """The validations that are below the highest top-1 by a standard error of the difference or less."""
    highest = int(np.argmax(scores.top1))
    lost = scores.of_works[highest] - scores.of_works
    below = scores.top1[highest] - scores.top1
    return np.flatnonzero(below <= error_of_sum(lost - lost.mean(1, keepdims=True)))


def _among(scores: Scores, cost: np.ndarray) -> int:
    within = _within_an_error(scores)
    return int(within[np.argmin(cost[within])])


def _greedy(scores: Scores) -> int:
    """The rule of artjax until 2026-11: the lower loss replaces what is within an error so far."""
    highest, error, best = -1.0, 0.0, -1
    for i, top1 in enumerate(scores.top1):
        if top1 > highest:
            highest, error = top1, scores.standard_error[i]
        tied = top1 >= highest - error
        lower = best < 0 or scores.loss[i] < scores.loss[best]
        if tied and (lower or scores.top1[best] < highest - error):
            best = i
    return best


def _mean_of(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Running means; at the ends of what there is."""
    spans = [values[max(0, i - before) : i + after + 1] for i in range(len(values))]
    return np.array([span.mean() for span in spans])


BEFORE = "one standard error, greedy, lowest loss"
NOW = "highest probability of the true class"

RULES: dict[str, Rule] = {
    "the last checkpoint": lambda s: len(s.top1) - 1,
    "highest top-1, the first of equals": lambda s: int(np.argmax(s.top1)),
    "highest top-1, the last of equals": lambda s: last_of(s.top1),
    "highest top-1, of equals the lowest loss": lambda s: _first_by(-s.top1, s.loss),
    "highest top-1, of equals the lowest Brier score": lambda s: _first_by(-s.top1, s.brier),
    BEFORE: _greedy,
    "one standard error, lowest loss": lambda s: _among(s, s.loss),
    "one standard error, lowest Brier score": lambda s: _among(s, s.brier),
    "one standard error, highest probability": lambda s: _among(s, -s.probability),
    "one standard error, the last": lambda s: int(_within_an_error(s)[-1]),
    "one paired standard error, the last": lambda s: int(_within_a_paired_error(s)[-1]),
    "one standard error, the first": lambda s: int(_within_an_error(s)[0]),
    "lowest loss": lambda s: int(np.argmin(s.loss)),
    "lowest Brier score": lambda s: int(np.argmin(s.brier)),
    NOW: lambda s: int(np.argmax(s.probability)),
    "highest mean of top-1 and probability": lambda s: last_of(s.top1 + s.probability),
    "highest top-1, of equals the highest probability": lambda s: _first_by(
        -s.top1, -s.probability
    ),
    "the same, mean of three, up to this one": lambda s: last_of(
        _mean_of(s.top1 + s.probability, 2, 0)
    ),
    "highest mean of three probabilities, up to this one": lambda s: last_of(
        _mean_of(s.probability, 2, 0)
    ),
    "highest top-1 less Brier score": lambda s: last_of(s.top1 - s.brier),
    "highest mean of three top-1, centred": lambda s: last_of(_mean_of(s.top1, 1, 1)),
    "highest mean of three top-1, up to this one": lambda s: last_of(_mean_of(s.top1, 2, 0)),
    "highest mean of five top-1, up to this one": lambda s: last_of(_mean_of(s.top1, 4, 0)),
    "lowest mean of three Brier scores, up to this one": lambda s: last_of(
        -_mean_of(s.brier, 2, 0)
    ),
}
"""All rules, by what they say."""


def _until_stale(rule: Rule, scores: Scores, patience: int, losses: bool) -> int:
    """The choice of a rule when a run ends after `patience` validations without news.

    News is another choice of the rule; with `losses` the lowest loss so far as well.
    """
    choice, last_news, lowest = -1, 0, np.inf
    for i in range(len(scores.top1)):
        now = rule(scores.first(i + 1))
        lower = losses and scores.loss[i] < lowest
        lowest = min(lowest, scores.loss[i])
        if now != choice or lower:
            last_news = i
        choice = now
        if i - last_news >= patience:
            break
    return choice


def _stopped(rule: str, losses: bool) -> Rule:
    return lambda scores: _until_stale(RULES[rule], scores, PATIENCE, losses)


PATIENCE = 8
EARLY: dict[str, Rule] = {
    f"{BEFORE}; stopped early": _stopped(BEFORE, False),
    f"{NOW}; stopped early": _stopped(NOW, False),
    f"{NOW}; stopped early, a lower loss counts": _stopped(NOW, True),
}
"""Rules in runs that end after `PATIENCE` validations without news."""


def chosen_truth(
    curves: Curves, size: int, draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Top-1, loss and Brier score of the checkpoint that each rule chooses on `size` works.

    Returns:
      For each rule, and for the best checkpoint, if it were known, the means over the draws. They are
      of the other works.
    """
    works = int(curves.works.max()) + 1
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(draws):
        chosen = rng.permutation(works)[:size]
        seen = np.isin(curves.works, chosen)
        if np.isnan(curves.right[:, 0, seen]).all(1).any():
            continue  # no label of a task among them
        scores, truth = curves.scores(seen), curves.scores(~seen)
        picks = {name: rule(scores) for name, rule in (RULES | EARLY).items()}
        picks["(the best one, if it were known)"] = int(np.argmax(truth.top1))
        for name, i in picks.items():
            row = float(truth.top1[i]), float(truth.loss[i]), float(truth.brier[i])
            found.setdefault(name, []).append(row)
    return {name: np.mean(rows, axis=0) for name, rows in found.items()}
