"""Evaluates a checkpoint on a split: every work exactly once, with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.canvases import Canvases
from artjax.data.prepared import Prepared
from artjax.data.splits import SPLITS
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.evaluation import baselines, metrics
from artjax.evaluation.colour_histograms import kept_colour_baseline
from artjax.evaluation.report import predictions_csv
from artjax.evaluation.second_scores import second_scores
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.files import finite, json_text, write_atomically
from artjax.runs import OpenRun, open_run, seen
from artjax.runs.seen import LearntFrom
from artjax.runtime.mesh import is_first_process
from artjax.training.network import Network

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict

TaskPredictions = dict[str, tuple[np.ndarray, metrics.Predictions]]
"""For each task: the indices of the works whose label is known, int [N], and their predictions."""


def check_split(split: str) -> None:
    """Raises `ConfigError` if there is no such split."""
    if split not in SPLITS:
        raise ConfigError(
            f"--split {split}: valid are {', '.join(SPLITS)}{config_lib.nearest(split, SPLITS)}"
        )


def evaluate_workdir(
    workdir: Path,
    split: str,
    *,
    which: str = "best",
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    views: int | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint of a workdir on a split and writes `evaluation/<split>/`.

    Args:
      workdir: the folder of a run.
      split: `train`, `validation` or `test`.
      which: the checkpoint, `best` by validation or `last`.
      data_dir: the present data directory, if it differs from that of training.
      canvas_dir: the present folder for canvases, if it differs. Without room for canvases there,
        images are streamed.
      views: 1, 5 or 10 views of each work; default: as the run's `eval.views` says.

    Returns:
      The contents of `metrics.json`.

    Raises:
      ConfigError: for an unknown split or checkpoint, or another number of views.
      WorkdirError: if there is no checkpoint, or the run was trained on other data.
      DataError: if the data cannot be found.
    """
    check_split(split)
    return evaluate_split(open_run(workdir, which, data_dir, canvas_dir), split, views)


def evaluate_split(opened: OpenRun, name: str, views: int | None = None) -> dict[str, Any]:
    """Evaluates a run on one split; writes `metrics.json` and `predictions.csv`."""
    return predict_and_evaluate(opened, name, views)[2]


def predict_and_evaluate(
    opened: OpenRun, name: str, views: int | None = None
) -> tuple[Split, TaskPredictions, dict[str, Any]]:
    """As `evaluate_split`; returns the split and what `predict_split` gave as well."""
    run, data = opened.run, opened.data
    views = number_of_views(run.config, views)
    splits = open_splits(run.config, data, name)
    split = splits[name]
    predictions = predict_works(opened, split, views)
    learnt_from = seen.of_weights(run.workdir, run.record)
    result = {
        "split": name,
        "checkpoint_step": run.step,
        "collection": f"{data.prepared.name}/{data.prepared.version}",
        "views": views,
        "tasks": scores(predictions, data, splits, name, run.classes, learnt_from),
    }
    table = predictions_csv(predictions, split, run.classes)
    return split, predictions, write_results(run.workdir / "evaluation" / name, result, table)


def open_splits(config: ConfigDict, data: Canvases, name: str) -> dict[str, Split]:
    """The splits that `scores` needs, by name: for train only this one, for others all of them."""
    labels = config_lib.label_features(config)
    needed = ("train",) if name == "train" else SPLITS
    return {other: data.split(other, labels) for other in needed}


def predict_works(opened: OpenRun, split: Split, views: int) -> TaskPredictions:
    """Predicts all works of a split, from the features of the run where it has some.

    Features are of one view. For several, the trunk is computed on the images.
    """
    features = None if views > 1 else opened.features
    seen = features.seen(split) if features else split
    return predict_split(opened.run.network, opened.run.variables, seen, views)


def scores(
    predictions: TaskPredictions,
    data: Canvases,
    splits: Mapping[str, Split],
    name: str,
    classes: Mapping[str, Sequence[str]],
    learnt_from: LearntFrom | None = None,
) -> dict[str, dict[str, Any]]:
    """What `metrics.json` has for each task: metrics of predictions, and the baselines.

    Args:
      predictions: of the works of a split.
      data: the data to which the split belongs.
      splits: as from `open_splits`.
      name: of the split that was predicted.
      classes: class names, by task.
      learnt_from: the works that the pretrained weights of a run have learnt from; None for weights that
        are not those of a run.
    """
    split = splits[name]
    colours, left_out = {}, {}
    if name != "train":  # on its own works, a fit says nothing
        colours = {task: kept_colour_baseline(data, splits, task) for task in predictions}
        left_out = _left_out(data, split, learnt_from)
    tasks = summarise(predictions, split, splits["train"], data.prepared, left_out, classes)
    for task, row in tasks.items():
        colour = colours.get(task)
        row["baselines"]["colour_histograms"] = colour and colour[f"{name}_top1"]
    return tasks


def _left_out(
    data: Canvases, split: Split, learnt_from: LearntFrom | None
) -> dict[str, np.ndarray | None]:
    """Which works of a split each second score leaves out; see `second_scores`."""
    left_out: dict[str, np.ndarray | None] = {}
    duplicated = data.duplicated_in_train(split.name)
    if duplicated is not None:
        left_out["without_near_duplicates"] = np.isin(split.file_names, sorted(duplicated))
    if learnt_from is not None:
        by_weights = learnt_from.seen(data, split)
        left_out["unseen_by_weights"] = None if by_weights.unknown else by_weights.pictures
    return left_out


def write_results(folder: Path, result: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Writes `metrics.json` and `predictions.csv`, in process 0.

    Returns:
      The result as it is written. JSON has no nan and no infinity, so None takes their place.
    """
    written: dict[str, Any] = finite(result)
    if is_first_process():
        write_atomically(folder / "predictions.csv", table)
        write_atomically(folder / "metrics.json", json_text(written, sort_keys=True))
    return written


def predict_split(
    network: Network, variables: Mapping[str, Any], split: Split, views: int = 1
) -> TaskPredictions:
    """Predicts all works of a split, as the mean of the probabilities of 1, 5 or 10 views of each.

    Args:
      network: the network.
      variables: whole ones.
      split: the works; its images may be features.
      views: 1, 5 or 10.
    """
    collected: dict[str, list[np.ndarray]] = {task: [] for task in split.labels}
    sharding = network.batch_sharding
    for real, batch in batches.evaluation_batches(split, network.eval_batch_size, sharding):
        for task, logits in logits_of_views(network, variables, batch, views).items():
            collected[task].append(logits[: len(real)])
    result = {}
    for task, batch_logits in collected.items():
        known = np.flatnonzero(split.labels[task] >= 0)
        log_probabilities = metrics.log_softmax(np.concatenate(batch_logits)[known])
        ids = split.work_ids[known] if len(split.work_ids) else None
        labels = split.labels[task][known]
        result[task] = known, metrics.Predictions(labels, log_probabilities, ids)
    return result


def summarise(
    predictions: TaskPredictions,
    split: Split,
    train: Split,
    prepared: Prepared,
    left_out: Mapping[str, np.ndarray | None] = MappingProxyType({}),
    classes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Computes the metrics in `metrics.json` for each task. Tasks without known labels are left out.

    Args:
      predictions: as from `predict_split`.
      split: the works that were predicted.
      train: the training split, for the baselines.
      prepared: the prepared set, for the size of the official split.
      left_out: by the name of a second score, whether it leaves out each work of the split, bool [N];
        see `second_scores`.
      classes: class names, by task, for the numbers of each class; None leaves these out.
    """
    tasks = {}
    for task, (known, of_task) in predictions.items():
        if not len(known):
            continue
        tasks[task] = {
            **metrics.summary(of_task, classes[task] if classes else None),
            "official_n": prepared.official_works(split.name),
            "baselines": baselines.baselines(
                train.labels[task], of_task.labels, of_task.log_probabilities.shape[1]
            ),
            **second_scores(
                of_task,
                {name: None if out is None else out[known] for name, out in left_out.items()},
            ),
        }
    return tasks
