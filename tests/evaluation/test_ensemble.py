"""Ensembles: the mean of the probabilities of several runs, here by hand."""

import csv
import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from scipy import special
from tiny import tiny_config

from artjax.errors import ArtjaxError, ConfigError, WorkdirError
from artjax.evaluation import ensemble, evaluate, metrics
from artjax.evaluation.metrics import Predictions
from artjax.places import Places
from artjax.runs import open_run
from artjax.train import train

narrow_config = partial(tiny_config, model__name="narrow_bn")

ONE = {"devices": jax.devices()[:1]}


def predictions(seed, works=30, classes=4, **changes):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(works, classes))
    labels = np.arange(works) % classes
    ids = np.asarray([f"work {i // 2}" for i in range(works)])
    given = Predictions(labels, special.log_softmax(logits, axis=1), ids)
    return given._replace(**changes)


def test_the_mean_of_several_members_is_the_mean_of_their_probabilities():
    members = [predictions(seed) for seed in range(3)]
    mean = ensemble.mean_predictions(members)
    by_hand = np.mean([np.exp(member.log_probabilities) for member in members], axis=0)
    np.testing.assert_allclose(np.exp(mean.log_probabilities), by_hand, rtol=1e-13)
    np.testing.assert_allclose(np.exp(mean.log_probabilities).sum(axis=1), 1)
    assert mean.log_probabilities.dtype == np.float64
    np.testing.assert_array_equal(mean.labels, members[0].labels)
    np.testing.assert_array_equal(mean.work_ids, members[0].work_ids)
    # No mean of probabilities has a higher loss than the mean of the losses (Jensen's inequality).
    assert metrics.loss(mean) < np.mean([metrics.loss(member) for member in members])
    alone = ensemble.mean_predictions(members[:1])
    np.testing.assert_array_equal(alone.log_probabilities, members[0].log_probabilities)


def test_a_certain_member_leaves_the_other_its_half():
    sure = Predictions(np.asarray([0]), np.asarray([[0.0, -5000.0]]))
    other = Predictions(np.asarray([0]), np.asarray([[-4000.0, 0.0]]))
    mean = ensemble.mean_predictions([sure, other])
    np.testing.assert_allclose(mean.log_probabilities, np.log([[0.5, 0.5]]))
    mean = ensemble.mean_predictions([sure, sure])
    np.testing.assert_array_equal(mean.log_probabilities, sure.log_probabilities)


@pytest.mark.parametrize(
    "other",
    [
        predictions(1, works=29),
        predictions(1, classes=5, labels=predictions(0).labels),
        predictions(1, labels=np.zeros(30, int)),
        predictions(1, work_ids=np.arange(30).astype(str)),
        predictions(1, work_ids=None),
    ],
)
def test_members_of_other_works_or_classes_have_no_mean(other):
    with pytest.raises(ValueError, match="the members of an ensemble predict"):
        ensemble.mean_predictions([predictions(0), other])
    with pytest.raises(ValueError, match="at least one member"):
        ensemble.mean_predictions([])


@pytest.fixture(scope="module")
def workdirs(data_dir, tmp_path_factory):
    """Two runs with different images, canvases and numbers of views, stopped before they are good."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    changes = {"seed": 1, "image_size": 16, "canvas_size": 24, "eval__views": 5}
    for folder, given in zip(folders, ({}, changes), strict=True):
        train(narrow_config(steps=6, eval_every=3, **given), Places(folder, data_dir), **ONE)
    return folders


@pytest.mark.slow
def test_the_ensemble_of_two_runs_equals_the_mean_by_hand(workdirs):
    before = {path: path.read_bytes() for path in workdirs[1].rglob("*") if path.is_file()}
    result = ensemble.evaluate_ensemble(workdirs, "test")
    after = {path: path.read_bytes() for path in workdirs[1].rglob("*") if path.is_file()}
    assert after == before
    probabilities = []
    for workdir, views in zip(workdirs, (1, 5), strict=True):
        opened = open_run(workdir)
        split = opened.data.split("test", {"artist": "artist"})
        of_run = evaluate.predict_split(opened.run.network, opened.run.variables, split, views)
        probabilities.append(np.exp(of_run["artist"][1].log_probabilities))
    assert probabilities[0].argmax(1).tolist() != probabilities[1].argmax(1).tolist()
    mean = np.mean(probabilities, axis=0)
    labels = split.labels["artist"]
    row = result["tasks"]["artist"]
    assert row["top1"] == np.mean(mean.argmax(axis=1) == labels)
    assert row["loss"] == pytest.approx(-np.log(mean[np.arange(19), labels]).mean(), rel=1e-12)
    assert result["views"] is None
    assert result["checkpoint_step"] is None
    for member, workdir, own, views in zip(
        result["members"], workdirs, probabilities, (1, 5), strict=True
    ):
        alone = evaluate.evaluate_workdir(workdir, "test")
        assert member == {
            "workdir": str(workdir),
            "checkpoint_step": alone["checkpoint_step"],
            "views": views,
            "mc_dropout": 0,
            "top1": {"artist": alone["tasks"]["artist"]["top1"]},
        }
        assert member["top1"]["artist"] == np.mean(own.argmax(axis=1) == labels)
    folder = workdirs[0] / "evaluation" / "ensemble-test"
    assert json.loads((folder / "metrics.json").read_text()) == result
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == split.file_names.tolist()
    found = [float(row["label_probability"]) for row in rows]
    np.testing.assert_allclose(found, mean[np.arange(19), labels], rtol=1e-12)
    lines = ensemble.member_lines(result)
    assert "1 view: top-1" in lines[0]
    assert lines[1].startswith(f"  {workdirs[1]}, step ")
    assert f"5 views: top-1 {result['members'][1]['top1']['artist']:.1%}" in lines[1]


def test_members_are_a_line_each_with_every_task():
    row = {"workdir": "runs/a", "checkpoint_step": 1200, "views": 5}
    row["top1"] = {"artist": 0.5, "genre": 0.25}
    lines = ensemble.member_lines({"views": 5, "members": [row, row | {"workdir": "runs/b"}]})
    assert lines[0] == "  runs/a, step 1,200: artist top-1 50.0%, genre top-1 25.0%"
    assert lines[1].startswith("  runs/b, ")


@pytest.mark.slow
def test_all_members_use_the_checkpoint_and_the_views_that_are_asked_for(workdirs):
    result = ensemble.evaluate_ensemble(workdirs, "validation", which="last", views=10)
    assert result["views"] == 10
    assert [member["views"] for member in result["members"]] == [10, 10]
    assert [member["checkpoint_step"] for member in result["members"]] == [6, 6]


def with_record(workdir, to, **changes):
    """A copy of a workdir whose checkpoints say something else of themselves."""
    shutil.copytree(workdir, to)
    for file in (to / "checkpoints").glob("*/record/metadata"):
        record = json.loads(file.read_text())
        of_config = changes.pop("config", {})
        record["config"] |= of_config
        file.write_text(json.dumps(record | changes))
    return to


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"collection": "other"}, "the same data: .* has tiny/1.0.0; .* has other/1.0.0"),
        ({"fingerprint": "0"}, "the same data: .* has another of that name"),
        ({"classes": {"genre": ["a"]}}, "the same tasks: .* has artist; .* has genre"),
        ({"classes": {"artist": ["ada", "bo", "di"]}}, "the same classes: .* or other names"),
        ({"classes": {"artist": ["ada", "bo"]}}, "the same classes: .* 3 artists; .* 2 artists"),
        (
            {"config": {"folds": 5, "fold": 2}},
            "the same works to test: .* has the splits of the collection; .* has fold 2 of 5",
        ),
    ],
)
def test_runs_that_answer_another_question_are_refused_in_one_line(
    changes, says, workdirs, tmp_path
):
    other = with_record(workdirs[1], tmp_path / "other", **changes)
    with pytest.raises(WorkdirError, match=says) as caught:
        ensemble.evaluate_ensemble([workdirs[0], other], "test")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/evaluation/ensemble-*"))


@pytest.mark.slow
def test_what_is_no_ensemble_is_one_line(workdirs, tmp_path):
    (tmp_path / "link").symlink_to(workdirs[0])
    folded = tmp_path / "folded"
    folded.mkdir()
    text = json.dumps(narrow_config(folds=3).to_dict())
    (folded / "config.json").write_text(text)
    for given, split, changes, says in (
        (workdirs[:1], "test", {}, "needs two or more workdirs"),
        ([*workdirs, workdirs[0]], "test", {}, "is given twice: an ensemble needs different runs"),
        ([workdirs[0], tmp_path / "link"], "test", {}, r"link \(the same as .*\) is given twice"),
        ([workdirs[0], folded], "test", {}, "folded is a cross-validation, whose folds test"),
        ([workdirs[0], tmp_path / "no"], "test", {}, "no checkpoint in .*no such folder"),
        (workdirs, "tset", {}, r"--split tset: .* did you mean test\?"),
        (workdirs, "test", {"which": "first"}, "--checkpoint first: valid are best, last"),
    ):
        with pytest.raises(ArtjaxError, match=says) as caught:
            ensemble.evaluate_ensemble(given, split, **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"eval\.views=3: valid are 1, 5, 10"):
        ensemble.evaluate_ensemble(workdirs, "test", views=3)
