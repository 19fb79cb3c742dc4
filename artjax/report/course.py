"""How the training of a run went: its curves, its speed, where it was interrupted, what it warned of."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from artjax.pages.charts import Chart, Line, colours_of, line_chart
from artjax.training import history
from artjax.training.logs import duration, read_rows

Rows = Sequence[dict[str, float]]


class Drawn(NamedTuple):
    """A chart, and what its colours mean: pairs of a colour and a name, if there are several."""

    chart: Chart
    keys: list[tuple[str, str]]


class _Curve(NamedTuple):
    title: str
    lines: Sequence[tuple[str, str, str]]  # name, colour, and the number in metrics.jsonl
    form: str = "{:.3g}"
    limits: tuple[float, float] | None = None


_CURVES = (
    _Curve(
        "Loss",
        [("train", "train", "train/loss"), ("validation", "validation", "validation/loss")],
    ),
    _Curve(
        "Top-1",
        [("train", "train", "train/top1"), ("validation", "validation", "validation/top1")],
        "{:.0%}",
        (0.0, 1.0),
    ),
    _Curve("Learning rate", [("learning rate", "train", "train/learning_rate")]),
    _Curve("Gradient norm", [("gradient norm", "train", "train/gradient_norm")]),
)


def curves(runs: Sequence[Path], marked: int | None) -> list[Drawn]:
    """The curves that the runs have logged; of several runs, such as folds, in one chart.

    Args:
      runs: their workdirs.
      marked: the step of the checkpoint that was evaluated; None marks nothing.
    """
    rows = [read_rows(run) for run in runs]
    mark = (
        None
        if marked is None
        else (float(marked), f"step {marked:,}: the checkpoint of this report")
    )
    drawn = []
    for curve in _CURVES:
        lines = [
            Line(name, colour, [(row["step"], row[key]) for row in of_run if _is_there(row, key)])
            for name, colour, key in curve.lines
            for of_run in rows
        ]
        chart = line_chart(curve.title, lines, curve.form, limits=curve.limits, marked=mark)
        if chart is not None:
            keys = colours_of(lines)
            drawn.append(Drawn(chart, keys if len(keys) > 1 else []))
    return drawn


def _is_there(row: dict[str, float], name: str) -> bool:
    return row.get(name) is not None


def course_of(run: Path) -> dict[str, Any]:
    """How the training of a run went, as `summary.json` has it; None is what is not known.

    Returns:
      `run`: the name of its folder; `steps`; `images_per_second` and `data_wait`, medians over the rows
      of the log; `seconds` from the first start to the end; `starts`; `resumed_at`: steps; `stops`: why;
      `warnings`, each once.
    """
    rows, events = read_rows(run), history.read(run)

    def times(what: str) -> list[history.Event]:
        return [event for event in events if event.what == what]

    starts = [*times(history.STARTED), *times(history.RESUMED)]
    ends = times(history.FINISHED)
    return {
        "run": run.name,
        "steps": int(rows[-1]["step"]) if rows else None,
        "images_per_second": _median(rows, "perf/images_per_second"),
        "data_wait": _median(rows, "perf/data_wait"),
        "seconds": ends[0].time - starts[0].time if starts and ends else None,
        "starts": len(starts) or None,
        "resumed_at": [event.step for event in times(history.RESUMED)],
        "stops": [event.text for event in times(history.STOPPED)],
        "warnings": list(dict.fromkeys(event.text for event in times(history.WARNED))),
    }


def table(courses: Sequence[dict[str, Any]]) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    """The courses as columns and rows of `parts.table`; without what is known of none of them."""
    columns: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
        ("Run", "text", lambda of: of["run"]),
        ("Steps", "count", lambda of: of["steps"]),
        ("Images per second", "%.0f", lambda of: of["images_per_second"]),
        ("Waited for data", "percent", lambda of: of["data_wait"]),
        ("Time", "%s", lambda of: None if of["seconds"] is None else duration(of["seconds"])),
        ("Starts", "count", lambda of: of["starts"]),
        (
            "Resumed at step",
            "%s",
            lambda of: ", ".join(map("{:,}".format, of["resumed_at"])) or None,
        ),
        ("Stopped", "text", lambda of: "; ".join(of["stops"]) or None),
    ]
    known = [column for column in columns if any(column[2](of) is not None for of in courses)]
    return [column[:2] for column in known], [[of(run) for _, _, of in known] for run in courses]


def _median(rows: Rows, name: str) -> float | None:
    values = [row[name] for row in rows if _is_there(row, name)]
    return statistics.median(values) if values else None
