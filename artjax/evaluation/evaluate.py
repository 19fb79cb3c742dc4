"""Evaluates a checkpoint on a split: every work exactly once, with a confidence interval."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import batches, canvases
from artjax.data.canvases import Canvases, Split
from artjax.data.folds import fold_of
from artjax.data.prepared import Prepared
from artjax.data.splits import SPLITS
from artjax.errors import ConfigError, WorkdirError
from artjax.evaluation import baselines, metrics
from artjax.evaluation.colour_histograms import kept_colour_baseline
from artjax.evaluation.report import predictions_csv
from artjax.evaluation.views import logits_of_views, number_of_views
from artjax.runtime.mesh import create_mesh, is_first_process
from artjax.training import frozen
from artjax.training.checkpoint import Checkpoints
from artjax.training.experiment import Experiment
from artjax.training.features import Features
from artjax.workdir import write_atomically

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict

CHECKPOINTS = ("best", "last")

TaskPredictions = dict[str, tuple[np.ndarray, metrics.Predictions]]
"""For each task: the indices of the works whose label is known, int [N], and their predictions."""


class Restored(NamedTuple):
    """A model restored from a checkpoint, with the record of the checkpoint."""

    experiment: Experiment
    variables: dict[str, Any]
    step: int
    record: dict[str, Any]


def restore(workdir: Path, which: str = "best") -> Restored:
    """Restores a model from a checkpoint of a workdir. Nothing but the workdir is needed.

    Args:
      workdir: the folder of a run.
      which: `best` by validation, or `last`.

    Raises:
      ConfigError: if `which` is neither of them.
      WorkdirError: if there is no checkpoint, or it cannot be read.
    """
    checkpoints, step, record = open_checkpoint(workdir, which)
    config = config_lib.from_json(json.dumps(record["config"]))
    classes = {task: len(names) for task, names in record["classes"].items()}
    # The present number of devices may not be divisible by the run's `fsdp`.
    mesh = create_mesh(math.gcd(config.fsdp, jax.device_count()))
    experiment = Experiment(config, classes, record["train_works"], mesh)
    variables = checkpoints.restore_variables(step, experiment.abstract_state)
    experiment.frozen = frozen.load(workdir, experiment)
    checkpoints.close()
    return Restored(experiment, variables, step, record)


def open_checkpoint(workdir: Path, which: str) -> tuple[Checkpoints, int, dict[str, Any]]:
    """Opens the checkpoints of a workdir; returns them, and step and record of the chosen one.

    Raises:
      ConfigError: if `which` is neither `best` nor `last`.
      WorkdirError: if there is no checkpoint, or its record cannot be read.
    """
    if which not in CHECKPOINTS:
        raise ConfigError(f"--checkpoint {which}: valid are {', '.join(CHECKPOINTS)}")
    checkpoints = Checkpoints(workdir, read_only=True)
    step = checkpoints.best_step if which == "best" else checkpoints.latest_step
    assert step is not None  # `Checkpoints` refuses to read a workdir without checkpoints
    return checkpoints, step, checkpoints.record(step)


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
      canvas_dir: the present folder for canvases, likewise. Without room for canvases there, images are
        streamed.
      views: 1, 5 or 10 views of each work; default: as the run's `eval.views` says.

    Returns:
      The contents of `metrics.json`.

    Raises:
      ConfigError: for an unknown split or checkpoint, or another number of views.
      WorkdirError: if there is no checkpoint, or the run was trained on other data.
      DataError: if the data cannot be found.
    """
    check_split(split)
    restored, data = open_workdir(workdir, which, data_dir, canvas_dir)
    return evaluate_split(workdir, restored, data, split, views)


def open_workdir(
    workdir: Path, which: str, data_dir: Path | None = None, canvas_dir: Path | None = None
) -> tuple[Restored, Canvases]:
    """Restores a checkpoint of a workdir and opens the data that it was trained with.

    Raises:
      ConfigError: for an unknown checkpoint.
      WorkdirError: if there is no checkpoint, or the data has changed since training.
      DataError: if the data cannot be found.
    """
    restored = restore(workdir, which)
    record, config = restored.record, restored.experiment.config
    request = canvases.Request(**config_lib.collection_settings(config))
    if request.source != "stream":
        # The source of the run does not matter here. `auto` streams if there is no room for canvases.
        request = replace(request, source="auto")
    data_dir, canvas_dir = where_data_is(record, data_dir, canvas_dir)
    data = canvases.open_collection(request, data_dir, canvas_dir)
    check_same_data(workdir, record, data.prepared)
    restored = restored._replace(record=record | {"data_dir": str(data_dir)})
    return restored, fold_of(data, config.folds, config.fold) if config.folds else data


def evaluate_split(
    workdir: Path, restored: Restored, data: Canvases, name: str, views: int | None = None
) -> dict[str, Any]:
    """Evaluates a restored model on one split; writes `metrics.json` and `predictions.csv`."""
    return predict_and_evaluate(workdir, restored, data, name, views)[2]


def features_of(
    experiment: Experiment, record: Mapping[str, Any], data: Canvases
) -> Features | None:
    """The features that a run with `features.views` trains and is evaluated on; else None."""
    if not experiment.config.features.views:
        return None
    recorded = record.get("feature_dir")
    root = Path(recorded) if recorded else Path(record["data_dir"]) / "features"
    return Features(experiment, data, root)


def predict_and_evaluate(
    workdir: Path, restored: Restored, data: Canvases, name: str, views: int | None = None
) -> tuple[Split, TaskPredictions, dict[str, Any]]:
    """As `evaluate_split`; returns the split and what `predict_split` gave as well."""
    config, classes = restored.experiment.config, restored.record["classes"]
    views = number_of_views(config, views)
    splits = open_splits(config, data, name)
    split = splits[name]
    predictions = predict_works(restored, data, split, views)
    result = {
        "split": name,
        "checkpoint_step": restored.step,
        "collection": f"{data.prepared.name}/{data.prepared.version}",
        "views": views,
        "tasks": scores(predictions, data, splits, name, classes),
    }
    table = predictions_csv(predictions, split, classes)
    return split, predictions, write_results(workdir / "evaluation" / name, result, table)


def open_splits(config: ConfigDict, data: Canvases, name: str) -> dict[str, Split]:
    """The splits that `scores` needs, by name: for train only this one, for others all of them."""
    labels = config_lib.label_features(config)
    needed = ("train",) if name == "train" else SPLITS
    return {other: data.split(other, labels) for other in needed}


def predict_works(restored: Restored, data: Canvases, split: Split, views: int) -> TaskPredictions:
    """Predicts all works of a split, from the features of the run where it has some.

    Features are of one view. For several, the trunk is computed on the images.
    """
    features = None if views > 1 else features_of(restored.experiment, restored.record, data)
    seen = features.seen(split) if features else split
    return predict_split(restored.experiment, restored.variables, seen, views)


def scores(
    predictions: TaskPredictions,
    data: Canvases,
    splits: Mapping[str, Split],
    name: str,
    classes: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, Any]]:
    """What `metrics.json` has for each task: metrics of predictions, and the baselines.

    Args:
      predictions: of the works of a split.
      data: the data to which the split belongs.
      splits: as from `open_splits`.
      name: of the split that was predicted.
      classes: class names, by task.
    """
    split = splits[name]
    colours, duplicated = {}, None
    if name != "train":  # on its own works, a fit says nothing
        colours = {task: kept_colour_baseline(data, splits, task) for task in predictions}
        duplicated = data.duplicated_in_train(name)
    tasks = summarise(predictions, split, splits["train"], data.prepared, duplicated, classes)
    for task, row in tasks.items():
        colour = colours.get(task)
        row["baselines"]["colour_histograms"] = colour and colour[f"{name}_top1"]
    return tasks


def write_results(folder: Path, result: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Writes `metrics.json` and `predictions.csv`, in process 0.

    Returns:
      The result as it is written. JSON has no nan and no infinity, so None takes their place.
    """
    written: dict[str, Any] = _finite(result)
    if is_first_process():
        write_atomically(folder / "predictions.csv", table)
        text = json.dumps(written, indent=2, sort_keys=True, allow_nan=False)
        write_atomically(folder / "metrics.json", f"{text}\n")
    return written


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def predict_split(
    experiment: Experiment, variables: Mapping[str, Any], split: Split, views: int = 1
) -> TaskPredictions:
    """Predicts all works of a split, as the mean of the probabilities of 1, 5 or 10 views of each."""
    collected: dict[str, list[np.ndarray]] = {task: [] for task in split.labels}
    sharding = experiment.batch_sharding
    for real, batch in batches.evaluation_batches(split, experiment.eval_batch_size, sharding):
        for task, logits in logits_of_views(experiment, variables, batch, views).items():
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
    duplicated: Collection[str] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Computes the metrics in `metrics.json` for each task. Tasks without known labels are left out.

    Args:
      predictions: as from `predict_split`.
      split: the works that were predicted.
      train: the training split, for the baselines.
      prepared: the prepared set, for the size of the official split.
      duplicated: file names of the works that have a near-duplicate in the training split; None if
        the set has no list of near-duplicates.
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
        }
        if duplicated is not None:
            unique = [i for i, k in enumerate(known) if split.file_names[k] not in duplicated]
            without = of_task.only(unique)
            tasks[task] |= {
                "n_without_near_duplicates": len(unique),
                "top1_without_near_duplicates": metrics.top1(without) if unique else None,
            }
    return tasks


def latest_record(workdir: Path) -> dict[str, Any]:
    """The record of a workdir's last checkpoint; `{}` if it has none."""
    try:
        checkpoints = Checkpoints(workdir, read_only=True)
    except WorkdirError:
        return {}
    with closing(checkpoints):
        for step in reversed(checkpoints.steps):
            with suppress(WorkdirError):  # a damaged one; training reports it
                return checkpoints.record(step)
    return {}


def recorded_config(workdir: Path) -> ConfigDict | None:
    """The configuration of a workdir's checkpoints; None if it has none, or a `config.json`."""
    if (workdir / "config.json").is_file():
        return None  # which says it, without opening the checkpoints once more
    record = latest_record(workdir)
    return config_lib.from_json(json.dumps(record["config"])) if record else None


def where_data_is(
    record: Mapping[str, Any], data_dir: Path | None, canvas_dir: Path | None
) -> tuple[Path, Path | None]:
    """Returns (data_dir, canvas_dir): as given, else those of training, from a checkpoint's record."""
    recorded = Path(record["canvas_dir"]) if record["canvas_dir"] else None
    return data_dir or Path(record["data_dir"]), canvas_dir or recorded


def check_same_data(workdir: Path, record: Mapping[str, Any], prepared: Prepared) -> None:
    """Raises `WorkdirError` if the prepared data differs from that of the checkpoint's record.

    A set that was built again may have moved works between splits. A test score on works of the training
    split would be worthless.
    """
    if record["fingerprint"] != prepared.fingerprint:
        raise WorkdirError(
            f"{workdir} was trained on other data of '{record['collection']}' than those in "
            f"{prepared.directory} (the fingerprint differs)\n"
            "set the --data_dir of the data it was trained on, or train again in another --workdir"
        )
