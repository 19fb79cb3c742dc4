"""Evaluates a checkpoint on a split: every work exactly once, with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.canvases import Canvases
from artjax.data.prepared import Prepared
from artjax.data.splits import SPLITS
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.evaluation import (
    baselines,
    copies,
    curves,
    judging,
    looks,
    mc_dropout,
    metrics,
    nearest_neighbours,
    reliability,
    source_facts,
    train_embeddings,
)
from artjax.evaluation.colour_histograms import kept_colour_baseline, right_works
from artjax.evaluation.painters import painters_of
from artjax.evaluation.report import predictions_csv
from artjax.evaluation.second_scores import second_scores
from artjax.evaluation.source_facts import kept_source_baseline
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
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint of a workdir on a split and writes `evaluation/<split>/`.

    The last checkpoint has a folder of its own, `evaluation/<split>-last/`. A look at test is noted
    beside the data: see `looks`.

    Args:
      workdir: the folder of a run.
      split: `train`, `validation` or `test`.
      which: the checkpoint, `best` by validation or `last`.
      data_dir: the present data directory, if it differs from that of training.
      canvas_dir: the present folder for canvases, if it differs. Without room for canvases there,
        images are streamed.
      views: 1, 5 or 10 views of each work; default: as the run's `eval.views` says.
      settings: fields of the section `eval` in place of the run's own, by name: `error_rate`,
        `foreign_rate`, `mc_dropout`, and `cluster_by`, the label whose works the intervals keep
        together, or "".

    Returns:
      The contents of `metrics.json`.

    Raises:
      ConfigError: for an unknown split or checkpoint, another number of views, or passes with dropout
        of a network without it.
      WorkdirError: if there is no checkpoint, or the run was trained on other data.
      DataError: if the data cannot be found, or has no label `cluster_by`.
    """
    given = which, data_dir, canvas_dir
    return open_and_evaluate(workdir, split, *given, views, settings)[1].result


def open_and_evaluate(
    workdir: Path,
    split: str,
    which: str = "best",
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[OpenRun, Evaluated]:
    """As `evaluate_workdir`; the run with its data, and what it says of the works."""
    check_split(split)
    opened = open_run(workdir, which, data_dir, canvas_dir)
    return opened, predict_and_evaluate(opened, split, views, settings)


def folder_of(workdir: Path, name: str, which: str = "best") -> Path:
    """Where the results of a split (or `folds`, `seeds` …) are written."""
    return workdir / "evaluation" / (name if which == "best" else f"{name}-{which}")


def evaluate_split(
    opened: OpenRun,
    name: str,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates a run on one split; writes `metrics.json`, `predictions.csv` and `curves.tables`."""
    return predict_and_evaluate(opened, name, views, settings).result


class Evaluated(NamedTuple):
    """What a run, or several as one, say of a split.

    Attributes:
      split: the works.
      predictions: of them, by task.
      result: the contents of `metrics.json`.
      classes: class names, by task.
      data: the collection; of a fold, divided as in training.
      train: its training split.
      look: at the test works; None of another split.
    """

    split: Split
    predictions: TaskPredictions
    result: dict[str, Any]
    classes: Mapping[str, tuple[str, ...]]
    data: Canvases
    train: Split
    look: looks.Look | None


def predict_and_evaluate(
    opened: OpenRun,
    name: str,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluated:
    """As `evaluate_split`; its predictions are calibrated."""
    run, data = opened.run, opened.data
    views = number_of_views(run.config, views)
    splits = open_splits(run.config, data, name)
    split = splits[name]
    passes = mc_dropout.number_of_passes(run.config, settings)
    raw = predict_works(opened, split, views, passes)
    judge = judging.Judge(reliability.of_run(run, settings), views, passes)
    cluster_by = cluster_label(run.config, settings)
    predictions = in_context(judge.calibrated(raw), data, splits, name, cluster_by)
    predictions = _with_neighbours(predictions, nearest_neighbours.of_run(opened, splits, name))
    of_test = train_embeddings.of_works(opened, split) if name == "test" else None
    unlike_train = None if of_test is None else judge.reliability.unlikeness(of_test)
    judged = judging.numbers([judge], raw, predictions, unlike_train)
    learnt_from = seen.of_weights(run.workdir, run.record)
    folder = folder_of(run.workdir, name, run.which)
    of_copies, also_left_out = {}, {}
    if of_test is not None:
        found = copies.find_copies(opened, (split, of_test), splits["train"])
        of_copies = {"copies": copies.summary(found)}
        also_left_out = {"without_copies": copies.left_out(found, split)}
        if is_first_process():
            copies.write_copies(folder, found, split, splits["train"])
    tasks = scores(predictions, data, splits, name, run.classes, learnt_from, also_left_out)
    result = {
        "split": name,
        "checkpoint_step": run.step,
        "collection": f"{data.prepared.name}/{data.prepared.version}",
        "views": views,
        "mc_dropout": passes,
        "cluster_by": cluster_by,
        "tasks": {task: row | judged[task] for task, row in tasks.items()},
        **of_copies,
    }
    table = predictions_csv(predictions, split, run.classes)
    look = looks.of_run(opened, splits, views) if name == "test" else None
    drawn = curves.tables({task: of for task, (_, of) in predictions.items()}, run.classes)
    written = write_results(folder, result, table, look, drawn)
    return Evaluated(split, predictions, written, run.classes, data, splits["train"], look)


def open_splits(config: ConfigDict, data: Canvases, name: str) -> dict[str, Split]:
    """The splits that `scores` needs, by name: for train only this one, for others all of them."""
    labels = config_lib.label_features(config)
    needed = ("train",) if name == "train" else SPLITS
    return {other: data.split(other, labels) for other in needed}


def cluster_label(config: ConfigDict, settings: Mapping[str, Any] | None) -> str:
    """The label whose works the intervals keep together: as in `settings`, else `eval.cluster_by`."""
    return str((settings or {}).get("cluster_by", config.eval.cluster_by))


def in_context(
    predictions: TaskPredictions,
    data: Canvases,
    splits: Mapping[str, Split],
    name: str,
    cluster_by: str = "",
) -> TaskPredictions:
    """The predictions with what intervals and comparisons need: their clusters, and what others answer.

    Args:
      predictions: as from `predict_split`.
      data: the data to which the split belongs.
      splits: as from `open_splits`.
      name: of the split that was predicted.
      cluster_by: a label of the set, such as `artist`: works with the same one are a cluster, too. The
        task of that label itself, in which they would be a class each, has the clusters of works.

    Raises:
      DataError: if the set has no such label.
    """
    split = splits[name]
    by_work = by_label = data.group_of_works()
    label = np.empty(0, int)
    if cluster_by:
        by_label = data.group_of_works(cluster_by)
        if cluster_by in data.prepared.labels:
            label = data.values(split, f"label/{cluster_by}")
    result = {}
    for task, (known, of_task) in predictions.items():
        group_of = by_work if np.array_equal(split.labels[task], label) else by_label
        clusters = np.asarray([group_of[work] for work in split.work_ids[known].tolist()])
        others = {}
        if name != "train":  # on its own works, a fit says nothing
            colour = kept_colour_baseline(data, splits, task)
            if colour is not None:
                others["colour_histograms"] = right_works(colour, name)
            source = kept_source_baseline(data, splits, task)
            if source is not None:
                others["source_facts"] = right_works(source, name)
        result[task] = known, of_task._replace(clusters=clusters, others=others)
    return result


def _with_neighbours(
    predictions: TaskPredictions, right: Mapping[str, np.ndarray]
) -> TaskPredictions:
    """The predictions, beside which neighbours answer too, where `right` has their task."""
    result = {}
    for task, (known, of_task) in predictions.items():
        others = {nearest_neighbours.NAME: right[task]} if task in right else {}
        result[task] = known, of_task._replace(others={**of_task.others, **others})
    return result


def predict_works(opened: OpenRun, split: Split, views: int, passes: int = 0) -> TaskPredictions:
    """Predicts all works of a split, from the features of the run where it has some.

    Features are of one view. For several, the trunk is computed on the images. The arguments are those
    of `predict_split`.
    """
    features = None if views > 1 else opened.features
    seen = features.seen(split) if features else split
    return predict_split(opened.run.network, opened.run.variables, seen, views, passes)


def scores(
    predictions: TaskPredictions,
    data: Canvases,
    splits: Mapping[str, Split],
    name: str,
    classes: Mapping[str, Sequence[str]],
    learnt_from: LearntFrom | None = None,
    also_left_out: Mapping[str, np.ndarray | None] = MappingProxyType({}),
) -> dict[str, dict[str, Any]]:
    """What `metrics.json` has for each task: metrics of predictions, and the baselines.

    Args:
      predictions: as from `in_context`.
      data: the data to which the split belongs.
      splits: as from `open_splits`.
      name: of the split that was predicted.
      classes: class names, by task.
      learnt_from: the works that the pretrained weights of a run have learnt from; None for weights that
        are not those of a run.
      also_left_out: further works that second scores leave out; see `second_scores`.
    """
    split = splits[name]
    left_out, sources = {}, {}
    if name != "train":
        left_out = _left_out(data, split, splits["train"], learnt_from) | dict(also_left_out)
        sources = {task: kept_source_baseline(data, splits, task) for task in predictions}
    tasks = summarise(predictions, split, splits["train"], data.prepared, left_out, classes)
    artists = None if name == "train" else painters_of(data, split, splits["train"])
    for task, row in tasks.items():
        if artists is not None and not artists.is_task(split.labels[task]):
            known, of_task = predictions[task]
            row |= artists.score(of_task, known)
        row["source_facts"] = source_facts.in_row(sources.get(task), split, task)
    return tasks


def _left_out(
    data: Canvases, split: Split, train: Split, learnt_from: LearntFrom | None
) -> dict[str, np.ndarray | None]:
    """Which works of a split each second score leaves out; see `second_scores`."""
    left_out: dict[str, np.ndarray | None] = {}
    duplicated = data.duplicated_in_train(split.name)
    if duplicated is not None:
        left_out["without_near_duplicates"] = np.isin(split.file_names, sorted(duplicated))
    if len(split.work_ids):
        left_out["unseen_works"] = np.isin(split.work_ids, train.work_ids)
    if learnt_from is not None:
        by_weights = learnt_from.seen(data, split)
        left_out["unseen_by_weights"] = None if by_weights.unknown else by_weights.pictures
    return left_out


def write_results(
    folder: Path,
    result: Mapping[str, Any],
    table: str,
    look: looks.Look | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Writes `metrics.json` and `predictions.csv`, and notes a look at test, in process 0.

    Args:
      folder: made if it does not exist.
      result: what `metrics.json` shall hold.
      table: what `predictions.csv` shall hold.
      look: at test, if it is one.
      more: the contents of further files by name, such as those of `curves.tables`.

    Returns:
      The result as it is written. JSON has no nan and no infinity, so None takes their place.
    """
    written: dict[str, Any] = finite(result)
    if is_first_process():
        for name, text in {**more, "predictions.csv": table}.items():
            write_atomically(folder / name, text)
        write_atomically(folder / "metrics.json", json_text(written, sort_keys=True))
        if look is not None:
            looks.note(folder, look)
    return written


def predict_split(
    network: Network,
    variables: Mapping[str, Any],
    split: Split,
    views: int = 1,
    passes: int = 0,
) -> TaskPredictions:
    """Predicts all works of a split, as the mean of the probabilities of 1, 5 or 10 views of each.

    Args:
      network: the network.
      variables: whole ones.
      split: the works; its images may be features.
      views: 1, 5 or 10.
      passes: with dropout on, whose probabilities are averaged; 0 = one without it.
    """
    collected: dict[str, list[np.ndarray]] = {task: [] for task in split.labels}
    entropies: dict[str, list[np.ndarray]] = {task: [] for task in split.labels}
    sharding = network.batch_sharding
    words = mc_dropout.words_of_names(split.file_names) if passes else np.empty(0, np.uint32)
    for real, batch in batches.evaluation_batches(split, network.eval_batch_size, sharding):
        if passes:
            given = network, variables, batch, words[real], passes, views
            for task, found in mc_dropout.sampled(*given).items():
                collected[task].append(found.log_probabilities)
                entropies[task].append(found.expected_entropy)
            continue
        for task, logits in logits_of_views(network, variables, batch, views).items():
            collected[task].append(logits[: len(real)])
    result = {}
    for task, batch_logits in collected.items():
        known = np.flatnonzero(split.labels[task] >= 0)
        predictions = metrics.Predictions(
            split.labels[task][known],
            metrics.log_softmax(np.concatenate(batch_logits)[known]),
            split.work_ids[known] if len(split.work_ids) else None,
            expected_entropy=np.concatenate(entropies[task])[known] if passes else None,
        )
        result[task] = known, predictions
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
                train.labels[task],
                of_task.labels,
                of_task.log_probabilities.shape[1],
                of_task.others,
            ),
            **second_scores(
                of_task,
                {name: None if out is None else out[known] for name, out in left_out.items()},
            ),
        }
    return tasks
