"""The part of the report about one task: its scores, classes, confusions, and where its errors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from artjax.evaluation import baselines, report, second_scores
from artjax.evaluation.calibration import reliability_curve
from artjax.evaluation.curves import confusion_matrix
from artjax.evaluation.risk_coverage import risk_coverage_curve
from artjax.pages.charts import Chart, Diagonal, Line, line_chart, reliability_chart
from artjax.report import matrix
from artjax.report.concentration import Concentration
from artjax.report.works import Chosen, TaskWorks, choose

_MOST_CONFUSIONS = 15
_WARNING = "warning: "

ShareRow = tuple[str, float, Sequence[float] | None, str, str]
"""A row of `charts.shares`: name, share, its interval, text, colour."""


class Section(NamedTuple):
    """A task as the templates see it.

    Attributes:
      number: of the task, from 1.
      name: of the task.
      page: with its works by class.
      row: of the task in `metrics.json`.
      scores: top-1 and what it has to beat.
      by_fold: top-1 of each fold; empty without folds.
      findings: what else is said of the result.
      warnings: what speaks against it.
      left_out: the works of which the network may know more than it should: their number, who they are,
        and the score without them.
      classes: the rows of the table of classes.
      matrix: the cells of the confusion matrix, by row.
      confusions: its largest cells beside the diagonal.
      reliability: the reliability diagram; None with too few works.
      risks: the share of wrong answers among the surest ones; None with too few.
      concentrations: of errors, each with its bars.
      most_wrong: the share that a full one of these bars is.
      works: all works.
      chosen: those that are shown.
    """

    number: int
    name: str
    page: str
    row: Mapping[str, Any]
    scores: list[ShareRow]
    by_fold: list[ShareRow]
    findings: list[str]
    warnings: list[str]
    left_out: list[tuple[str, str, str]]
    classes: list[dict[str, Any]]
    matrix: list[list[matrix.Cell]]
    confusions: list[dict[str, Any]]
    reliability: Diagonal | None
    risks: Chart | None
    concentrations: list[tuple[Concentration, list[ShareRow]]]
    most_wrong: float
    works: TaskWorks
    chosen: Chosen

    @property
    def cell_px(self) -> int:
        """Of the matrix."""
        return matrix.cell_px(len(self.works.names))

    @property
    def has_numbers(self) -> bool:
        """Of the matrix."""
        return matrix.has_numbers(len(self.works.names))


def section_of(
    number: int,
    name: str,
    result: Mapping[str, Any],
    works: TaskWorks,
    found: Sequence[Concentration],
) -> Section:
    """The section of a task.

    Args:
      number: of the task, from 1.
      name: of the task.
      result: what `metrics.json` holds.
      works: with what networks said of them.
      found: where errors concentrate.
    """
    row = result["tasks"][name]
    counts = confusion_matrix(works.predictions)
    bins = reliability_curve(works.predictions)
    findings, warnings = _findings(result, name)
    return Section(
        number,
        name,
        f"works-{number}.html",
        row,
        _scores(row, report.subject(result), result["split"] not in report.NO_RESULTS),
        [
            (f"fold {fold}", of["top1"], None, f"{of['top1']:.1%} of {of['n']:,}", "train")
            for fold, of in enumerate(row.get("by_fold", ()))
        ],
        findings,
        warnings,
        _left_out(row),
        _classes(row, works, counts),
        matrix.rows_of(counts, f"works-{number}.html"),
        _confusions(works, counts),
        reliability_chart(bins) if bins else None,
        _risks(works),
        [(of, _bins(of)) for of in found],
        max((bin_.interval[1] for of in found for bin_ in of.bins), default=1.0),
        works,
        choose(works),
    )


def _risks(works: TaskWorks) -> Chart | None:
    points = [(of.coverage, of.risk) for of in risk_coverage_curve(works.predictions)]
    return line_chart(
        "Wrong among the surest answers",
        [Line("wrong", "test", points)],
        "{:.0%}",
        by="share of answers",
        by_form="{:.0%}",
    )


def _findings(result: Mapping[str, Any], task: str) -> tuple[list[str], list[str]]:
    """What the lines of a result say beside its scores, and what they warn of."""
    row = result["tasks"][task]
    # Copies belong to the split, and are counted in `_left_out`.
    one = {name: value for name, value in result.items() if name != "copies"} | {
        "tasks": {task: row}
    }
    shown = baselines.in_words(row)[:2]  # as bars
    lines = [line.strip() for line in report.report_lines(one)[1:] if line not in shown]
    warnings = [line for line in lines if line.startswith(_WARNING)]
    findings = [line for line in lines if line not in warnings]
    return findings, [line.removeprefix(_WARNING) for line in warnings]


def _left_out(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The works of which the network may know more than it should: number, who they are, and the rest.

    Near-duplicates are among them where they were looked for, also if there are none.
    """
    found = []
    for name, words in second_scores.LEFT_OUT.items():
        left, top1 = row.get(f"n_{name}"), row.get(f"top1_{name}")
        if left is None:
            continue
        number = row["n"] - left
        if number or name == "without_near_duplicates":
            rest = "" if top1 is None or not number else f"without them {top1:.1%} are right"
            found.append(
                (f"{number:,} ({number / row['n']:.1%})" if number else "none", words, rest)
            )
    return found


def _scores(row: Mapping[str, Any], subject: str, with_interval: bool) -> list[ShareRow]:
    """Top-1 and what it has to beat, for `charts.shares`."""
    ends = row["top1_ci95"] if with_interval else None
    scores: list[ShareRow] = [(subject, row["top1"], ends, f"{row['top1']:.1%}", "train")]
    return scores + [
        (words, row["baselines"][of], None, f"{row['baselines'][of]:.1%}", "")
        for of, words in baselines.WORDS.items()
        if row["baselines"][of] is not None
    ]


def _classes(row: Mapping[str, Any], works: TaskWorks, counts: np.ndarray) -> list[dict[str, Any]]:
    """The rows of the table of classes: what `metrics.json` has, and what each is taken for most."""
    rows = []
    for number, name in enumerate(works.names):
        others = counts[number].copy()
        others[number] = 0
        most = int(others.argmax())
        taken_for = {"class": works.names[most], "works": int(others[most]), "number": most}
        values = row["by_class"][name]
        rows.append({"name": name, **values, "taken_for": taken_for if others[most] else None})
    return rows


def _confusions(works: TaskWorks, counts: np.ndarray) -> list[dict[str, Any]]:
    """The largest cells beside the diagonal, for the page and `summary.json`."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rows = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS].tolist():
        label, named = divmod(cell, len(counts))
        if wrong[label, named]:
            rows.append(
                {
                    "label": works.names[label],
                    "named": works.names[named],
                    "works": int(wrong[label, named]),
                    "share": float(wrong[label, named] / counts[label].sum()),
                    "numbers": [label, named],
                }
            )
    return rows


def _bins(found: Concentration) -> list[ShareRow]:
    """The bins of a column for `charts.shares`."""
    colour = "test" if found.is_shown else ""
    return [
        (of.name, share, of.interval, f"{share:.1%} of {of.works:,}", colour)
        for of, share in ((of, of.wrong / of.works) for of in found.bins)
    ]
