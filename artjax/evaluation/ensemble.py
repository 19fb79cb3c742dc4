"""Evaluates several runs as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.errors import ConfigError, WorkdirError
from artjax.evaluation import curves, evaluate, judging, looks, metrics, reliability
from artjax.evaluation.evaluate import Evaluated, TaskPredictions
from artjax.evaluation.mc_dropout import number_of_passes
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.report import predictions_csv
from artjax.evaluation.views import number_of_views
from artjax.runs import (
    Record,
    is_cross_validation,
    is_several_seeds,
    open_checkpoint,
    open_run,
    read_config,
    runs_in,
    seen,
)
from artjax.runs.seen import LearntFrom


def evaluate_ensemble(
    workdirs: Sequence[Path],
    split: str,
    *,
    which: str = "best",
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates the mean of the probabilities of several runs.

    The members have the same tasks, classes and data. Their networks, image sizes and canvases may
    differ. They are restored one after the other. The result is written to the first workdir, into
    `evaluation/ensemble-<split>/` (`…-last/` for the last checkpoints); the others are not changed.

    Args:
      workdirs: of two or more runs.
      split: `train`, `validation` or `test`.
      which: the checkpoint of each run, `best` or `last`.
      data_dir: the data directory now; default: where it was in training.
      canvas_dir: the folder for canvases now; default: where it was in training.
      views: 1, 5 or 10 views of each work; default: of each run, as its `eval.views` says.
      settings: fields of `eval` in place of the runs' own; see `evaluate.evaluate_workdir`.

    Returns:
      The contents of `metrics.json`: as from `evaluate_workdir`, with `members`, which has the workdir,
      the step of the checkpoint, the views and the top-1 by task of each alone. `checkpoint_step` is
      None, and `views` too if the members' differ.

    Raises:
      ConfigError: for fewer than two workdirs, the same one twice, one of a cross-validation, or an
        unknown split, checkpoint or number of views.
      WorkdirError: if a run has no checkpoint, other tasks, classes or data, or other folds.
      DataError: if the data cannot be found, or has no label `cluster_by`.
    """
    given = Given(which, data_dir, canvas_dir)
    return check_and_evaluate(workdirs, split, given, views, settings).result


def check_and_evaluate(
    workdirs: Sequence[Path],
    split: str,
    given: Given,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluated:
    """As `evaluate_ensemble`; what the runs say as one of the works."""
    evaluate.check_split(split)
    workdirs = [Path(workdir) for workdir in workdirs]
    _check_distinct(workdirs)
    return _evaluate(workdirs, split, given, views, settings)


class Given(NamedTuple):
    """Which checkpoint of a run, and where its data are now; see `open_run`."""

    which: str = "best"
    data_dir: Path | None = None
    canvas_dir: Path | None = None


def predict_and_evaluate(
    workdirs: Sequence[Path],
    split: str,
    given: Given,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluated:
    """Evaluates one run, or several as one; the other arguments are those of `evaluate_ensemble`."""
    if len(workdirs) > 1:
        return _evaluate(workdirs, split, given, views, settings)
    return evaluate.predict_and_evaluate(open_run(workdirs[0], *given), split, views, settings)


def _evaluate(
    workdirs: Sequence[Path],
    split: str,
    given: Given,
    views: int | None,
    settings: Mapping[str, Any] | None,
) -> Evaluated:
    """Evaluates the mean of several runs; see `evaluate_ensemble`."""
    which = given.which
    _check_same_question(workdirs, [_record(workdir, which) for workdir in workdirs])
    members = [_predict(workdir, split, given, views, settings) for workdir in workdirs]
    first = members[0]
    mean = _mean([member.predictions for member in members])
    judged = judging.numbers(
        [member.judge for member in members],
        _mean([member.raw for member in members]),
        mean,
        judging.mean_unlikeness([member.unlike_train for member in members]),
    )
    cluster_by = first.cluster_by
    predictions = evaluate.in_context(mean, first.data, first.splits, split, cluster_by)
    tasks = evaluate.scores(
        predictions, first.data, first.splits, split, first.classes, _learnt_from(members)
    )
    numbers = {member.row["views"] for member in members}
    passes = {member.row["mc_dropout"] for member in members}
    result = {
        "split": split,
        "checkpoint_step": None,
        "collection": f"{first.data.prepared.name}/{first.data.prepared.version}",
        "views": numbers.pop() if len(numbers) == 1 else None,
        "mc_dropout": passes.pop() if len(passes) == 1 else None,
        "cluster_by": cluster_by,
        "tasks": {task: row | judged[task] for task, row in tasks.items()},
        "members": [member.row for member in members],
    }
    works = first.splits[split]
    table = predictions_csv(predictions, works, first.classes)
    seen_by = [member.look for member in members if member.look is not None]
    look = looks.together(seen_by) if seen_by else None
    folder = evaluate.folder_of(workdirs[0], f"ensemble-{split}", which)
    drawn = curves.tables({task: of for task, (_, of) in predictions.items()}, first.classes)
    written = evaluate.write_results(folder, result, table, look, drawn)
    train = first.splits["train"]
    return Evaluated(works, predictions, written, first.classes, first.data, train, look)


class _Member(NamedTuple):
    """What an ensemble keeps of a member: its row in `metrics.json`, predictions, data and classes.

    Also its predictions without temperatures, what is known of them, how unlike train each work is, the
    works that its pretrained weights have learnt from, None if they are not of a run, and the look at
    test that it is.
    """

    row: dict[str, Any]
    predictions: TaskPredictions
    raw: TaskPredictions
    judge: judging.Judge
    unlike_train: np.ndarray | None
    data: Canvases
    splits: dict[str, Split]
    classes: Mapping[str, tuple[str, ...]]
    learnt_from: LearntFrom | None
    look: looks.Look | None
    cluster_by: str


def _mean(members: Sequence[TaskPredictions]) -> TaskPredictions:
    """The mean of the probabilities of several members, for each task."""
    return {
        task: (known, mean_predictions([member[task][1] for member in members]))
        for task, (known, _) in members[0].items()
    }


def _learnt_from(members: Sequence[_Member]) -> LearntFrom | None:
    """The works that the weights of any member have learnt from."""
    parts = [member.learnt_from for member in members if member.learnt_from is not None]
    return seen.joined(parts) if parts else None


def _predict(
    workdir: Path,
    split: str,
    given: Given,
    views: int | None,
    settings: Mapping[str, Any] | None,
) -> _Member:
    """Predicts a split with one member, whose network is in memory no longer than that."""
    opened = open_run(workdir, *given)
    run, data = opened.run, opened.data
    views = number_of_views(run.config, views)
    splits = evaluate.open_splits(run.config, data, split)
    passes = number_of_passes(run.config, settings)
    raw = evaluate.predict_works(opened, splits[split], views, passes)
    judge = judging.Judge(reliability.of_run(run, settings), views, passes)
    predictions = judge.calibrated(raw)
    unlike_train = judging.unlikeness(opened, splits[split], judge.reliability)
    row = {
        "workdir": str(workdir),
        "checkpoint_step": run.step,
        "views": views,
        "mc_dropout": passes,
        "top1": {
            task: metrics.top1(of_task)
            for task, (known, of_task) in predictions.items()
            if len(known)
        },
    }
    learnt_from = seen.of_weights(workdir, run.record)
    look = looks.of_run(opened, splits, views) if split == "test" else None
    return _Member(
        row,
        predictions,
        raw,
        judge,
        unlike_train,
        data,
        splits,
        run.classes,
        learnt_from,
        look,
        evaluate.cluster_label(run.config, settings),
    )


def mean_predictions(members: Sequence[Predictions]) -> Predictions:
    """The mean of the probabilities of several members, for the same works in the same order.

    Args:
      members: one or more predictions of one task, with the same labels and number of classes.

    Returns:
      Their labels and work ids, with the logarithms of the mean probabilities, float64 [N, classes],
      and the mean of the entropies.

    Raises:
      ValueError: if there is no member, or the labels, works or numbers of classes differ.
    """
    if not members:
        raise ValueError("an ensemble needs at least one member")
    first = members[0]
    for other in members[1:]:
        ids = (first.work_ids is None) == (other.work_ids is None)
        if ids and first.work_ids is not None and other.work_ids is not None:
            ids = np.array_equal(first.work_ids, other.work_ids)
        if not ids or not np.array_equal(first.labels, other.labels):
            raise ValueError("the members of an ensemble predict other works or labels")
        shapes = first.log_probabilities.shape, other.log_probabilities.shape
        if shapes[0] != shapes[1]:
            raise ValueError(f"the members of an ensemble predict {shapes[0]} and {shapes[1]}")
    logs = [np.asarray(member.log_probabilities, np.float64) for member in members]
    if len(members) == 1:
        return first._replace(log_probabilities=logs[0])
    entropies = [
        metrics.entropy(of_member) if member.expected_entropy is None else member.expected_entropy
        for member, of_member in zip(members, logs, strict=True)
    ]
    return first._replace(
        log_probabilities=metrics.mean_log_probabilities(logs),
        expected_entropy=np.mean(entropies, axis=0),
    )


def member_lines(result: Mapping[str, Any]) -> list[str]:
    """The members of an ensemble in words, a line each.

    Args:
      result: as from `evaluate_ensemble`.
    """
    lines = []
    for member in result["members"]:
        top1 = member["top1"]
        one = len(top1) == 1
        shares = [f"{'' if one else f'{task} '}top-1 {share:.1%}" for task, share in top1.items()]
        several = "view" if member["views"] == 1 else "views"
        views = f", {member['views']} {several}" if result["views"] is None else ""
        lines.append(
            f"  {member['workdir']}, step {member['checkpoint_step']:,}{views}: {', '.join(shares)}"
        )
    return lines


def _check_distinct(workdirs: Sequence[Path]) -> None:
    if len(workdirs) < 2:
        raise ConfigError("an ensemble needs two or more workdirs")
    seen: dict[Path, Path] = {}
    for workdir in workdirs:
        other = seen.get(workdir.resolve())
        if other is not None:
            same = "" if other == workdir else f" (the same as {other})"
            raise ConfigError(
                f"--workdir {workdir}{same} is given twice: an ensemble needs different runs"
            )
        seen[workdir.resolve()] = workdir


def _record(workdir: Path, which: str) -> Record:
    """The record of a member's checkpoint; no network is restored."""
    config = read_config(workdir)
    if config is not None and is_several_seeds(config):
        raise ConfigError(
            f"--workdir {workdir} holds several seeds; an ensemble needs single runs, such as "
            f"--workdir {runs_in(workdir)[0]}"
        )
    if config is not None and is_cross_validation(config):
        raise ConfigError(
            f"--workdir {workdir} is a cross-validation, whose folds test different works; an ensemble "
            "needs single runs"
        )
    with closing(open_checkpoint(workdir, which)) as checkpoint:
        return checkpoint.record


def _check_same_question(workdirs: Sequence[Path], records: Sequence[Record]) -> None:
    """Raises `WorkdirError` unless all runs tell the same classes apart on the same works."""
    first, expected = workdirs[0], records[0]
    for workdir, record in zip(workdirs[1:], records[1:], strict=True):
        tasks, classes = expected.classes, record.classes
        data, other_data = (f"{r.collection}/{r.version}" for r in (expected, record))
        folds, other_folds = _folds(expected), _folds(record)
        if data != other_data:
            what, there, here = "data", data, other_data
        elif expected.fingerprint != record.fingerprint:
            what, there, here = "data", f"one {data}", "another of that name (built anew)"
        elif sorted(tasks) != sorted(classes):
            what, there, here = "tasks", ", ".join(tasks), ", ".join(classes)
        elif tasks != classes:
            what, there, here = "classes", _sizes(tasks), f"{_sizes(classes)}, or other names"
        elif folds != other_folds:
            what, there, here = "works to test", folds, other_folds
        else:
            continue
        raise WorkdirError(
            f"an ensemble needs runs with the same {what}: {first} has {there}; {workdir} has {here}"
        )


def _sizes(classes: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{len(names)} {task}s" for task, names in classes.items())


def _folds(record: Record) -> str:
    config = record.config
    folds = (
        f"fold {config.fold} of {config.folds} (cut by seed {config.seed})"
        if config.folds
        else "the splits of the collection"
    )
    return f"{folds} by {config.split_by}" if config.split_by else folds
