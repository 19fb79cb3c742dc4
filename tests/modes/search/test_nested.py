"""A search within each fold: no work that is tested has a part in the choice of what it is tested by."""

import csv
import json
from functools import partial

import jax
import numpy as np
import pytest
from html_page import Page
from tiny import SPLITS, open_canvases, stripes, tiny_config

import launch
from artjax.data.folds import FoldedCanvases, fold_of
from artjax.data.works import Split
from artjax.errors import WorkdirError
from artjax.evaluation import ensemble, evaluate
from artjax.modes.command import Command
from artjax.modes.search import combining, heads, nested
from artjax.modes.search.mode import search
from artjax.places import Places
from artjax.runs import Run, folds_in, runs_in
from artjax.train import train
from artjax.training.features import Features

narrow_config = partial(tiny_config, model__name="narrow")

ONE = {"devices": jax.devices()[:1]}
FREEZE = (("(?!head_).*", 0.0),)
FOLDS = 3
WORKS = sum(SPLITS.values())


def config(**changes):
    given = {
        "optim__groups": FREEZE,
        "features__views": 2,
        "folds": FOLDS,
        "steps": 4,
        "optim__name": "adamw",
        "optim__peak_lr": 0.01,
        "search__trials": 3,
        "search__members": 2,
        "search__halving": 1,
    }
    return narrow_config(**given | changes)


def works_of_test(data_dir, fold, folds=FOLDS):
    data = fold_of(open_canvases(tiny_config(), data_dir, None), folds, fold)
    return set(data.split("test", {"artist": "artist"}).file_names.tolist())


class Watch:
    """What a search with folds reads: the works of each fold's search, and what was computed."""

    def __init__(self, monkeypatch):
        self.read, self.computed, self.fold = {}, [], None
        search_split, columns, compute = nested.search_split, Split.columns, Features._compute

        def of_fold(config, *more):
            self.fold = config.fold
            self.read.setdefault(self.fold, set())
            found = search_split(config, *more)
            self.fold = None
            return found

        def read(split, indices):
            if self.fold is not None:
                self.read[self.fold].update(split.file_names[indices].tolist())
            return columns(split, indices)

        def count(features, missing, *more):
            self.computed += [(missing.view, int(row)) for row in missing.rows]
            compute(features, missing, *more)

        monkeypatch.setattr(nested, "search_split", of_fold)
        monkeypatch.setattr(Split, "columns", read)
        monkeypatch.setattr(Features, "_compute", count)


@pytest.fixture(scope="module")
def places(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nested")
    return Places(folder / "run", data_dir, feature_dir=folder / "features")


@pytest.fixture(scope="module")
def found(places):
    """The summary of a search with folds, and what it has read."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch = Watch(monkeypatch)
        return search(config(), places, **ONE).best, watch


def predictions(workdir):
    with (workdir / "evaluation" / "folds" / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_works_that_a_fold_tests_have_no_part_in_its_search(found, data_dir):
    _, watch = found
    assert set(watch.read) == set(range(FOLDS))
    for fold, read in watch.read.items():
        tested = works_of_test(data_dir, fold)
        assert not read & tested
        assert len(read) > WORKS / 2


@pytest.mark.slow
def test_other_labels_of_the_tested_works_change_the_score_but_no_choice(
    found, places, tmp_path, monkeypatch
):
    summary, _ = found
    split = FoldedCanvases.split

    def relabelled(self, name, label_features):
        whole = split(self, name, label_features)
        if name != "test":
            return whole
        labels = {task: (values + 1) % 3 for task, values in whole.labels.items()}
        return Split(**{**vars(whole), "labels": labels})

    monkeypatch.setattr(FoldedCanvases, "split", relabelled)
    other = Places(tmp_path, places.data_dir, feature_dir=places.feature_dir)
    again = search(config(), other, **ONE).best
    same = ("trial", "hyperparameters", "chosen", "better_than_own")
    for ours, theirs in zip(summary["by_fold"], again["by_fold"], strict=True):
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    labels = [
        {row["file_name"]: row["label"] for row in predictions(workdir)}
        for workdir in (places.workdir, tmp_path)
    ]
    assert labels[0].keys() == labels[1].keys()
    assert all(label != labels[1][name] for name, label in labels[0].items())


@pytest.mark.slow
def test_the_trunk_sees_each_work_once_in_each_view_for_all_folds(found):
    _, watch = found
    assert len(set(watch.computed)) == len(watch.computed)
    assert sorted(row for view, row in watch.computed if view is None) == list(range(WORKS))


@pytest.mark.slow
def test_each_work_is_tested_once_by_what_its_own_fold_chose(found, places):
    summary, _ = found
    rows = predictions(places.workdir)
    assert len({row["file_name"] for row in rows}) == len(rows) == WORKS
    metrics = json.loads((places.workdir / "evaluation" / "folds" / "metrics.json").read_text())
    task = metrics["tasks"]["artist"]
    assert task["n"] == WORKS
    assert task["top1"] == np.mean([row["label"] == row["predicted"] for row in rows])
    assert {"top1_ci95", "baselines", "by_fold"} <= task.keys()
    for fold, row in enumerate(summary["by_fold"]):
        folder = places.workdir / f"fold{fold}" / "search"
        chosen = [folder / name for name in row["chosen"]["workdirs"]]
        assert runs_in(places.workdir / f"fold{fold}") == chosen
        alone = ensemble.predict_and_evaluate(chosen, "test", ensemble.Given()).result["tasks"][
            "artist"
        ]
        assert row["test"]["artist"] == {"n": alone["n"], "top1": alone["top1"]}
        own = [r["label"] == r["predicted"] for r in rows if r["fold"] == str(fold)]
        assert alone["top1"] == np.mean(own)
        best = json.loads((folder / "best.json").read_text())
        assert best["hyperparameters"] == row["hyperparameters"]
        assert best["train"] == ""  # such a training would be tested on what it was chosen by


@pytest.mark.slow
def test_the_summary_says_what_the_folds_chose_and_what_the_score_is(found, places, capsys):
    summary, _ = found
    again = search(config(), places, **ONE).best  # all folds are finished: only the summary is new
    assert again == summary
    said = capsys.readouterr().out
    assert "search: 3 trials" not in said
    assert "fold 0: " in said
    assert "validation works by which it was chosen; artist " in said
    settings = {json.dumps(row["hyperparameters"]) for row in summary["by_fold"]}
    agree = (
        "all 3 folds chose the same" if len(settings) == 1 else f"chose {len(settings)} different"
    )
    assert agree in said
    assert "of 3 folds the choice is shown to be better on its validation works than the" in said
    assert "folds artist: top-1 " in said
    assert "this is the score of searching and training together" in said
    shown = Page(places.workdir / "search" / "index.html")
    assert shown.sources == []
    assert shown.links == [f"../fold{fold}/search/index.html" for fold in range(FOLDS)]
    assert shown.headings_skip_no_level()
    assert "This is the score of searching and training" in "".join(shown.text)
    assert "95 % interval" in "".join(shown.text)


@pytest.mark.slow
def test_a_search_with_folds_that_was_killed_is_resumed(found, places, tmp_path, monkeypatch):
    summary, _ = found
    save, saved = heads.HeadSearch._save, []

    def killed(self):
        save(self)
        saved.append(1)
        if len(saved) == 2:  # in the second fold
            raise KeyboardInterrupt

    other = Places(tmp_path, places.data_dir, feature_dir=places.feature_dir)
    monkeypatch.setattr(heads.HeadSearch, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        search(config(), other, **ONE)
    with pytest.raises(
        WorkdirError, match=r"no checkpoint in .*fold1: it is a search that is not fin"
    ):
        evaluate_all(tmp_path)
    monkeypatch.setattr(heads.HeadSearch, "_save", save)
    watch = Watch(monkeypatch)
    again = search(config(), other, **ONE).best
    assert set(watch.read) == {1, 2}
    assert predictions(tmp_path) == predictions(places.workdir)
    for ours, theirs in zip(summary["by_fold"], again["by_fold"], strict=True):
        assert ours == theirs
    (tmp_path / "fold0" / "search" / "best.json").write_text("{")
    with pytest.raises(WorkdirError, match=r"best\.json is damaged .*; remove it and search again"):
        search(config(), other, **ONE)


def evaluate_all(workdir):
    return launch.main(["--workdir", str(workdir), "--mode", "evaluate"])


@pytest.mark.slow
def test_the_workdir_stands_for_what_all_folds_chose(places, tmp_path, monkeypatch, capsys):
    # Whether an ensemble is the best is chance, so it is chosen.
    monkeypatch.setattr(
        combining, "choose", lambda rows: next(r for r in rows if r["kind"] == "ensemble")
    )
    monkeypatch.setattr(Command, "config", lambda self: config(folds=2, search__trials=2))
    workdir = tmp_path / "run"
    given = ["--data_dir", str(places.data_dir), "--feature_dir", str(places.feature_dir)]
    folds = ["--config", "x", "--mode", "search", "--workdir", str(workdir)]
    assert launch.main([*folds, *given, "--config.folds=2", "--config.search.trials=2"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == (
        f"next: python launch.py --config x:tiny --workdir {workdir}-one {' '.join(given)} "
        "--config.search.trials=2 --mode search"
    )
    assert folds_in(workdir) == [workdir / "fold0", workdir / "fold1"]
    runs = runs_in(workdir)
    names = [str(run.relative_to(workdir)) for run in runs]
    assert names == [f"fold{k}/search/member{i}" for k in (0, 1) for i in (0, 1)]
    before = predictions(workdir)
    assert len({row["file_name"] for row in before}) == WORKS
    assert evaluate_all(workdir) == 0
    assert predictions(workdir) == before
    stripes(1, np.random.default_rng(3)).save(tmp_path / "picture.png")
    picture = str(tmp_path / "picture.png")
    assert launch.main(["--workdir", str(workdir), "--mode", "predict", picture]) == 0
    assert "the mean of 4 runs" in capsys.readouterr().out
    with pytest.raises(
        WorkdirError, match=r"it is a search in 2 folds.*\nuse .*fold0/search/member0"
    ):
        Run.load(workdir)


@pytest.mark.slow
def test_works_that_the_weights_have_learnt_from_are_counted_over_all_folds(data_dir, tmp_path):
    trunk = tmp_path / "trunk"
    learnt = narrow_config(steps=2)
    assert train(learnt, Places(trunk, data_dir), evaluated=("validation",), **ONE).finished
    given = config(model__weights=str(trunk), folds=2, search__trials=1, features__views=1)
    search(given, Places(tmp_path / "run", data_dir, feature_dir=tmp_path / "features"), **ONE)
    file = tmp_path / "run" / "evaluation" / "folds" / "metrics.json"
    task = json.loads(file.read_text())["tasks"]["artist"]
    assert task["n_unseen_by_weights"] == SPLITS["test"]
    unseen = [row for row in predictions(tmp_path / "run") if row["file_name"].startswith("test/")]
    right = [row["label"] == row["predicted"] for row in unseen]
    assert task["top1_unseen_by_weights"] == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_trials_that_are_runs_of_their_own_are_nested_as_well(data_dir, tmp_path, monkeypatch):
    seen, predict = [], evaluate.predict_split

    def record(network, variables, split, *more):
        seen.append((watch.fold, split.name))
        return predict(network, variables, split, *more)

    watch = Watch(monkeypatch)
    monkeypatch.setattr(evaluate, "predict_split", record)
    given = narrow_config(folds=2, steps=2, eval_every=1, search__trials=2, search__halving=1)
    search(given, Places(tmp_path, data_dir), **ONE)
    for fold in range(2):
        assert not watch.read[fold] & works_of_test(data_dir, fold, 2)
        trials = tmp_path / f"fold{fold}" / "search"
        assert sorted(path.name for path in trials.glob("trial*/")) == ["trial000", "trial001"]
    assert set(seen) == {(0, "validation"), (1, "validation"), (None, "test")}
    assert len({row["file_name"] for row in predictions(tmp_path)}) == WORKS
