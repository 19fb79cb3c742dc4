"""Results as a person reads them: lines for the console, and a table of all predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artjax.data.folds import never_tested
from artjax.data.works import Split
from artjax.evaluation import (
    baselines,
    copies,
    judging,
    metrics,
    painters,
    second_scores,
    source_facts,
)

# The standard error of a top-1 of 50 % is 9 points with 30 works.
FEWEST_TO_CHOOSE_BY = 30
# Of top-1, between train and the upper end of test's interval.
FAR_APART = 0.15
NO_RESULTS: Mapping[str, str] = {
    "train": "  learnt from these works: the score says nothing of other works",
    "validation": "  no unseen works: checkpoint, temperature and thresholds were chosen by them",
}
"""What is said of the splits that a run has used, in place of an interval and of what is to beat.

An interval is that of works which nothing was fitted to or chosen by.
"""


def report_lines(result: Mapping[str, Any]) -> list[str]:
    """A result in words: for each task a line, and what the score has to beat.

    Scores on works that the run has used are no results: they get a line of `NO_RESULTS` instead.
    """
    lines = []
    used = NO_RESULTS.get(result["split"])
    covers = "" if used else f"{subject(result)} on other works"
    for task, row in result["tasks"].items():
        official = row["official_n"]
        works = f"{row['n']:,} works"
        if official is not None:
            works = f"{row['n']:,} of the {official:,} official {result['split']} works"
        if row["works"] < row["n"]:
            works = f"{row['n']:,} images of {row['works']:,} works"
        if row["clusters"] < row["works"]:
            of = f"by {result['cluster_by']}" if result["cluster_by"] else "of near-duplicates"
            works += f" in {row['clusters']:,} groups ({of}), which the intervals keep together"
        # None: the members of an ensemble have different numbers of views.
        if (result["views"] or 1) > 1:
            works += f", {result['views']} views of each"
        if result.get("mc_dropout"):
            works += (
                f", the mean of {result['mc_dropout']} passes with dropout, without a temperature"
            )
        lines.append(f"{result['split']} {task}: {metrics.format_metrics(row, covers)} on {works}")
        lines[-1] += second_scores.in_words(row)
        lines += [used] if used else [*painters.advice(task, row), *baselines.in_words(row)]
        lines += [] if used else source_facts.warning(task, result["split"], row)
        lines += baselines.loss_warning(row)
        lines += [] if used else judging.in_words(row)
        if row["not_finite"]:
            lines.append(
                f"  warning: {row['not_finite']:,} of {row['n']:,} images got no finite output (nan or "
                "infinity) and count as wrong: the network has diverged, or its numbers overflow"
            )
        if row.get("suspected_labels"):
            lines.append(
                f"  {row['suspected_labels']:,} labels are doubted (a weak network doubts many right "
                f"ones): look at them in {result['labels_page']}"
            )
        without = row["classes"] - row["labelled_classes"]
        if without:
            lines.append(f"  {without} of {row['classes']} {task}s have no {result['split']} work")
        if row["predicted_classes"] == 1 < row["classes"]:
            lines.append(f"  warning: the network names the same {task} for every work")
    if number := result.get("never_tested"):
        lines.append(f"  {never_tested(number)}")
    if "copies" in result:
        lines += copies.in_words(result["copies"])
    return lines


def subject(result: Mapping[str, Any]) -> str:
    """What an interval speaks of: these networks, on other works; not other trainings."""
    networks = "this network"
    if "members" in result:
        networks = "this ensemble"
    elif result["split"] == "folds":
        networks = "the networks of these folds"
    return networks


def cautions(
    results: Mapping[str, Mapping[str, Any]],
    last_row: Mapping[str, float],
    pretrained: bool = False,
) -> list[str]:
    """What speaks against the numbers of a finished run, a line each.

    Args:
      results: what `metrics.json` holds, of `validation` and, if it was evaluated, `test`.
      last_row: the last row of training metrics, or `{}`.
      pretrained: whether the network was pretrained.
    """
    lines = []
    helps = (
        "more works help, or stronger regularisation: --config.optim.weight_decay, model.dropout"
        if pretrained
        else "more works help, or a pretrained network: --config configs/probe.py"
    )
    for task, row in results["validation"]["tasks"].items():
        if row["n"] < FEWEST_TO_CHOOSE_BY:
            lines.append(
                f"warning: {row['n']} validation works with a known {task} are too few to choose a "
                f"checkpoint or thresholds by ({FEWEST_TO_CHOOSE_BY} or more are better)"
            )
    tasks = results["test"]["tasks"] if "test" in results else {}
    for task, row in tasks.items():
        name = "train/top1" if len(tasks) == 1 else f"train/{task}/top1"
        train, (_, high) = last_row.get(name, 0.0), row["top1_ci95"]
        if train - high > FAR_APART:
            lines.append(
                f"warning: {task}: top-1 {train:.1%} on train, {row['top1']:.1%} on test: the network "
                f"knows the training works by heart (overfitting); {helps}"
            )
    return lines


def predictions_csv(
    predictions: Mapping[str, tuple[np.ndarray, metrics.Predictions]],
    split: Split,
    classes: Mapping[str, Sequence[str]],
    fold: int | None = None,
) -> str:
    """The table `predictions.csv`: a row for each work and task.

    Where a network gave no finite output, the cells of what it predicted are empty. A mean of several
    answers has two columns more: its entropy, and how far they are from each other, in nats.

    Args:
      predictions: as from `evaluate.predict_split`.
      split: the works.
      classes: class names, by task.
      fold: the fold of a cross-validation, which gets a column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["file_name", "task", "label", "predicted"]
    columns += ["probability", "label_probability", "label_rank"]
    several = any(of.expected_entropy is not None for _, of in predictions.values())
    columns += ["predictive_entropy", "mutual_information"] if several else []
    folds = {} if fold is None else {"fold": fold}
    writer.writerow([*columns, *folds])
    for task, (known, of_task) in predictions.items():
        names = classes[task]
        probabilities = np.exp(of_task.log_probabilities)
        apart = of_task.mutual_information
        entropies = metrics.entropy(of_task.log_probabilities)
        guesses = zip(of_task.predicted, of_task.label_ranks, of_task.finite, strict=True)
        for i, (predicted, rank, finite) in enumerate(guesses):
            label = int(of_task.labels[i])
            shares = (repr(float(probabilities[i, c])) for c in (predicted, label))
            said = [names[predicted], *shares, int(rank)] if finite else [""] * 4
            if apart is not None:
                said += [repr(float(of[i])) if finite else "" for of in (entropies, apart)]
            writer.writerow(
                [split.file_names[known[i]], task, names[label], *said, *folds.values()]
            )
    return text.getvalue()
