"""Which answers are unsure, and which pictures are unlike anything in train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artjax.data.works import Split
from artjax.evaluation import metrics, selective, train_embeddings, unlike
from artjax.evaluation.baselines import BETTER, against_constant
from artjax.evaluation.intervals import trials_of
from artjax.evaluation.reliability import Calibration, Reliability, divided
from artjax.runs import OpenRun

if TYPE_CHECKING:  # it imports this file
    from artjax.evaluation.evaluate import TaskPredictions

_COUNTS = ("n_sure", "n_sure_wrong", "sure_trials", "n_unlike_train")

UNCALIBRATED = ("loss", "brier", "ece")
"""The metrics that a temperature changes; `metrics.json` has them without it, too."""


class Judge(NamedTuple):
    """What is known of a run, and how it answers.

    Attributes:
      reliability: what its validation works say of its probabilities, as the network gives them.
      views: number of views of a picture that it sees.
      passes: with dropout on, whose mean it gives; 0 = one without it. Of such a mean no temperature and
        no threshold is known.
    """

    reliability: Reliability
    views: int
    passes: int = 0

    def temperature(self, task: str) -> float | None:
        """By which the logits of a task are divided; None if none is known."""
        if self.passes:
            return None
        return self.reliability.temperature(task, self.views)

    def calibrated(self, predictions: TaskPredictions) -> TaskPredictions:
        """Predictions with the temperature of each task, where it has one."""
        return {
            task: (known, divided(of_task, self.temperature(task) or 1))
            for task, (known, of_task) in predictions.items()
        }

    def sure_from(self, task: str) -> float | None:
        """From which probability on an answer is sure; infinite if none is, None if it is not known."""
        known = self.reliability
        if task not in known.tasks or self.views != known.views or self.passes:
            return None
        found = known.thresholds[task]
        return math.inf if found is None else found.probability


def sure_from(judges: Sequence[Judge], task: str) -> float | None:
    """From which probability on the mean of several runs is sure: the highest of their thresholds.

    A mean is less sure than its members, and seldomer wrong where it is as sure. Each member's promise
    does not carry over to it, strictly: evaluation counts how often it holds.
    """
    found = [judge.sure_from(task) for judge in judges]
    return None if None in found else max(value for value in found if value is not None)


def mean_unlikeness(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The mean of `Reliability.unlikeness` of several runs; None if it is not known of one."""
    known = [part for part in parts if part is not None]
    return np.mean(known, axis=0) if parts and len(known) == len(parts) else None


def unlikeness(opened: OpenRun, split: Split, known: Reliability) -> np.ndarray | None:
    """`Reliability.unlikeness` of the works of a split.

    None for train, which others are compared with, and for validation, on which the limit was set.
    """
    if split.name != "test" or known.farthest is None:
        return None
    return known.unlikeness(train_embeddings.of_works(opened, split))


def numbers(
    judges: Sequence[Judge],
    raw: TaskPredictions,
    predictions: TaskPredictions,
    unlike_train: np.ndarray | None,
) -> dict[str, dict[str, Any]]:
    """What `metrics.json` has of each task about temperature, unsure answers, and foreign pictures.

    Args:
      judges: of one run, or of the members of an ensemble.
      raw: predictions of a split without temperatures.
      predictions: the same with them.
      unlike_train: from `unlikeness`, of all works of the split, float [N].
    """
    rows: dict[str, dict[str, Any]] = {}
    for task, (known, of_task) in predictions.items():
        if not len(known):
            continue
        lowest = sure_from(judges, task)
        wrong = of_task.predicted != of_task.labels
        sure = selective.most_probable(of_task.log_probabilities) >= (lowest or 0)
        rates = {judge.reliability.error_rate for judge in judges}
        rows[task] = {
            "temperature": judges[0].temperature(task) if len(judges) == 1 else None,
            "error_rate": max(rates),
            "sure_from": lowest,
            "n_sure": None if lowest is None else int(sure.sum()),
            "n_sure_wrong": None if lowest is None else int((sure & wrong).sum()),
            "sure_trials": None
            if lowest is None
            else _trials(of_task.only(np.flatnonzero(sure).tolist())),
            "n_unlike_train": None
            if unlike_train is None
            else int((unlike_train[known] > 1).sum()),
        } | {
            f"{name}_uncalibrated": metrics.METRICS[name].function(raw[task][1])
            for name in UNCALIBRATED
        }
    return rows


def _trials(of_sure: metrics.Predictions) -> float:
    """How many independent works some answers are worth."""
    return trials_of(of_sure.predicted == of_sure.labels, of_sure.groups)


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of several folds together, from what `metrics.json` has of each.

    Each fold has its own temperature and its own threshold, so that these are None. Counts are added.
    Nothing is there if a part lacks them.
    """
    if not all("n_sure" in row for row in rows):
        return {}

    def total(name: str) -> float | None:
        counts = [row[name] for row in rows]
        return None if None in counts else sum(counts)

    def mean(name: str) -> float | None:
        values = [row[name] for row in rows]
        weights = [row["n"] for row in rows]
        return None if None in values else float(np.average(values, weights=weights))

    result: dict[str, Any] = {"temperature": None, "sure_from": None, "ece_uncalibrated": None}
    result["error_rate"] = max(row["error_rate"] for row in rows)
    result |= {name: total(name) for name in _COUNTS}
    return result | {
        f"{name}_uncalibrated": mean(f"{name}_uncalibrated") for name in ("loss", "brier")
    }


def in_words(row: Mapping[str, Any]) -> list[str]:
    """What a report says of a task on works that were not used: does what was promised hold?

    Args:
      row: of a task, as in `metrics.json`.
    """
    if "n_sure" not in row:
        return []
    lines = []
    before = [
        f"{metrics.METRICS[name].template.format(row[f'{name}_uncalibrated'])}"
        for name in UNCALIBRATED
        if row[f"{name}_uncalibrated"] not in (None, row[name])
    ]
    if before:
        by = "" if row["temperature"] is None else f" of {row['temperature']:.2f}"
        lines.append(f"  without the temperature{by}: {', '.join(before)}")
    said = []
    if row["n_sure"] is not None:
        said.append(f"{row['n'] - row['n_sure']:,} of {row['n']:,} unsure")
    if row["n_unlike_train"] is not None:
        said.append(f"{row['n_unlike_train']:,} unlike anything in train")
    if row["n_sure"]:
        share, most = row["n_sure_wrong"] / row["n_sure"], row["error_rate"]
        said.append(f"of the sure ones {share:.1%} wrong (promised: at most {most:.1%})")
        if _broken(share, row["sure_trials"], most):
            said[-1] += ", which does not hold here"
    return [*lines, f"  {'; '.join(said)}"] if said else lines


def _broken(share: float, trials: float, rate: float) -> bool:
    """Whether a share of so many independent answers shows that more are wrong than a rate allows."""
    return against_constant(share, trials, rate) == BETTER  # "better" says higher


def said_of(judges: Sequence[Judge]) -> list[str]:
    """What is known of the probabilities of one run, or of several as one, in lines."""
    passes = max(judge.passes for judge in judges)
    if passes:
        return [
            f"the mean of {passes} passes with dropout: not calibrated, nor are unsure answers known: "
            "temperature and threshold are those of the network without it"
        ]
    if len(judges) > 1:
        without = [judge.reliability for judge in judges if judge.reliability.why_not]
        if without:
            return [f"not calibrated, and unsure answers are not known: {without[0].why_not}"]
        return [
            "the mean of probabilities that are divided by each member's temperature; sure from the "
            "highest of the members' thresholds on; unlike train by the mean of their distances"
        ]
    known, views, _ = judges[0]
    if known.why_not:
        return [f"not calibrated, and unsure answers are not known: {known.why_not}"]
    lines = []
    for task, of in known.tasks.items():
        name = "" if len(known.tasks) == 1 else f"{task}: "
        if views != known.views:
            lines.append(
                f"{name}not calibrated, and unsure answers are not known: temperature and threshold "
                f"are those of {known.views} view{'s' if known.views > 1 else ''} of a picture, and not "
                f"of {views}"
            )
            continue
        lines += [name + _of_temperature(of), name + _of_threshold(of, known, task)]
    return [*lines, _of_distance(known)]


def _of_temperature(of: Calibration) -> str:
    if of.temperature is None:
        return (
            f"not calibrated: {of.works:,} validation works are too few, or none of them is wrong, or "
            "not all have a finite output"
        )

    def change(name: str, before: float | None, after: float | None) -> str:
        return f"{name} {before:.3f} → {after:.3f}" if before and after else f"{name} undefined"

    return (
        f"probabilities divided by temperature {of.temperature:.2f}, fitted on {of.works:,} validation "
        f"works: {change('loss', of.loss_uncalibrated, of.loss)}, "
        f"{change('ECE', of.ece_uncalibrated, of.ece)}"
    )


def _of_threshold(of: Calibration, known: Reliability, task: str) -> str:
    found = known.thresholds[task]
    most = f"{known.error_rate:.1%}"
    if found is None:
        wrong = int((~of.answers.right).sum())
        return (
            f"every answer is unsure: from no probability on is it shown that at most {most} are wrong "
            f"({wrong:,} of {of.works:,} validation works are); the least that they show is "
            f"{selective.least_rate(of.answers):.1%}: see --config.eval.error_rate"
        )
    return (
        f"unsure below {found.probability:.1%}: of the {found.works:,} validation works above, "
        f"{found.wrong:,} are wrong, so at most {most} of such works "
        f"({selective.CONFIDENCE:.0%} confidence)"
    )


def _of_distance(known: Reliability) -> str:
    if known.train is None:
        return "foreign pictures are not told: no embeddings of train are kept with this run"
    if known.farthest is None:
        return (
            f"foreign pictures are not told: {len(known.distances):,} validation works show no distance "
            f"that only {known.foreign_rate:.1%} exceed; --config.eval.foreign_rate sets another"
        )
    return (
        f"unlike anything in train: farther from its {unlike.NEIGHBOURS} nearest of "
        f"{len(known.train.works):,} train works than {1 - known.foreign_rate:.1%} of the "
        f"{len(known.distances):,} validation works"
    )
