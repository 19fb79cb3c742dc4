"""Runs whose heads are solved, from their start to what they predict."""

import json
import re
from functools import partial

import jax
import numpy as np
import pytest
from guesses import predict
from sklearn.linear_model import LogisticRegression
from tiny import stripes, tiny_config, write_tiny

from artjax.errors import ConfigError
from artjax.evaluation import evaluate, nearest_neighbours
from artjax.evaluation.embeddings import unit
from artjax.evaluation.report import report_lines
from artjax.modes.folds import cross_validate
from artjax.modes.lr_find.mode import lr_find
from artjax.places import Places
from artjax.runs import Run, open_run
from artjax.setup import open_setup
from artjax.train import train
from artjax.training import solving
from artjax.training.logs import read_rows

narrow_config = partial(tiny_config, model__name="narrow_bn")
ONE = {"devices": jax.devices()[:1]}
FREEZE = (("(?!head_).*", 0.0),)
BOTH = ("artist", "genre")


@pytest.fixture(scope="module")
def trunk(data_dir, tmp_path_factory):
    """The workdir of a run on the genres, whose trunk others take."""
    workdir = tmp_path_factory.mktemp("trunk")
    train(narrow_config(task=("genre",), steps=20), Places(workdir, data_dir), **ONE)
    return workdir


def solved(trunk, **changes):
    given = {
        "model__weights": str(trunk),
        "model__dropout": 0.0,
        "optim__name": "lbfgs",
        "optim__groups": FREEZE,
        "features__views": 1,
    }
    return narrow_config(**given | changes)


@pytest.fixture(scope="module")
def both(trunk, data_dir, tmp_path_factory):
    """The workdir of a finished run of two tasks, to be read only, and its outcome."""
    workdir = tmp_path_factory.mktemp("both")
    return workdir, train(solved(trunk, task=BOTH), Places(workdir, data_dir), **ONE)


def features_of(opened, split):
    return opened.features.seen(opened.data.split(split, {task: task for task in BOTH}))


def features_and_labels(workdir, split, task):
    """Features and labels of the works whose label is known, as evaluation sees them."""
    works = features_of(open_run(workdir), split)
    known = works.labels[task] >= 0
    return works.images[works.rows][known].astype(float), works.labels[task][known]


def results_of_folds(workdir):
    files = sorted(workdir.glob("fold?/evaluation/test/metrics.json"))
    return [json.loads(file.read_text())["tasks"]["artist"] for file in files]


def head(workdir, task):
    return Run.load(workdir).variables["params"][f"head_{task}"]


def penalty(workdir, task):
    """The strength that had the lowest loss in the cross-validation."""
    rows = [row for row in read_rows(workdir) if f"heads/{task}/l2" in row]
    assert [row[f"heads/{task}/l2"] for row in rows] == list(solving.STRENGTHS)
    return min(rows, key=lambda row: row[f"heads/{task}/loss"])[f"heads/{task}/l2"]


@pytest.mark.slow
@pytest.mark.parametrize("task", BOTH)
def test_the_heads_of_a_run_are_those_of_scikit_learn(task, both):
    workdir, outcome = both
    features, labels = features_and_labels(workdir, "train", task)
    assert len(labels) == {"artist": 60, "genre": 40}[task]  # a third of the genres is unknown
    variance = features.var(0).mean()
    # Of two classes scikit-learn penalises the difference of their kernels, w; here both are, of ±w/2.
    both_sides = 2 if task == "genre" else 1
    oracle = LogisticRegression(
        C=both_sides / (len(labels) * penalty(workdir, task) * variance), tol=1e-10, max_iter=20_000
    ).fit(features, labels)
    tested, truth = features_and_labels(workdir, "test", task)
    expected = oracle.predict_proba(tested)
    opened = open_run(workdir)
    seen = features_of(opened, "test")
    found = evaluate.predict_split(opened.run.network, opened.run.variables, seen)[task][1]
    np.testing.assert_allclose(np.exp(found.log_probabilities), expected, atol=1e-3)
    row = json.loads((workdir / "evaluation" / "test" / "metrics.json").read_text())
    assert row["tasks"][task] == outcome.results["test"]["tasks"][task]
    loss = -np.log(expected[np.arange(len(truth)), truth]).mean()
    assert row["tasks"][task]["loss"] == pytest.approx(loss, abs=2e-3)
    assert row["tasks"][task]["top1"] == pytest.approx((expected.argmax(1) == truth).mean())


@pytest.mark.slow
@pytest.mark.parametrize("task", BOTH)
def test_neighbours_in_the_same_features_are_to_be_beaten(task, both):
    known = {}
    for split in ("train", "validation", "test"):
        features, labels = features_and_labels(both[0], split, task)
        known[split] = nearest_neighbours.Works(unit(features), labels)
    right, _ = nearest_neighbours.right_works(*known.values(), {"artist": 3, "genre": 2}[task])
    row = both[1].results["test"]["tasks"][task]
    assert row["baselines"]["nearest_neighbours"] == right.mean()
    compared = row["paired"]["nearest_neighbours"]
    ours, theirs = round(row["top1"] * len(right)), right.sum()
    assert compared["only_first"] - compared["only_second"] == ours - theirs
    share = f"nearest neighbours in the same features ({right.mean():.1%}): "
    assert sum(share in line for line in report_lines(both[1].results["test"])) == 1
    last = evaluate.evaluate_workdir(both[0], "train")["tasks"][task]
    assert last["baselines"]["nearest_neighbours"] is None


@pytest.mark.slow
def test_tasks_are_solved_each_for_itself(both, trunk, data_dir, tmp_path):
    for task in BOTH:
        workdir = tmp_path / task
        train(solved(trunk, task=(task,)), Places(workdir, data_dir), **ONE)
        for leaf, value in head(workdir, task).items():
            np.testing.assert_array_equal(value, head(both[0], task)[leaf], err_msg=task)


@pytest.mark.slow
def test_a_solved_run_says_what_it_did_and_is_not_solved_again(
    trunk, data_dir, tmp_path, capsys, monkeypatch
):
    places = Places(tmp_path, data_dir)
    first = train(solved(trunk), places, **ONE)
    said = capsys.readouterr().out
    assert "run: the heads are solved; workdir" in said
    assert len(re.findall(r"^head: L2 penalty \S+, the lowest of 9 losses", said, re.M)) == 1
    for of_steps in ("images/s", "epoch 0", " lr ", "best checkpoint by", "step 1/1"):
        assert of_steps not in said
    (row,) = [row for row in read_rows(tmp_path) if "train/loss" in row]
    assert row.keys() == {"step", "train/loss", "train/top1"}
    monkeypatch.setattr(solving, "solve", None)
    again = train(solved(trunk), places, **ONE)
    assert again.results == first.results
    assert "this run is finished: its heads are solved\n" in capsys.readouterr().out


@pytest.mark.slow
def test_class_weights_and_a_single_penalty_count(trunk, tmp_path, capsys):
    write_tiny(tmp_path, splits={"train": 31, "validation": 6, "test": 6})
    heads = {}
    for weights in ("none", "balanced"):
        config = solved(trunk, optim__l2=(0.1,), loss__class_weights=weights)
        workdir = tmp_path / weights
        train(config, Places(workdir, tmp_path), **ONE)
        heads[weights] = head(workdir, "artist")
        assert not [row for row in read_rows(workdir) if "heads/l2" in row]
    assert capsys.readouterr().out.count("head: L2 penalty 0.1\n") == 2
    opened = open_run(workdir)
    works = opened.features.seen(opened.data.split("train", {"artist": "artist"}))
    features, labels = works.images[works.rows].astype(float), works.labels["artist"]
    for weights, found in heads.items():
        oracle = LogisticRegression(
            C=1 / (len(labels) * 0.1 * features.var(0).mean()),
            class_weight=None if weights == "none" else weights,
            tol=1e-10,
            max_iter=20_000,
        ).fit(features, labels)
        logits = features @ np.asarray(found["kernel"]) + np.asarray(found["bias"])
        ours = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(
            ours / ours.sum(1, keepdims=True), oracle.predict_proba(features), atol=1e-3
        )
    assert np.abs(heads["none"]["bias"] - heads["balanced"]["bias"]).max() > 5e-3


@pytest.mark.slow
def test_folds_are_solved_and_pooled(trunk, data_dir, tmp_path):
    outcome = cross_validate(solved(trunk, folds=3), Places(tmp_path, data_dir), **ONE)
    row = outcome.results["folds"]["tasks"]["artist"]
    assert row["n"] == 99
    shares = [of["baselines"]["nearest_neighbours"] for of in results_of_folds(tmp_path)]
    assert row["baselines"]["nearest_neighbours"] == pytest.approx(np.mean(shares))
    assert "nearest_neighbours" in row["paired"]
    kernels = [np.asarray(head(tmp_path / f"fold{fold}", "artist")["kernel"]) for fold in range(3)]
    assert (kernels[0] != kernels[1]).any()


def test_a_solved_run_predicts_pictures(both, tmp_path):
    picture = tmp_path / "picture.png"
    stripes(0, np.random.default_rng(0)).save(picture)
    guesses = predict([Run.load(both[0])], [picture]).guesses
    assert len(guesses) == 3 + 2
    assert sum(guess.probability for guess in guesses) == pytest.approx(2)


def test_modes_that_take_steps_say_so_or_refuse(trunk, data_dir, tmp_path):
    places = Places(tmp_path, data_dir)
    for mode, views in (("check", 1), ("benchmark", 0)):
        said = []
        setup = open_setup(
            solved(trunk, features__views=views), places, mode=mode, say=said.append, **ONE
        )
        assert [line for line in said if "lbfgs" in line] == [
            f"--mode {mode} takes steps: in place of lbfgs adamw, with a peak learning rate of 0.003"
        ]
        assert setup.config.optim.name == "adamw"
        assert setup.training.steps > 1
        # Where all is computed in a step, no feature is.
        assert bool(setup.config.features.views) == bool(views)
    with pytest.raises(ConfigError, match="have no learning rate; for one that is") as caught:
        lr_find(solved(trunk), places, **ONE)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_fine_tuning_starts_from_solved_heads(trunk, both, data_dir, tmp_path, capsys, monkeypatch):
    changes = {"task": BOTH, "optim__name": "adamw", "optim__groups": (), "features__views": 0}
    changes |= {"optim__head_solved": True, "optim__peak_lr": 1e-9, "ema_decay": 0.5, "steps": 2}
    config, places = solved(trunk, **changes), Places(tmp_path, data_dir)
    train(config, places, stop_after_steps=1, **ONE)
    said = capsys.readouterr().out
    penalties = re.findall(r"^before the first step: head of (\S+): L2 penalty (\S+),", said, re.M)
    assert penalties == [(task, f"{penalty(both[0], task):g}") for task in BOTH]
    monkeypatch.setattr(solving, "solve", None)  # once
    train(config, places, **ONE)
    run = open_run(tmp_path, which="last").run
    for task in BOTH:
        for leaf, value in head(both[0], task).items():
            # Evaluation has the average of the parameters, so that starts there, too.
            found = run.variables["params"][f"head_{task}"][leaf]
            np.testing.assert_allclose(found, value, atol=1e-6, err_msg=f"{task}/{leaf}")
    assert run.network.boundary == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__weights": ""}, "head_solved needs a pretrained trunk"),
        ({}, "head_solved: with --config.optim.name=lbfgs nothing is trained after it"),
    ],
)
def test_what_cannot_start_from_solved_heads_is_refused(
    changes, message, trunk, data_dir, tmp_path
):
    config = solved(trunk, **{"optim__head_solved": True} | changes)
    with pytest.raises(ConfigError, match=message) as caught:
        open_setup(config, Places(tmp_path, data_dir), **ONE)
    assert "\n" not in str(caught.value)
