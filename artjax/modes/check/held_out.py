"""Do the labels belong to the pictures? A short training on some works, tested on others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from artjax.data import batches
from artjax.data.works import Split
from artjax.evaluation.evaluate import predict_split
from artjax.modes.check.verdicts import HeldOut, held_out
from artjax.modes.check.works import Works
from artjax.setup import Setup
from artjax.training.stepping import Stepping
from artjax.training.training import TrainStep

# The most frequent classes; with more of them, each would have too few works to learn from.
MOST_CLASSES = 8
MOST_FITTED = 160
MOST_HELD = 320
_LEAST_OF_CLASS = 8
_MOST_STEPS = 200
_MOST_SECONDS = 60.0
_LEARNT = 0.98
_PERMUTATIONS = 10_000


def try_labels(
    setup: Setup, frozen: Mapping[str, Any], train_step: TrainStep, task: str
) -> tuple[HeldOut | None, str]:
    """Trains on a part of the train split, and tests on others of its works.

    It finds labels that are shuffled, or moved against the pictures. It cannot find a few wrong labels,
    nor classes whose names are exchanged, nor wrong labels in the other splits.

    Args:
      setup: the set-up, without augmentation.
      frozen: its frozen variables, on the devices.
      train_step: its compiled step.
      task: one of its tasks; the labels of the others are left out.

    Returns:
      What was found, or None and why nothing could be.
    """
    train, config = setup.splits["train"], setup.config
    chosen, other = choose(train, task, config.seed)
    if chosen is None:
        return None, other
    fitted, held = chosen
    works = Works(setup, fitted)
    inputs = works.inputs(frozen)
    labels = {name: np.full(len(fitted), -1) for name in train.labels}
    labels[task] = train.labels[task][fitted]
    key = "top1" if len(labels) == 1 else f"{task}/top1"
    epoch = -(-len(fitted) // config.batch_size)
    feed = (
        works.batch_of(
            inputs, batches.batch_indices(config.seed, step, config.batch_size, len(fitted)), labels
        )
        for step in range(_MOST_STEPS)
    )
    stepping = Stepping(train_step, setup.initial_state(), feed)
    top1: list[float] = []
    start = time.perf_counter()
    for metrics in stepping:
        top1.append(float(metrics[key]))
        learnt = len(top1) >= epoch and float(np.mean(top1[-epoch:])) >= _LEARNT
        if learnt or time.perf_counter() - start > _MOST_SECONDS:
            break
    variables = setup.network.whole(stepping.state.variables, frozen)
    _, of_held = predict_split(setup.network, variables, train.only(held))[task]
    classes = np.unique(labels[task])
    predicted = classes[of_held.log_probabilities[:, classes].argmax(1)]
    true = of_held.labels
    share, permuted, needed, p = held_out(predicted, true, _PERMUTATIONS, config.seed)
    own = float(np.mean(top1[-epoch:]))
    return HeldOut(len(fitted), own, len(held), share, permuted, needed, p), ""


def choose(train: Split, task: str, seed: int) -> tuple[tuple[np.ndarray, np.ndarray] | None, str]:
    """Chooses works to train on, and others: one image of each work, of the most frequent classes.

    Args:
      train: the training split.
      task: one of its tasks.
      seed: of the choice.

    Returns:
      Two arrays of indices, int [N] and [M], or None and the reason.
    """
    order = batches.order(seed, 0, len(train))
    order = order[train.labels[task][order] >= 0]
    if len(train.work_ids):
        _, first = np.unique(train.work_ids[order], return_index=True)
        order = order[np.sort(first)]
    labels = train.labels[task][order]
    counts = np.bincount(labels, minlength=1)
    frequent = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    frequent = frequent[counts[frequent] >= _LEAST_OF_CLASS]
    if len(frequent) < 2:
        return None, (
            f"it needs two classes with at least {_LEAST_OF_CLASS} works each in train, some to train "
            "on and others to test on"
        )
    fitted, held = [], []
    for number in frequent:
        of_class = order[labels == number]
        half = min(len(of_class) // 2, MOST_FITTED // len(frequent))
        fitted.append(of_class[:half])
        held.append(of_class[half : half + MOST_HELD // len(frequent)])
    return (np.concatenate(fitted), np.concatenate(held)), ""
