"""A search among trainings, each a run of its own."""

import csv
import json

import jax
import pytest
from tiny import tiny_config

from artjax.errors import TrainingError
from artjax.evaluation import evaluate
from artjax.modes.search import trials
from artjax.modes.search.mode import search
from artjax.places import Places

ONE = {"devices": jax.devices()[:1]}


def config(**changes):
    given = {"steps": 4, "eval_every": 1, "log_every": 4, "search__trials": 3, "search__members": 2}
    return tiny_config(model__name="narrow", **given | changes)


def table(workdir):
    return list(csv.DictReader((workdir / "search" / "trials.csv").read_text().splitlines()))


@pytest.mark.slow
def test_a_killed_search_loses_no_trial_and_counts_none_twice(
    data_dir, tmp_path, monkeypatch, capsys
):
    given = config(eval_every=2, search__trials=2, search__halving=2, search__members=1)
    best = search(given, Places(tmp_path / "whole", data_dir), **ONE).best
    assert best["trials"] == 2
    train, calls = trials.train, []

    def killed(*arguments, **named):
        calls.append(named["stop_after_steps"])
        if len(calls) in (2, 4):
            # In the middle of a trial: after a rung, and before the first one.
            train(*arguments, **named | {"stop_after_steps": calls[-1] - 1})
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(trials, "train", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(given, Places(tmp_path / "killed", data_dir), **ONE)
    capsys.readouterr()
    again = search(given, Places(tmp_path / "killed", data_dir), **ONE).best
    assert calls[:4] == [2, 4, 4, 2]
    assert "1 of 2 trials are done already" in capsys.readouterr().out
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
    assert again["hyperparameters"] == best["hyperparameters"]
    folders = sorted(p.name for p in (tmp_path / "killed" / "search").glob("trial0*"))
    assert folders == [f"trial{number:03}" for number in range(2)]


@pytest.mark.slow
def test_the_number_of_trials_is_the_total_with_tpe_as_well(data_dir, tmp_path):
    settings = {"search__sampler": "tpe", "search__halving": 1, "search__members": 1}
    given = config(steps=1, search__trials=2, **settings)
    search(given, Places(tmp_path / "whole", data_dir), **ONE)
    given.search.trials = 1
    search(given, Places(tmp_path / "grown", data_dir), **ONE)
    assert len(table(tmp_path / "grown")) == 1
    given.search.trials = 2
    search(given, Places(tmp_path / "grown", data_dir), **ONE)
    assert table(tmp_path / "grown") == table(tmp_path / "whole")


@pytest.mark.slow
def test_trials_are_runs_judged_on_validation_only(data_dir, tmp_path, monkeypatch):
    seen = []
    predict_and_evaluate = evaluate.predict_and_evaluate

    def record(opened, name):
        seen.append(name)
        return predict_and_evaluate(opened, name)

    monkeypatch.setattr(evaluate, "predict_and_evaluate", record)
    given = config(search__halving=1, eval__report=True)
    best = search(given, Places(tmp_path, data_dir), **ONE).best
    assert set(seen) == {"validation"}
    rows = table(tmp_path)
    assert {row["status"] for row in rows} == {"finished"}
    for row in rows:
        folder = tmp_path / "search" / row["folder"]
        assert not (folder / "evaluation" / "test").exists()
        assert not (folder / "report-validation").exists()  # nobody would look at so many
        metrics = json.loads((folder / "evaluation" / "validation" / "metrics.json").read_text())
        assert metrics["tasks"]["artist"]["top1"] == float(row["validation_top1"])
        written = json.loads((folder / "config.json").read_text())
        assert written["optim"]["peak_lr"] == float(row["peak_lr"])
    assert best["hyperparameters"]["optim.peak_lr"] == float(rows[0]["peak_lr"])
    assert [row["kind"] for row in best["compared"]] == ["single", "ensemble"]


def test_a_finished_trial_is_scored_over_all_its_tasks(tmp_path):
    tasks = {"artist": (0.5, 1.25), "genre": (0.75, 0.5)}
    rows = {task: dict(zip(("top1", "loss"), of, strict=True)) for task, of in tasks.items()}
    file = tmp_path / "evaluation" / "validation" / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"tasks": rows, "checkpoint_step": 20}))
    errors = {10: 0.5, 20: 0.25, 30: 0.125}  # by step; the best checkpoint is that of step 20
    with (tmp_path / "metrics.jsonl").open("w") as log:
        for step, error in errors.items():
            row = {"step": step, "validation/top1": 0.5, "validation/top1_standard_error": error}
            log.write(json.dumps(row) + "\n")
    assert trials._finished(tmp_path) == (0.625, 1.75, 0.25)


@pytest.mark.slow
def test_the_trials_that_are_worse_at_a_rung_are_stopped(data_dir, tmp_path, monkeypatch):
    """Three trials one after the other, whose validations are set: 0.5, then a worse and a better."""
    read, set_to = trials._validations, {"trial000": 0.5, "trial001": 0.25, "trial002": 0.75}

    def rows(workdir):
        return [row | {"validation/top1": set_to[workdir.name]} for row in read(workdir)]

    monkeypatch.setattr(trials, "_validations", rows)
    given = config(search__halving=2, search__members=1, steps=2, search__weight_decay=(1e-4, 1e-3))
    given.optim.weight_decay = 0.0  # which is in no range of Optuna's
    best = search(given, Places(tmp_path, data_dir), **ONE).best
    status = {row["trial"]: row["status"] for row in table(tmp_path)}
    assert status["1"] == "stopped at step 1"
    assert status["2"] == "finished"
    own = next(row for row in table(tmp_path) if row["trial"] == "0")
    assert (own["peak_lr"], own["weight_decay"]) == (str(given.optim.peak_lr), "0.0")
    assert own["status"] == "finished"
    assert best["comparison"]["others"] == 1


@pytest.mark.slow
def test_a_diverged_trial_is_counted_and_said(data_dir, tmp_path, capsys):
    given = config(search__trials=1, optim__peak_lr=1e32, optim__clip_norm=0.0)
    with pytest.raises(TrainingError, match=r"none of the 1 trials was trained to its end"):
        search(given, Places(tmp_path, data_dir), **ONE)
    assert "trial 0: failed: " in capsys.readouterr().out
