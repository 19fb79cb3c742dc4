"""The scores of all tasks of a network as one, by which checkpoints and trials are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions


class Overall(NamedTuple):
    """The scores of several tasks as one.

    Attributes:
      top1: mean over tasks, in [0, 1].
      probability: mean over tasks of the mean probability of the true class, in [0, 1].
      loss: sum over tasks, in nats; nan if an image has no finite output.
      standard_error: of `top1`.
    """

    top1: float
    probability: float
    loss: float
    standard_error: float


def over_tasks(predictions: Mapping[str, Predictions]) -> Overall:
    """The scores of several tasks as one.

    Args:
      predictions: of each task; one without an image with a label is left out.
    """
    labelled = [of_task for of_task in predictions.values() if len(of_task.labels)]
    return Overall(
        float(np.mean([metrics.top1(of_task) for of_task in labelled])),
        float(np.mean([mean_probability(of_task) for of_task in labelled])),
        sum(metrics.loss(of_task) for of_task in labelled),
        standard_error(labelled),
    )


def mean_probability(predictions: Predictions) -> float:
    """Mean probability of the true class, in [0, 1]; it counts as 0 where the output is not finite."""
    rows = np.arange(len(predictions.labels))
    own = predictions.log_probabilities[rows, predictions.labels]
    return float(np.where(predictions.finite, np.exp(own), 0.0).mean())


def standard_error(tasks: list[Predictions]) -> float:
    """Standard error of the mean over tasks of top-1.

    A picture that is hard for one task may be hard for another, and images of one work are right or
    wrong together. So the variance is estimated over works, whose answers to all tasks are taken
    together: the linearised variance of a share over clusters, as in Rao & Scott, A Simple Method for
    the Analysis of Clustered Binary Data (1992), section 2. Two works of mean size are added, one with
    right answers alone and one with wrong ones, so that 2 of 2 right answers are not taken for certain:
    Agresti & Coull, Approximate Is Better than "Exact" (1998).

    Args:
      tasks: predictions of each task. Without work ids, each image is a work, and those with the same
        number in several tasks are the same one.
    """
    ids = [
        np.arange(len(of_task.labels)) if of_task.work_ids is None else of_task.work_ids
        for of_task in tasks
    ]
    names, work_of = np.unique(np.concatenate(ids), return_inverse=True)
    works, first = len(names) + 2, 0
    influence = np.zeros(works)
    for of_task in tasks:
        n = len(of_task.labels)
        right = of_task.predicted == of_task.labels
        own = work_of[first : first + n]
        added = n / len(np.unique(own))  # images of each added work
        share = (right.sum() + added) / (n + 2 * added)
        residual = np.bincount(own, right - share, minlength=works)
        residual[-2:] = added * (1 - share), -added * share
        influence += residual / (n + 2 * added)
        first += n
    variance = works / (works - 1) * (influence**2).sum() / len(tasks) ** 2
    return float(np.sqrt(variance))
