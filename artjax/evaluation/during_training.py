"""Evaluations during a training: a table. To add one, write a function and enter it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from artjax.data.prepared import Prepared
from artjax.data.works import Split
from artjax.evaluation.evaluate import predict_split
from artjax.evaluation.metrics import top1
from artjax.evaluation.over_tasks import over_tasks
from artjax.training.network import Network
from artjax.training.training import Training


class Evaluated(NamedTuple):
    """What an evaluator found.

    Attributes:
      row: numbers for `metrics.jsonl`; their names begin with that of the evaluator.
      line: the same for people.
      chooses: for the evaluator by which the best checkpoint is chosen: top-1, probability of the true
        class and loss, as in `training.best.Validation`; else None.
    """

    row: dict[str, float]
    line: str
    chooses: tuple[float, float, float] | None = None


class Evaluator(NamedTuple):
    """An evaluation that a training repeats.

    Attributes:
      every: training → steps from one to the next. It is also done after the last step.
      evaluate: (network, whole variables, splits by name, the prepared set) → what it found.
    """

    every: Callable[[Training], int]
    evaluate: Callable[[Network, Mapping[str, Any], Mapping[str, Split], Prepared], Evaluated]


def validation(
    network: Network,
    variables: Mapping[str, Any],
    splits: Mapping[str, Split],
    prepared: Prepared,
) -> Evaluated:
    """Scores on the validation split, by which the best checkpoint is chosen."""
    del prepared
    split = splits["validation"]
    predicted = predict_split(network, variables, split)
    tasks = {task: of_task for task, (known, of_task) in predicted.items() if len(known)}
    overall = over_tasks(tasks)
    row = {
        "validation/loss": overall.loss,
        "validation/top1": overall.top1,
        "validation/top1_standard_error": overall.standard_error,
        "validation/probability": overall.probability,
    }
    if len(tasks) > 1:
        row |= {f"validation/{task}/top1": top1(of_task) for task, of_task in tasks.items()}
    line = (
        f"validation loss {overall.loss:.4f}, top-1 {overall.top1:.1%}, probability of the true class "
        f"{overall.probability:.1%} on {len(split):,} works"
    )
    return Evaluated(row, line, (overall.top1, overall.probability, overall.loss))


EVALUATORS = (Evaluator(lambda training: training.eval_every, validation),)
"""All evaluators, in the order in which they run."""
