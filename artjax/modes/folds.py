"""Cross-validation: every work is tested once, by a network that did not see it.

For collections that are too small for one split. Each fold is a run of its own in a folder of the
workdir. The predictions of all folds together are one score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import config as config_lib
from artjax.evaluation import baselines, ensemble, evaluate, metrics, report, second_scores
from artjax.modes.labels.of_folds import LabelsOfFolds
from artjax.places import Places
from artjax.runs import claim, runs_in
from artjax.runtime import mesh as mesh_lib
from artjax.train import Outcome, train
from artjax.training.checks import check_config
from artjax.training.optim import peak_lr

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def cross_validate(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
) -> Outcome:
    """Trains and evaluates every fold, then pools what each said of its test works.

    Folds that are finished are not trained again; one that was stopped is resumed. With
    `stop_after_steps` each fold stops after so many steps.

    Args:
      config: the configuration, with `folds` of 2 or more.
      places: the folders; the workdir holds `fold0/` …, each the workdir of a run, and
        `evaluation/folds/`.
      devices: as for `train`.
      stop_after_steps: as for `train`.

    Returns:
      Of a stopped fold its outcome; else `results` has what `evaluation/folds/metrics.json` holds, as
      `folds`.

    Raises:
      ArtjaxError: as `train` does.
    """
    check_config(config)
    config = config_lib.changed(config, {"optim.peak_lr": peak_lr(config.optim)})
    workdir = places.workdir
    with mesh_lib.first_process_first():
        claim(workdir, config)
    first = mesh_lib.is_first_process()
    step = 0
    for fold in range(config.folds):
        if first:
            print(f"fold {fold} of {config.folds}", flush=True)
        outcome = train(
            config_lib.changed(config, {"fold": fold}),
            places.with_workdir(workdir / f"fold{fold}"),
            devices=devices,
            stop_after_steps=stop_after_steps,
        )
        step += outcome.step
        if outcome.signal is not None:
            return outcome
    if stop_after_steps is not None and not outcome.finished:
        return outcome
    result = evaluate_folds(workdir, config.folds, places.data_dir, places.canvas_dir)
    if first:
        print("\n".join(report.report_lines(result)))
        print(f"written to {workdir / 'evaluation' / 'folds'}", flush=True)
    return Outcome(step, finished=True, results={"folds": result})


def evaluate_folds(
    workdir: Path,
    folds: int,
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    which: str = "best",
    views: int | None = None,
) -> dict[str, Any]:
    """Pools what the folds' networks say of their test works; writes `evaluation/folds/`.

    Args:
      workdir: of a cross-validation, or of a search with folds; it may have chosen ensembles.
      folds: number of folds.
      data_dir: the data directory now; default: where it was in training.
      canvas_dir: the folder for canvases now; default: where it was in training.
      which: the checkpoint of each fold, `best` or `last`.
      views: 1, 5 or 10 views of each work; default: as `eval.views` says.

    Returns:
      What `metrics.json` holds. It has the form of every other one; the baselines are means over the
      folds, weighted by their works, `by_fold` has the top-1 of each, and `suspected_labels` the number
      of labels that may be wrong, which `evaluation/folds-labels/` shows.

    Raises:
      WorkdirError: if a fold has no checkpoint, or the data has changed since training.
    """
    tables: list[str] = []
    pooled: dict[str, list[metrics.Predictions]] = {}
    by_fold: list[dict[str, Any]] = []
    labels = LabelsOfFolds()
    for fold in range(folds):
        runs = runs_in(workdir / f"fold{fold}")
        found = ensemble.predict_and_evaluate(
            runs, "test", which=which, data_dir=data_dir, canvas_dir=canvas_dir, views=views
        )
        classes, predictions = found.classes, found.predictions
        for task, (_, of_task) in predictions.items():
            pooled.setdefault(task, []).append(of_task)
        tables.append(report.predictions_csv(predictions, found.split, classes, fold))
        by_fold.append(found.result)
        labels.add(found)
    result = {
        "split": "folds",
        "checkpoint_step": None,
        "collection": by_fold[0]["collection"],
        "views": by_fold[0]["views"],
        "tasks": {
            task: _pooled(
                parts,
                [row["tasks"][task] for row in by_fold if task in row["tasks"]],
                classes[task],
            )
            for task, parts in pooled.items()
        },
    }
    for task, to_check in labels.write(workdir / "evaluation" / "folds-labels").items():
        result["tasks"][task]["suspected_labels"] = int(to_check.suspected.sum())
    headers, rows = zip(*(table.split("\n", 1) for table in tables), strict=True)
    table = f"{headers[0]}\n{''.join(rows)}"
    return evaluate.write_results(workdir / "evaluation" / "folds", result, table)


def _pooled(
    parts: Sequence[metrics.Predictions],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> dict[str, Any]:
    together = metrics.Predictions(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.log_probabilities for part in parts]),
        np.concatenate([part.work_ids for part in parts if part.work_ids is not None]),
    )
    weights = [row["n"] for row in rows]

    def mean(name: str) -> float | None:
        values = [row["baselines"][name] for row in rows]
        return None if None in values else float(np.average(values, weights=weights))

    return {
        **metrics.summary(together, names),
        "official_n": None,
        "baselines": {name: mean(name) for name in (*baselines.WORDS, *baselines.LOSS_WORDS)},
        "by_fold": [{"n": row["n"], "top1": row["top1"]} for row in rows],
        **second_scores.pooled(rows),
    }
