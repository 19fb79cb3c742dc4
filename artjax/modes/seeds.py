"""Several seeds of one recipe: how well it does, and how much of that is the luck of one training."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import config as config_lib
from artjax.evaluation import baselines, ensemble, evaluate, metrics, recipe
from artjax.files import write_atomically
from artjax.modes import parts as parts_lib
from artjax.modes.folds import cross_validate, pool_folds
from artjax.modes.parts import Part, Tested, claimed, conclude, on_test, train_parts
from artjax.places import Places
from artjax.runs import is_cross_validation, is_several_seeds, open_run, parts_of, read_config
from artjax.runs.workdir import config_file
from artjax.runtime import mesh as mesh_lib
from artjax.train import Outcome, train

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def train_any(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
) -> Outcome:
    """Trains what a configuration stands for: several seeds, all folds, or a single run; as `train`."""
    given: Any = {"devices": devices, "stop_after_steps": stop_after_steps}
    if is_several_seeds(config):
        return train_seeds(config, places, **given)
    if is_cross_validation(config):
        return cross_validate(config, places, **given)
    return train(config, places, **given)


def train_seeds(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
) -> Outcome:
    """Trains and evaluates a run, or a cross-validation, for each seed; then the recipe as a whole.

    Seeds that are finished are not trained again; one that was stopped is resumed. More seeds may be
    added later.

    Args:
      config: the configuration, with two or more `seeds`.
      places: the folders; the workdir holds `seed0/` …, each a workdir of its own, and
        `evaluation/seeds/`.
      devices: as for `train`.
      stop_after_steps: as for `train`.

    Returns:
      Of a stopped run its outcome; else `results` has what `evaluation/seeds/metrics.json` holds, as
      `seeds`. With `eval.test` as `never` there are no results.

    Raises:
      ArtjaxError: as `train` does.
    """
    config = parts_lib.checked(config)
    _let_grow(places.workdir, config)
    parts = [
        Part(
            name,
            f"seed {seed}, {number} of {len(config.seeds)}",
            config_lib.changed(config, {"seed": seed, "seeds": ()}),
        )
        for number, (seed, name) in enumerate(zip(config.seeds, parts_of(config), strict=True), 1)
    ]
    with claimed(places.workdir, config):
        outcome = train_parts(train_any, parts, places, devices, stop_after_steps)
    if not outcome.finished:
        return outcome

    def evaluated() -> dict[str, Any]:
        return evaluate_seeds(places.workdir, places.data_dir, places.canvas_dir)

    return replace(
        outcome, results=conclude("seeds", config, places, evaluated, recipe.report_lines)
    )


def _let_grow(workdir: Path, config: ConfigDict) -> None:
    """Gives a workdir more seeds, if nothing else in its configuration differs."""
    with mesh_lib.first_process_first():
        previous = read_config(workdir)
        if previous is None or not set(previous.seeds) < set(config.seeds) or not previous.seeds:
            return
        grown = config_lib.changed(previous, {"seeds": config.seeds})
        if mesh_lib.is_first_process() and not config_lib.differences(grown, config):
            write_atomically(config_file(workdir), config_lib.to_json(grown))


def evaluate_seeds(
    workdir: Path,
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    which: str = "best",
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates the runs of all seeds on the test works; writes `evaluation/seeds/`.

    Those of the last checkpoints are written to `evaluation/seeds-last/`.

    Args:
      workdir: of `train_seeds`.
      data_dir: the data directory now; default: where it was in training.
      canvas_dir: the folder for canvases now; default: where it was in training.
      which: the checkpoint of each run, `best` or `last`.
      views: 1, 5 or 10 views of each work; default: as `eval.views` says.
      settings: fields of `eval` in place of the runs' own; see `evaluate.evaluate_workdir`.

    Returns:
      What `metrics.json` holds. For each task: the means of all metrics; `top1_deviation`, the standard
      deviation of top-1 over the seeds; `top1_ci95`, the interval of the recipe (see `recipe.score`);
      `top1_works_share`, the share of its variance that comes from the works; `ensemble_top1`, that of
      the mean of the probabilities, None with folds; the means of the baselines; and `by_seed`.

    Raises:
      WorkdirError: if a run has no checkpoint, or the data has changed since training.
    """
    config = read_config(workdir)
    assert config is not None
    given: Any = {"data_dir": data_dir, "canvas_dir": canvas_dir, "which": which}
    runs: list[Tested] = []
    for name in parts_of(config):
        if config.folds:
            runs.append(pool_folds(workdir / name, config.folds, given, views, settings))
        else:
            runs.append(on_test(open_run(workdir / name, **given), views, settings))
    first = runs[0]
    tasks = first.result["tasks"]
    result = {
        "split": "seeds",
        "checkpoint_step": None,
        "collection": first.result["collection"],
        "views": first.result["views"],
        "folds": config.folds,
        "seeds": list(config.seeds),
        "tasks": {task: _of_task(task, config.seeds, runs, config.folds) for task in tasks},
    }
    table = _with_seeds(config.seeds, [run.table for run in runs])
    folder = evaluate.folder_of(workdir, "seeds", which)
    return evaluate.write_results(folder, result, table, first.look)


def _of_task(task: str, seeds: Sequence[int], runs: Sequence[Tested], folds: int) -> dict[str, Any]:
    rows = [run.result["tasks"][task] for run in runs]
    # Other seeds cut other folds, so the works come in another order.
    order = [np.argsort(run.file_names[task], kind="stable").tolist() for run in runs]
    predictions = [
        run.predictions[task].only(of_run) for run, of_run in zip(runs, order, strict=True)
    ]
    right = np.stack([of_run.predicted == of_run.labels for of_run in predictions])
    of_recipe = recipe.score(right, predictions[0].groups)
    of_runs = ("seed", "n", "top1", "top1_ci95", "loss")
    return {
        **{name: rows[0][name] for name in ("n", "works", "classes", "labelled_classes")},
        "official_n": rows[0]["official_n"],
        **{name: _mean([row[name] for row in rows]) for name in metrics.METRICS},
        "top1": of_recipe.mean,
        "top1_deviation": of_recipe.deviation,
        "top1_ci95": list(of_recipe.interval),
        "top1_works_share": of_recipe.works_share,
        "ensemble_top1": None if folds else metrics.top1(ensemble.mean_predictions(predictions)),
        "baselines": {
            name: _mean([row["baselines"][name] for row in rows])
            for name in (*baselines.WORDS, *baselines.LOSS_WORDS)
        },
        "by_seed": [
            {name: (row | {"seed": seed})[name] for name in of_runs}
            for seed, row in zip(seeds, rows, strict=True)
        ],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _with_seeds(seeds: Sequence[int], tables: Sequence[str]) -> str:
    """The predictions of all runs in one table, with a column `seed`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, (seed, table) in enumerate(zip(seeds, tables, strict=True)):
        header, *rows = csv.reader(io.StringIO(table))
        if not number:
            writer.writerow([*header, "seed"])
        writer.writerows([*row, seed] for row in rows)
    return text.getvalue()
