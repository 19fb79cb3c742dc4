"""A search among heads on cached features, against trainings one after the other."""

import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from tiny import tiny_config

import launch
from artjax.errors import TrainingError
from artjax.evaluation import evaluate
from artjax.modes.search import heads
from artjax.modes.search.mode import search
from artjax.modes.search.space import space_of, with_hyperparameters
from artjax.train import train

narrow_config = partial(tiny_config, model__name="narrow_bn")

ONE = {"devices": jax.devices()[:1]}
FREEZE = (("(?!head_).*", 0.0),)


@pytest.fixture(scope="module")
def trunk(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trunk")
    assert train(narrow_config(task=("genre",), steps=10), workdir, data_dir, **ONE).finished
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
    config.seed = 1
    programs = [(drawn.layers, drawn.dropout) for drawn in map(space_of(config).draw, range(3))]
    assert programs == [((8,), 0.4), ((8,), 0.0), ((8,), 0.4)]  # two of them in one program
    best = search(config, tmp_path / "s", data_dir, **ONE).best
    lines = rows(tmp_path / "s").splitlines()
    for line in lines[1:]:
        _, number, *_, top1, loss, status, _ = line.split(",")
        assert status == "finished"
        drawn = space_of(config).draw(int(number))
        alone = with_hyperparameters(config, drawn)
        train(alone, tmp_path / number, data_dir, evaluated=("validation",), **ONE)
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
    whole = search(config, tmp_path / "whole", data_dir, **ONE).best
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
        search(config, tmp_path / "killed", data_dir, **ONE)
    monkeypatch.setattr(heads.HeadSearch, "_save", save)
    resumed = search(config, tmp_path / "killed", data_dir, **ONE).best
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

    def record(experiment, variables, split, *more):
        seen.append(split.name)
        return predict(experiment, variables, split, *more)

    monkeypatch.setattr(evaluate, "predict_split", record)
    best = search(probe(trunk), tmp_path, data_dir, **ONE).best
    assert set(seen) == {"validation"}
    chosen = best["chosen"]
    kinds = {(row["kind"], len(row["trials"])) for row in best["compared"]}
    assert kinds == {("single", 1), ("ensemble", 2), ("soup", 2)}
    folder = tmp_path / "search" / chosen["workdirs"][0]
    again = evaluate.evaluate_workdir(folder, "validation", data_dir=data_dir)
    expected = chosen if len(chosen["workdirs"]) == 1 else best["compared"][0]
    assert again["tasks"]["artist"]["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert again["checkpoint_step"] == 16
    # Typed again, it only reports; the trials are not trained again.
    monkeypatch.setattr(heads.HeadSearch, "_train_group", None)
    assert search(probe(trunk), tmp_path, data_dir, **ONE).best == best
    # A run can be resumed as any other: it is finished.
    shutil.copytree(folder, tmp_path / "copy")
    outcome = train(
        with_hyperparameters(probe(trunk), space_of(probe(trunk)).draw(chosen["trials"][0])),
        tmp_path / "copy",
        data_dir,
        **ONE,
    )
    assert outcome.finished
    assert outcome.results["test"]["checkpoint_step"] == 16


@pytest.mark.slow
def test_a_soup_is_the_mean_of_the_parameters(trunk, data_dir, tmp_path, monkeypatch):
    found = []
    init = heads.HeadSearch.__init__

    def keep(self, *arguments):
        found.append(self)
        init(self, *arguments)

    monkeypatch.setattr(heads.HeadSearch, "__init__", keep)
    search(probe(trunk, search__halving=1, search__trials=2), tmp_path, data_dir, **ONE)
    states = [found[0].group_of(trial).of(trial) for trial in (0, 1)]
    kernels = [np.asarray(state.params["head_artist"]["kernel"]) for state in states]
    soup = found[0].soup([0, 1])["params"]["head_artist"]["kernel"]
    np.testing.assert_allclose(soup, (kernels[0] + kernels[1]) / 2, rtol=1e-6)
    assert np.abs(kernels[0] - kernels[1]).max() > 0


@pytest.mark.slow
def test_a_search_whose_trials_all_diverge_is_one_line(trunk, data_dir, tmp_path):
    config = probe(
        trunk, optim__name="sgd", optim__clip_norm=0.0, search__peak_lr=(1e30, 1e35), steps=4
    )
    with pytest.raises(
        TrainingError, match=r"all \d trials have diverged by step .*lower the range"
    ):
        search(config, tmp_path, data_dir, **ONE)


def test_launch_refuses_folds_and_a_range_turned_round(trunk, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("launch._config", lambda *_: probe(trunk, folds=3))
    given = ["--config", "x", "--mode", "search", "--data_dir", str(data_dir)]
    with pytest.raises(launch.ConfigError, match=r"--config\.folds: a search needs one validation"):
        launch.main([*given, "--workdir", str(tmp_path)])
    monkeypatch.setattr("launch._config", lambda *_: probe(trunk, search__peak_lr=(0.02, 0.01)))
    with pytest.raises(launch.ConfigError, match=r"the range is turned round"):
        launch.main([*given, "--workdir", str(tmp_path)])
