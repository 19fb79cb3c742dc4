"""Scores on validation of several trials together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from artjax.data.works import Split
from artjax.evaluation import ensemble, evaluate
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.over_tasks import over_tasks
from artjax.modes.search.results import Result
from artjax.training.network import Network


class Scored(NamedTuple):
    """A trial, an ensemble or a soup: its row in `best.json`, and its predictions by task."""

    row: dict[str, Any]
    predicted: Mapping[str, Predictions]


def predictions(
    network: Network, variables: Mapping[str, Any], split: Split
) -> dict[str, Predictions]:
    """The predictions for the works with a known label, for each task that has one."""
    predicted = evaluate.predict_split(network, variables, split)
    return {task: of_task for task, (known, of_task) in predicted.items() if len(known)}


def scores(predicted: Mapping[str, Predictions]) -> tuple[float, float, float]:
    """Top-1 (mean over tasks), loss (sum) and standard error of top-1; a diverged loss is infinite."""
    top1, _, loss, error = over_tasks(predicted)
    return (top1, loss, error) if np.isfinite(loss) else (0.0, float("inf"), 0.0)


def mean_predictions(members: Sequence[Mapping[str, Predictions]]) -> dict[str, Predictions]:
    """The mean of the probabilities of several members, for the same works."""
    return {
        task: ensemble.mean_predictions([member[task] for member in members]) for task in members[0]
    }


def scored(
    kind: str,
    members: Sequence[Result],
    predicted: Mapping[str, Predictions],
    workdirs: Sequence[str] = (),
) -> Scored:
    """A combination, `single`, `ensemble` or `soup`, with what `best.json` says of it."""
    top1, loss, _ = scores(predicted)
    row = {
        "kind": kind,
        "trials": [member.number for member in members],
        "top1": top1,
        "loss": loss,
        "workdirs": list(workdirs),
    }
    return Scored(row, predicted)


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row with the highest top-1; of equal ones the lowest loss; of equal ones the first."""
    return min(rows, key=lambda row: (-row["top1"], row["loss"]))
