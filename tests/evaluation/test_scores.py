"""What stands beside a score: the baselines and the works that it counts, here by hand."""

from dataclasses import replace

import details
import jax
import numpy as np
import pytest
from tiny import open_canvases

from artjax.errors import DataError
from artjax.evaluation import evaluate
from artjax.evaluation.colour_histograms import kept_colour_baseline
from artjax.evaluation.metrics import Predictions
from artjax.runs import seen
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training

CLASSES = {label: list(names) for label, names in details.LABELS.items()}
TASKS = tuple(CLASSES)


@pytest.fixture(scope="module")
def data(details_dir, tmp_path_factory):
    canvases = tmp_path_factory.mktemp("canvases")
    return open_canvases(details.details_config(), details_dir, canvases)


@pytest.fixture(scope="module")
def splits(data):
    config = details.details_config(task=TASKS)
    return evaluate.open_splits(config, data, "test")


pytestmark = pytest.mark.slow  # the fits of the histograms


def guesses(split, task):
    """Drawn predictions for the works whose label is known."""
    known = np.flatnonzero(split.labels[task] >= 0)
    rng = np.random.default_rng(len(known))
    logs = np.log(rng.dirichlet(np.ones(3), len(known)))
    return known, Predictions(split.labels[task][known], logs, split.work_ids[known])


def judged(data, splits, name, cluster_by=""):
    """Drawn predictions for the works of a split, as `scores` takes them."""
    drawn = {task: guesses(splits[name], task) for task in TASKS}
    return evaluate.in_context(drawn, data, splits, name, cluster_by)


@pytest.fixture(scope="module")
def rows(data, splits):
    """What `metrics.json` would hold for drawn predictions, by split."""
    return {
        name: evaluate.scores(judged(data, splits, name), data, splits, name, CLASSES)
        for name in splits
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_baselines_are_of_the_right_works(name, task, rows, data, splits):
    pictures = [p for p in details.PICTURES if p.labels[task] >= 0]
    train = [p.labels[task] for p in pictures if p.split == "train"]
    own = np.asarray([p.labels[task] for p in pictures if p.split == name])
    found = rows[name][task]["baselines"]
    assert found["chance"] == 1 / 3
    assert found["best_constant"] == max((own == c).mean() for c in range(3))
    most_frequent = max(range(3), key=lambda c: (train.count(c), -c))
    assert found["train_majority"] == (own == most_frequent).mean()
    if name == "train":
        assert found["colour_histograms"] is None
    else:
        colour = kept_colour_baseline(data, splits, task)
        assert found["colour_histograms"] == colour[f"{name}_top1"]


def test_the_baselines_of_the_splits_differ(rows):
    """Else the test above could not tell them apart."""
    of = {name: rows[name]["genre"]["baselines"] for name in ("validation", "test")}
    assert all(of["validation"][b] != of["test"][b] for b in ("train_majority", "best_constant"))
    assert any(
        rows["validation"][task]["baselines"]["colour_histograms"]
        != rows["test"][task]["baselines"]["colour_histograms"]
        for task in TASKS
    )
    majority, constant = (of["test"][b] for b in ("train_majority", "best_constant"))
    assert majority < constant


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["validation", "test"])
def test_works_images_and_near_duplicates_are_counted(name, task, rows, splits):
    own = [p for p in details.PICTURES if p.split == name and p.labels[task] >= 0]
    row = rows[name][task]
    assert row["n"] == len(own)
    assert row["works"] == len({p.work_id for p in own}) < row["n"]
    for c, of_class in enumerate(row["by_class"].values()):
        in_class = [p for p in own if p.labels[task] == c]
        assert (of_class["n"], of_class["works"]) == (
            len(in_class),
            len({p.work_id for p in in_class}),
        )
    split_of = {p.file_name: p.split for p in details.PICTURES}
    pairs = [(f"{a}.jpg", f"{b}.jpg") for a, b in details.NEAR_DUPLICATES]
    seen = {a for a, b in pairs if split_of[b] == "train"}
    seen |= {b for a, b in pairs if split_of[a] == "train"}
    unseen = [p.file_name not in seen for p in own]
    assert row["n_without_near_duplicates"] == sum(unseen) < len(own)
    known, of_task = guesses(splits[name], task)
    by_file = dict(
        zip(splits[name].file_names[known], of_task.predicted == of_task.labels, strict=True)
    )
    right = [by_file[p.file_name] for p, new in zip(own, unseen, strict=True) if new]
    assert row["top1_without_near_duplicates"] == np.mean(right)


@pytest.mark.parametrize("task", TASKS)
def test_clusters_are_works_and_near_duplicates_together(task, data, splits):
    known, of_task = judged(data, splits, "test")[task]
    group_of = details.groups()
    groups = [group_of[name] for name in splits["test"].file_names[known]]
    works = len(set(of_task.work_ids.tolist()))
    for ours, theirs in ((of_task.clusters.tolist(), groups), (groups, of_task.clusters.tolist())):
        assert len(set(zip(ours, theirs, strict=True))) == len(set(ours))
    row = evaluate.scores({task: (known, of_task)}, data, splits, "test", CLASSES)[task]
    assert row["clusters"] == len(set(groups)) <= row["works"] == works
    assert task == "period" or row["clusters"] < works


@pytest.mark.parametrize("task", TASKS)
def test_clusters_by_painter_are_for_other_tasks(task, data, splits):
    """Of the task itself each class would be one."""
    by_painter = judged(data, splits, "test", "artist")[task][1].clusters
    assert (len(set(by_painter.tolist())) < 12) == (task != "artist")
    assert len(set(judged(data, splits, "test")[task][1].clusters.tolist())) > 12
    if task != "artist":
        group_of = data.group_of_works("artist")
        works = judged(data, splits, "test", "artist")[task][1].work_ids
        assert by_painter.tolist() == [group_of[work] for work in works.tolist()]


def test_a_label_that_the_set_lacks_is_no_cluster(data, splits):
    with pytest.raises(DataError, match="has no label 'museum' to group works by; it has artist"):
        judged(data, splits, "test", "museum")


def test_histograms_are_compared_work_by_work(rows, data, splits):
    of_task = judged(data, splits, "test")["genre"][1]
    right, theirs = of_task.predicted == of_task.labels, of_task.others["colour_histograms"]
    assert theirs.mean() == rows["test"]["genre"]["baselines"]["colour_histograms"]
    compared = rows["test"]["genre"]["paired"]["colour_histograms"]
    assert compared["only_first"] == (right & ~theirs).sum() > 0
    assert compared["only_second"] == (theirs & ~right).sum() > 0
    assert rows["train"]["genre"]["paired"] == {}


def test_predictions_are_of_the_works_whose_label_is_known(splits):
    config = details.details_config(task=TASKS, model__name="narrow")
    mesh = create_mesh(devices=jax.devices()[:1])
    training = create_training(config, dict.fromkeys(TASKS, 3), 60, mesh)
    variables = training.initial_state().variables
    known_of = {p.file_name: p for p in details.PICTURES}
    split = splits["test"]
    for task, (known, of_task) in evaluate.predict_split(
        training.network, variables, split
    ).items():
        pictures = [known_of[name] for name in split.file_names[known]]
        assert len(pictures) == sum(
            p.split == "test" and p.labels[task] >= 0 for p in details.PICTURES
        )
        assert of_task.labels.tolist() == [p.labels[task] for p in pictures]
        assert of_task.work_ids.tolist() == [p.work_id for p in pictures]


def test_histograms_are_chosen_without_a_look_at_test_and_kept_for_their_labels(data, splits):
    first = kept_colour_baseline(data, splits, "genre")
    test = splits["test"]
    labels = {"genre": np.where(test.labels["genre"] >= 0, 1, -1)}
    other = kept_colour_baseline(data, splits | {"test": replace(test, labels=labels)}, "genre")
    assert first["test_top1"] != other["test_top1"]
    for name in ("kind", "strength", "train_works", "validation_top1"):
        assert first[name] == other[name], name
    assert kept_colour_baseline(data, splits, "genre") == first


@pytest.mark.parametrize("task", TASKS)
def test_works_that_the_weights_have_learnt_from_are_left_out(task, data, splits):
    split = splits["test"]
    learnt_from = seen.of_splits(data, [split.only(np.arange(0, len(split), 5))])
    works = set(split.work_ids[::5])
    known, predictions = given = guesses(split, task)
    row = evaluate.scores({task: given}, data, splits, "test", CLASSES, learnt_from)[task]
    unseen = np.asarray([work not in works for work in split.work_ids[known]])
    right = predictions.predicted == predictions.labels
    assert 0 < unseen.sum() < len(known) < len(split)
    assert row["n_unseen_by_weights"] == unseen.sum()
    assert row["top1_unseen_by_weights"] == right[unseen].mean() != right.mean()


def test_works_whose_artist_or_other_pictures_are_in_train_are_left_out(data, splits):
    """Train without `bo`, but with two works of test."""
    split, train = splits["test"], splits["train"]
    keep = np.flatnonzero(train.labels["artist"] != 1)
    ids = train.work_ids[keep].copy()
    ids[:2] = np.unique(split.work_ids)[:2]
    train = replace(train.only(keep), work_ids=ids)
    given = {task: guesses(split, task) for task in TASKS}
    rows = evaluate.scores(given, data, splits | {"train": train}, "test", CLASSES)
    known, predictions = given["period"]
    right = predictions.predicted == predictions.labels
    artist = split.labels["artist"][known]
    assert {-1, 0, 1, 2} == set(artist.tolist())
    row = rows["period"]
    assert row["n_unseen_artists"] == (artist == 1).sum()
    assert row["top1_unseen_artists"] == right[artist == 1].mean()
    assert row["artists"] == {
        "label": "artist",
        "in_train": ((artist == 0) | (artist == 2)).sum(),
        "unknown": (artist == -1).sum(),
    }
    unseen = ~np.isin(split.work_ids[known], ids[:2])
    assert row["n_unseen_works"] == unseen.sum() < len(known)
    assert row["top1_unseen_works"] == right[unseen].mean()
    # The artist itself is to be told: nothing is left out.
    assert "n_unseen_artists" not in rows["artist"]
    assert "artists" not in evaluate.scores(given, data, splits, "train", CLASSES)["period"]
