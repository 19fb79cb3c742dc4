"""Cross-validation: every work is tested once, by a network that did not see it.

For collections that are too small for one split. Each fold is a run of its own in a folder of the
workdir. The predictions of all folds together are one score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import folds as folds_lib
from artjax.evaluation import (
    baselines,
    curves,
    ensemble,
    evaluate,
    judging,
    metrics,
    painters,
    report,
    second_scores,
    source_facts,
)
from artjax.modes import parts as parts_lib
from artjax.modes.labels.of_folds import LabelsOfFolds
from artjax.modes.parts import Part, Tested, claimed, conclude, train_parts
from artjax.places import Places
from artjax.report.writing import Evaluation, wants_report, write_report
from artjax.runs import parts_of, read_config, runs_in
from artjax.train import Outcome, train

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
      `folds`. With `eval.test` as `never` nothing is pooled, and there are no results.

    Raises:
      ArtjaxError: as `train` does.
    """
    config = parts_lib.checked(config)
    parts = [
        Part(name, f"fold {fold} of {config.folds}", config_lib.changed(config, {"fold": fold}))
        for fold, name in enumerate(parts_of(config))
    ]
    with claimed(places.workdir, config):
        outcome = train_parts(train, parts, places, devices, stop_after_steps)
    if not outcome.finished:
        return outcome

    def evaluated() -> dict[str, Any]:
        return evaluate_folds(places.workdir, config.folds, places.data_dir, places.canvas_dir)

    return replace(outcome, results=conclude("folds", config, places, evaluated))


def evaluate_folds(
    workdir: Path,
    folds: int,
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    which: str = "best",
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Pools what the folds' networks say of their test works; writes `evaluation/folds/` and the report.

    Those of the last checkpoints are written to `evaluation/folds-last/`.

    Args:
      workdir: of a cross-validation, or of a search with folds; it may have chosen ensembles.
      folds: number of folds.
      data_dir: the data directory now; default: where it was in training.
      canvas_dir: the folder for canvases now; default: where it was in training.
      which: the checkpoint of each fold, `best` or `last`.
      views: 1, 5 or 10 views of each work; default: as `eval.views` says.
      settings: fields of `eval` in place of the runs' own; see `evaluate.evaluate_workdir`.
      say: gets the line about the report.

    Returns:
      What `metrics.json` holds. It has the form of every other one; the baselines are means over the
      folds, weighted by their works, `by_fold` has the top-1 of each, and `suspected_labels` the number
      of labels that may be wrong, which `evaluation/folds-labels/` shows. `never_tested` is the number
      of pictures with contradicting labels.

    Raises:
      WorkdirError: if a fold has no checkpoint, or the data has changed since training.
    """
    given = {"data_dir": data_dir, "canvas_dir": canvas_dir, "which": which}
    tested = pool_folds(workdir, folds, given, views, settings)
    runs = runs_in(workdir)
    config = read_config(runs[0])
    if wants_report(config, settings):
        name = evaluate.folder_of(workdir, "folds", which).name
        write_report(Evaluation(workdir, name, tested.result, tested.parts, runs, which), say)
    return tested.result


def pool_folds(
    workdir: Path,
    folds: int,
    given: Mapping[str, Any],
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Tested:
    """As `evaluate_folds`; `given` has `which`, `data_dir` and `canvas_dir`."""
    tables: list[str] = []
    pooled: dict[str, list[metrics.Predictions]] = {}
    file_names: dict[str, list[np.ndarray]] = {}
    of_folds: list[evaluate.Evaluated] = []
    labels = LabelsOfFolds()
    for fold in range(folds):
        runs = runs_in(workdir / f"fold{fold}")
        of_fold = ensemble.predict_and_evaluate(
            runs, "test", ensemble.Given(**given), views, settings
        )
        for task, (known, of_task) in of_fold.predictions.items():
            pooled.setdefault(task, []).append(of_task)
            file_names.setdefault(task, []).append(of_fold.split.file_names[known])
        classes = of_fold.classes
        tables.append(report.predictions_csv(of_fold.predictions, of_fold.split, classes, fold))
        of_folds.append(of_fold)
        labels.add(of_fold)
    by_fold = [of.result for of in of_folds]
    config = read_config(runs[0])
    assert config is not None
    features = config_lib.label_features(config)
    result = {
        "split": "folds",
        "checkpoint_step": None,
        "collection": by_fold[0]["collection"],
        "views": by_fold[0]["views"],
        "cluster_by": by_fold[0]["cluster_by"],
        "never_tested": folds_lib.contradicting(of_fold.data, features),
        "tasks": {
            task: _pooled(
                parts,
                [row["tasks"][task] for row in by_fold if task in row["tasks"]],
                classes[task],
            )
            for task, parts in pooled.items()
        },
    }
    labels_folder = evaluate.folder_of(workdir, "folds-labels", given["which"])
    result["labels_page"] = str(labels_folder.relative_to(workdir) / "index.html")
    for task, to_check in labels.write(labels_folder).items():
        result["tasks"][task]["suspected_labels"] = int(to_check.suspected.sum())
    headers, rows = zip(*(table.split("\n", 1) for table in tables), strict=True)
    table = f"{headers[0]}\n{''.join(rows)}"
    look = of_fold.look  # that of any fold is that of all
    assert look is not None
    target = evaluate.folder_of(workdir, "folds", given["which"])
    together = {task: metrics.joined(of_task) for task, of_task in pooled.items()}
    drawn = curves.tables(together, classes)
    result = evaluate.write_results(target, result, table, look, drawn)
    return Tested(
        {task: np.concatenate(of_task) for task, of_task in file_names.items()},
        together,
        result,
        table,
        look,
        of_folds,
    )


def _pooled(
    parts: Sequence[metrics.Predictions],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> dict[str, Any]:
    together = metrics.joined(parts)
    weights = [row["n"] for row in rows]

    def mean(name: str) -> float | None:
        values = [row["baselines"][name] for row in rows]
        return None if None in values else float(np.average(values, weights=weights))

    return {
        **metrics.summary(together, names),
        "official_n": None,
        "baselines": {name: mean(name) for name in (*baselines.WORDS, *baselines.LOSS_WORDS)},
        "source_facts": source_facts.pooled(rows),
        "by_fold": [{"n": row["n"], "top1": row["top1"]} for row in rows],
        **judging.pooled(rows),
        **second_scores.pooled(rows),
        **painters.pooled(rows),
    }
