"""A search among heads on cached features, against trainings one after the other."""

import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from tiny import tiny_config

import launch
from artjax.errors import ConfigError, TrainingError
from artjax.evaluation import evaluate, reliability
from artjax.evaluation.embeddings import embed
from artjax.modes.command import Command
from artjax.modes.search import group as group_lib
from artjax.modes.search import heads
from artjax.modes.search.mode import search
from artjax.modes.search.space import space_of, with_hyperparameters
from artjax.places import Places
from artjax.runs import Run, open_run
from artjax.runs.seen import of_run
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training.training import create_training

narrow_config = partial(tiny_config, model__name="narrow_bn")

ONE = {"devices": jax.devices()[:1]}
FREEZE = (("(?!head_).*", 0.0),)


@pytest.fixture(scope="module")
def trunk(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trunk")
    assert train(
        narrow_config(task=("genre",), steps=10), Places(workdir, data_dir), **ONE
    ).finished
    return workdir


def probe(trunk, **changes):
    given = {
        "model__weights": str(trunk),
        "optim__groups": FREEZE,
        "features__views": 2,
        "steps": 16,
        "optim__name": "adamw",
        "optim__peak_lr": 0.01,
        "search__trials": 6,
        "search__label_smoothing": (0.0, 0.2),
        "search__dropout": (0.0, 0.4),
        "search__members": 2,
    }
    return narrow_config(**given | changes)


def rows(workdir):
    return (workdir / "search" / "trials.csv").read_text()


@pytest.mark.slow
def test_all_at_once_gives_the_scores_of_one_after_the_other(trunk, data_dir, tmp_path):
    config = probe(trunk, search__trials=3, search__halving=1, search__width=(0, 8), ema_decay=0.9)
    config.seed = 10
    programs = [(drawn.layers, drawn.dropout) for drawn in map(space_of(config).draw, range(3))]
    assert programs == [((), 0.2), ((8,), 0.0), ((8,), 0.0)]  # two of them in one program
    best = search(config, Places(tmp_path / "s", data_dir), **ONE).best
    lines = rows(tmp_path / "s").splitlines()
    for line in lines[1:]:
        _, number, *_, top1, loss, status, _ = line.split(",")
        assert status == "finished"
        drawn = space_of(config).draw(int(number))
        alone = with_hyperparameters(config, drawn)
        train(alone, Places(tmp_path / number, data_dir), evaluated=("validation",), **ONE)
        rows_alone = map(json.loads, (tmp_path / number / "metrics.jsonl").read_text().splitlines())
        last = [row for row in rows_alone if "validation/loss" in row][-1]
        assert last["validation/loss"] == pytest.approx(float(loss), rel=1e-5)
        assert last["validation/top1"] == pytest.approx(float(top1))
    assert best["trials"] == 3


@pytest.mark.slow
def test_an_interrupted_search_ends_as_an_uninterrupted_one(
    trunk, data_dir, tmp_path, monkeypatch, capsys
):
    config = probe(trunk)
    whole = search(config, Places(tmp_path / "whole", data_dir), **ONE).best
    assert "step 2 of 16: 6 trials" in capsys.readouterr().out
    monkeypatch.setattr(heads, "_SAVE_SECONDS", 0.0)
    save, saved = heads.HeadSearch._save, []

    def killed(self):
        save(self)
        saved.append(1)
        if len(saved) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(heads.HeadSearch, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        search(config, Places(tmp_path / "killed", data_dir), **ONE)
    monkeypatch.setattr(heads.HeadSearch, "_save", save)
    resumed = search(config, Places(tmp_path / "killed", data_dir), **ONE).best
    assert "resuming from step" in capsys.readouterr().out
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert resumed["hyperparameters"] == whole["hyperparameters"]
    assert resumed["compared"][1:] == whole["compared"][1:]


@pytest.mark.slow
def test_what_was_found_is_written_as_runs_and_test_is_not_looked_at(
    trunk, data_dir, tmp_path, monkeypatch, capsys
):
    seen = []
    predict = evaluate.predict_split

    def record(network, variables, split, *more):
        seen.append(split.name)
        return predict(network, variables, split, *more)

    monkeypatch.setattr(evaluate, "predict_split", record)
    best = search(probe(trunk), Places(tmp_path, data_dir), **ONE).best
    assert set(seen) == {"validation"}
    chosen = best["chosen"]
    kinds = {(row["kind"], len(row["trials"])) for row in best["compared"]}
    assert kinds == {("single", 1), ("ensemble", 2), ("soup", 2)}
    folder = tmp_path / "search" / chosen["workdirs"][0]
    again = evaluate.evaluate_workdir(folder, "validation", data_dir=data_dir)
    expected = chosen if len(chosen["workdirs"]) == 1 else best["compared"][0]
    assert again["tasks"]["artist"]["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert again["checkpoint_step"] == 16
    opened = open_run(folder, data_dir=data_dir)
    known = reliability.of_run(opened.run)
    assert not known.why_not
    train_split = opened.data.split("train", {"artist": "artist"})
    embedded = embed(opened.run.network, opened.run.variables, train_split)
    np.testing.assert_allclose(known.train.works, embedded, atol=2e-3)
    # The trunk has learnt from the validation works whose genre is known; the run, from 60 more.
    assert again["tasks"]["artist"]["n_unseen_by_weights"] == 7
    assert len(of_run(folder).pictures) == 80
    # Typed again, it only reports; the trials are not trained again.
    monkeypatch.setattr(heads.HeadSearch, "_train_group", None)
    assert search(probe(trunk), Places(tmp_path, data_dir), **ONE).best == best
    # A run can be resumed as any other: it is finished.
    shutil.copytree(folder, tmp_path / "copy")
    outcome = train(
        with_hyperparameters(probe(trunk), space_of(probe(trunk)).draw(chosen["trials"][0])),
        Places(tmp_path / "copy", data_dir),
        **ONE,
    )
    assert outcome.finished
    assert outcome.results["test"]["checkpoint_step"] == 16


def test_a_group_keeps_the_states_of_the_trials_that_go_on():
    mesh = create_mesh(devices=jax.devices()[:1])
    group = group_lib.Group(create_training(tiny_config(), {"artist": 3}, 60, mesh), {}, [3, 5, 7])

    def numbered(array):
        """The rows of an array, each with another number added."""
        rows = np.arange(3).reshape(3, *[1] * (array.ndim - 1))
        return np.asarray(array) + rows.astype(array.dtype)

    group.state = group_lib._of_each(numbered, group.state)
    before = {trial: jax.device_get(group.of(trial)) for trial in group.trials}
    kernels = [state.params["conv1_1"]["kernel"] for state in before.values()]
    assert not np.array_equal(kernels[0], kernels[2])
    group.keep([7, 3])
    assert group.trials == [7, 3]
    for trial in (3, 7):
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(group.of(trial)), before[trial])


@pytest.mark.slow
def test_the_better_ones_of_each_rung_go_on_and_the_best_ones_are_combined(
    trunk, data_dir, tmp_path, monkeypatch
):
    compare, seen = heads.HeadSearch._compare, []

    def watch(self, step):
        there = [trial for group in self._groups for trial in group.trials]
        states = {trial: jax.device_get(self.group_of(trial).of(trial)) for trial in there}
        compare(self, step)
        kept = [trial for group in self._groups for trial in group.trials]
        for trial in kept:  # each with the state that was its own before
            now = jax.device_get(self.group_of(trial).of(trial))
            jax.tree.map(np.testing.assert_array_equal, now, states[trial])
        seen.append(({trial: self._results[trial] for trial in there}, set(kept)))

    monkeypatch.setattr(heads.HeadSearch, "_compare", watch)
    # Settings that learn nothing are the configuration's own, with which all are compared.
    config = probe(trunk, optim__peak_lr=1e-7, search__peak_lr=(0.003, 0.02))
    best = search(config, Places(tmp_path, data_dir), **ONE).best
    assert [(len(there), len(kept)) for there, kept in seen] == [(6, 4), (4, 3), (3, 3), (3, 3)]
    for there, kept in seen:
        assert 0 in kept
        scores = {trial: (-result.top1, result.loss) for trial, result in there.items()}
        stopped = [scores[trial] for trial in there.keys() - kept]
        assert all(max(scores[trial] for trial in kept - {0}) <= score for score in stopped)
    finished = sorted(seen[-1][0].values(), key=lambda result: (-result.top1, result.loss))
    numbers = [result.number for result in finished][:2]
    assert best["comparison"]["others"] == 2
    assert best["comparison"]["own_top1"] == seen[-1][0][0].top1
    html = (tmp_path / "search" / "index.html").read_text()
    assert best["comparison"]["in_words"][0][1:] in html
    assert [row["trials"] for row in best["compared"]] == [numbers[:1], numbers, numbers]
    assert best["trial"] == numbers[0]
    assert best["compared"][0]["loss"] == pytest.approx(finished[0].loss)


@pytest.mark.slow
def test_a_soup_is_the_mean_of_the_parameters(trunk, data_dir, tmp_path, monkeypatch):
    found = []
    init = heads.HeadSearch.__init__

    def keep(self, *arguments):
        found.append(self)
        init(self, *arguments)

    monkeypatch.setattr(heads.HeadSearch, "__init__", keep)
    # Whether it is the best of them is chance, so it is chosen.
    monkeypatch.setattr(
        heads.combining, "choose", lambda rows: next(r for r in rows if r["kind"] == "soup")
    )
    given = probe(trunk, search__halving=1, search__trials=2)
    best = search(given, Places(tmp_path, data_dir), **ONE).best
    states = [found[0].group_of(trial).of(trial) for trial in (0, 1)]
    kernels = [np.asarray(state.params["head_artist"]["kernel"]) for state in states]
    soup = found[0].soup([0, 1])["params"]["head_artist"]["kernel"]
    np.testing.assert_allclose(soup, (kernels[0] + kernels[1]) / 2, rtol=1e-6)
    assert np.abs(kernels[0] - kernels[1]).max() > 0
    # The run that is written holds the soup, and scores as it did.
    written = Run.load(tmp_path / "search" / "best")
    np.testing.assert_array_equal(written.variables["params"]["head_artist"]["kernel"], soup)
    assert best["chosen"]["loss"] != best["compared"][0]["loss"]


@pytest.mark.slow
def test_a_search_whose_trials_all_diverge_is_one_line(trunk, data_dir, tmp_path):
    config = probe(trunk, optim__name="sgd", optim__clip_norm=0.0, optim__peak_lr=1e32, steps=4)
    with pytest.raises(
        TrainingError, match=r"all \d trials have diverged by step .*lower the range"
    ):
        search(config, Places(tmp_path, data_dir), **ONE)


def test_launch_refuses_a_range_turned_round(trunk, data_dir, tmp_path, monkeypatch):
    given = ["--config", "x", "--mode", "search", "--data_dir", str(data_dir)]
    narrow = probe(trunk, search__peak_lr=(0.02, 0.01))
    monkeypatch.setattr(Command, "config", lambda self: narrow)
    with pytest.raises(ConfigError, match=r"the range is reversed"):
        launch.main([*given, "--workdir", str(tmp_path)])
