"""What an evaluation writes beside its numbers: confusion matrix and curves, as tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artjax.errors import WorkdirError
from artjax.evaluation.calibration import Bin, reliability_curve
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.risk_coverage import Point, risk_coverage_curve

CONFUSION = "confusion.csv"
RELIABILITY = "reliability_curve.csv"
RISK_COVERAGE = "risk_coverage.csv"

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    CONFUSION: ("task", "label", "predicted", "n", "share"),
    RELIABILITY: ("task", "works", "probability", "right", "right_low", "right_high"),
    RISK_COVERAGE: ("task", "coverage", "probability", "risk"),
}


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """How many works of each class (row) are named as each class (column): int [classes, classes].

    Equals scikit-learn's `confusion_matrix`. A work without a finite output is named as none, and is not
    in it; `not_finite` in `metrics.json` has their number.
    """
    classes = predictions.log_probabilities.shape[1]
    named = predictions.finite
    cells = predictions.labels[named] * classes + predictions.predicted[named]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def row_normalised(counts: np.ndarray) -> np.ndarray:
    """Each row of a confusion matrix divided by its sum, float [classes, classes]; 0 without a work.

    Equals scikit-learn's `confusion_matrix(normalize="true")`. The diagonal has the recalls of the
    classes, if every work has a finite output.
    """
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def tables(
    predictions: Mapping[str, Predictions], classes: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The contents of `confusion.csv`, `reliability_curve.csv` and `risk_coverage.csv`, by name.

    Of the confusion matrix only cells with a work are there, so that 200 classes stay readable.

    Args:
      predictions: by task; a task without a known label has no rows.
      classes: class names, by task.
    """
    confusion: list[tuple[Any, ...]] = []
    bins: list[tuple[Any, ...]] = []
    points: list[tuple[Any, ...]] = []
    for task, of_task in predictions.items():
        if not len(of_task.labels):
            continue
        counts, names = confusion_matrix(of_task), classes[task]
        shares = row_normalised(counts)
        confusion += [
            (task, names[label], names[named], int(counts[label, named]), shares[label, named])
            for label, named in np.argwhere(counts).tolist()
        ]
        bins += [(task, *one[:3], *one.interval) for one in reliability_curve(of_task)]
        points += [(task, *point) for point in risk_coverage_curve(of_task)]
    rows = {CONFUSION: confusion, RELIABILITY: bins, RISK_COVERAGE: points}
    return {name: _table(_COLUMNS[name], of_file) for name, of_file in rows.items()}


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [repr(float(cell)) if isinstance(cell, float) else cell for cell in row] for row in rows
    )
    return text.getvalue()


class TaskEvaluation(NamedTuple):
    """What an evaluation says of a task.

    Attributes:
      numbers: its row in `metrics.json`.
      class_names: in the order of the matrix.
      confusion: as from `confusion_matrix`.
      reliability: as from `reliability_curve`.
      risk_coverage: as from `risk_coverage_curve`.
      predictions: its rows of `predictions.csv`, as text by column.
    """

    numbers: Mapping[str, Any]
    class_names: tuple[str, ...]
    confusion: np.ndarray
    reliability: list[Bin]
    risk_coverage: list[Point]
    predictions: list[dict[str, str]]


class Evaluation(NamedTuple):
    """What a folder `evaluation/<split>/` holds.

    Attributes:
      result: what `metrics.json` holds.
      tasks: by name, those with a work whose label is known.
    """

    result: Mapping[str, Any]
    tasks: Mapping[str, TaskEvaluation]


def read_evaluation(folder: Path) -> Evaluation:
    """Reads what an evaluation of a split, an ensemble or folds has written.

    Raises:
      WorkdirError: if a file is missing or damaged, or was written before there were curves.
    """
    try:
        result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        rows = {name: _rows(folder / name) for name in (*_COLUMNS, "predictions.csv")}
        tasks = {
            task: _of_task(
                numbers, {name: [r for r in of if r["task"] == task] for name, of in rows.items()}
            )
            for task, numbers in result["tasks"].items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        raise WorkdirError(
            f"{folder} has no whole evaluation ({why}); write it with --mode evaluate"
        ) from error
    return Evaluation(result, tasks)


def _of_task(
    numbers: Mapping[str, Any], rows: Mapping[str, list[dict[str, str]]]
) -> TaskEvaluation:
    names = tuple(numbers["class_names"])
    number = {name: i for i, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), int)
    for row in rows[CONFUSION]:
        confusion[number[row["label"]], number[row["predicted"]]] = int(row["n"])
    reliability = [
        Bin(
            int(row["works"]),
            float(row["probability"]),
            float(row["right"]),
            (float(row["right_low"]), float(row["right_high"])),
        )
        for row in rows[RELIABILITY]
    ]
    points = [
        Point(*(float(row[column]) for column in _COLUMNS[RISK_COVERAGE][1:]))
        for row in rows[RISK_COVERAGE]
    ]
    return TaskEvaluation(numbers, names, confusion, reliability, points, rows["predictions.csv"])


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
