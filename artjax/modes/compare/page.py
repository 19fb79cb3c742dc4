"""The page of `--mode compare`: numbers, curves, and the works that only one run names rightly."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax import pages
from artjax.data.canvases import Canvases
from artjax.data.splits import SPLITS
from artjax.errors import ConfigError
from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions
from artjax.files import json_text
from artjax.modes.compare import comparing
from artjax.modes.compare.comparing import Pair, Recipes
from artjax.pages import charts
from artjax.pages.charts import Chart, Line, line_chart
from artjax.pages.pictures import write_pictures
from artjax.runs import whole_of
from artjax.training.logs import read_rows

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_KIND = "artjax comparison"
_MOST_PAIRS = 6  # whose works are shown as pictures; works.csv has all
_MOST_WORKS = 12  # of each side


class Comparison(NamedTuple):
    """All that the page shows; lists are in the order of the runs."""

    workdirs: Sequence[Path]
    names: Sequence[str]
    configs: Sequence[ConfigDict]
    predictions: Sequence[Mapping[str, Predictions]]
    file_names: Mapping[str, np.ndarray]
    classes: Mapping[str, Sequence[str]]
    pairs: Sequence[Pair]
    recipes: Sequence[Recipes]
    members: Sequence[Sequence[int]]


class _Work(NamedTuple):
    """A work that only one of two runs names rightly."""

    file_name: str
    label: str
    probability: float
    other: str
    other_probability: float


def check_folder(folder: Path) -> None:
    """Raises `ConfigError` if a folder holds something that this mode has not written."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        mine = json.loads((folder / "summary.json").read_text())["kind"] == _KIND
    except (OSError, ValueError, KeyError, TypeError):
        mine = False
    if not mine:
        raise ConfigError(
            f"{folder} is there and is not a comparison; the page would replace it: name another --out"
        )


def short_names(workdirs: Sequence[Path]) -> list[str]:
    """Names that tell workdirs apart: their last parts, as many as it takes.

    A seed is never named alone: `seed0` would not say of what.
    """
    parts = [workdir.absolute().parts for workdir in workdirs]
    fewest = 2 if any(whole_of(workdir) != workdir for workdir in workdirs) else 1
    for count in range(fewest, max(map(len, parts))):
        names = ["/".join(of[-count:]) for of in parts]
        if len(set(names)) == len(names):
            return names
    return [str(workdir) for workdir in workdirs]


def write(folder: Path, of: Comparison, data: Canvases) -> None:
    """Writes `index.html`, its pictures, `summary.json` and `works.csv`, in place of an older folder.

    Raises:
      WorkdirError: if they cannot be written.
    """
    labels = config_lib.label_features(of.configs[0])
    splits = {name: data.split(name, labels) for name in SPLITS}
    shown = [(pair, _works(of, pair)) for pair in of.pairs[:_MOST_PAIRS]]
    wanted = {work.file_name for _, sides in shown for side in sides for work in side}
    summary = {
        "kind": _KIND,
        "runs": [
            {"workdir": str(workdir), "name": name, "tasks": _scores(own)}
            for workdir, name, own in zip(of.workdirs, of.names, of.predictions, strict=True)
        ],
        "pairs": [pair._asdict() for pair in of.pairs],
        "recipes": [recipe._asdict() for recipe in of.recipes],
        "recipes_runs": [list(members) for members in of.members],
        "differences": differences(of.configs),
    }
    with pages.replaced_folder(folder) as new:
        (new / "pictures").mkdir()
        pictures = write_pictures(data, splits, wanted, data.image_feature, new / "pictures")
        html = pages.render(
            "modes/compare/page.html",
            collection=data.prepared.name,
            names=of.names,
            runs=summary["runs"],
            pairs=of.pairs,
            recipes=of.recipes,
            members=of.members,
            warnings=comparing.warnings_of(of.pairs),
            differences=summary["differences"],
            plots=_plots(of),
            size=(charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.BOTTOM),
            shown=shown,
            more=len(of.pairs) > _MOST_PAIRS,
            pictures=pictures,
            points=comparing.points,
        )
        (new / "index.html").write_text(html, encoding="utf-8")
        (new / "summary.json").write_text(json_text(summary), encoding="utf-8")
        (new / "works.csv").write_text(_table(of), encoding="utf-8")


def _scores(of_run: Mapping[str, Predictions]) -> dict[str, dict[str, float]]:
    return {
        task: {"top1": metrics.top1(own), "macro_f1": metrics.macro_f1(own), "n": len(own.labels)}
        for task, own in of_run.items()
    }


def differences(configs: Sequence[ConfigDict]) -> dict[str, list[str]]:
    """The fields in which any run differs from the first: by name, the value of each run."""
    flat = [dict(config_lib.leaves(config)) for config in configs]
    names = sorted({name for of_run in flat for name in of_run})
    values = {name: [str(of_run.get(name, "absent")) for of_run in flat] for name in names}
    return {name: of for name, of in values.items() if len(set(of)) > 1}


def _works(of: Comparison, pair: Pair) -> tuple[list[_Work], list[_Work]]:
    """The works that only the first names rightly, and the reverse; the largest differences first."""
    a, b = (of.predictions[number][pair.task] for number in (pair.first, pair.second))
    names, files = of.classes[pair.task], of.file_names[pair.task]

    def only(one: Predictions, other: Predictions) -> list[_Work]:
        rows = np.arange(len(one.labels))
        found = (one.predicted == one.labels) & (other.predicted != other.labels)
        shares = [np.nan_to_num(np.exp(x.log_probabilities)) for x in (one, other)]
        lead = shares[0][rows, one.labels] - shares[1][rows, one.labels]
        chosen = sorted(np.flatnonzero(found).tolist(), key=lambda i: -lead[i])[:_MOST_WORKS]
        return [
            _Work(
                str(files[i]),
                names[one.labels[i]],
                float(shares[0][i, one.labels[i]]),
                names[other.predicted[i]] if other.finite[i] else "nothing",
                float(shares[1][i].max()),
            )
            for i in chosen
        ]

    return only(a, b), only(b, a)


def _table(of: Comparison) -> str:
    """A row for each work and task: its label, and what each run says."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    said = [f"{what} ({name})" for name in of.names for what in ("predicted", "probability")]
    writer.writerow(["file_name", "task", "label", *said])
    for task, files in of.file_names.items():
        if task not in of.predictions[0]:
            continue
        names, runs = of.classes[task], [own[task] for own in of.predictions]
        for i, file in enumerate(files):
            cells = []
            for own in runs:
                guess = own.predicted[i]
                share = repr(float(np.exp(own.log_probabilities[i, guess])))
                cells += [names[guess], share] if own.finite[i] else ["", ""]
            writer.writerow([file, task, names[runs[0].labels[i]], *cells])
    return text.getvalue()


def _plots(of: Comparison) -> list[Chart]:
    """Loss and top-1 over steps, of train and validation, the runs over each other."""
    rows = [list(read_rows(workdir)) for workdir in of.workdirs]  # of folds there are none
    ends = ("/loss", "/top1")
    columns = sorted(
        {key for of_run in rows for row in of_run for key in row if key.endswith(ends)},
        key=lambda key: (not key.endswith("/loss"), key),
    )
    found = [_plot(column, of.names, rows) for column in columns]
    return [chart for chart in found if chart is not None]


def _plot(
    column: str, names: Sequence[str], rows: Sequence[Sequence[Mapping[str, Any]]]
) -> Chart | None:
    lines = [
        Line(name, f"run{number}", [(row["step"], row[column]) for row in of_run if column in row])
        for number, (name, of_run) in enumerate(zip(names, rows, strict=True))
    ]
    is_share = column.endswith("top1")
    return line_chart(
        column.replace("/", " "),
        lines,
        "{:.0%}" if is_share else "{:.2f}",
        limits=(0.0, 1.0) if is_share else None,
    )
