"""Switches of a training: each resumes bit for bit, says what it does, and does it."""

import atexit
import json
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from test_train import assert_same_run, last_state, one
from tiny import tiny_config, write_tiny

from artjax.config import FIELDS, default_config
from artjax.config.fields import set_field
from artjax.evaluation import evaluate
from artjax.places import Places
from artjax.train import train
from artjax.training import optim, switches
from artjax.training.logs import read_rows

SHORT = {"steps": 6, "eval_every": 2, "log_every": 2, "optim__warmup_epochs": 0.0}
SHORT |= {"model__name": "narrow_bn"}

# With this rate the loss falls by less than what counts, so the learning rate falls.
PLATEAU = {"optim__schedule": "plateau", "optim__plateau_patience": 1, "optim__peak_lr": 1e-6}

# Several at once: what each of them computes is tested with the optimizers, losses and so on.
SWITCHED = {
    "lion one_cycle class_weights focal": {
        "optim__name": "lion",
        "optim__peak_lr": 0.0,
        "optim__schedule": "one_cycle",
        "loss__class_weights": "balanced",
        "loss__focal_gamma": 2.0,
        "optim__label_smoothing": 0.1,
        "task": ("artist", "genre"),
    },
    "lamb restarts sam balanced": {
        "optim__name": "lamb",
        "optim__peak_lr": 0.0,
        "optim__schedule": "restarts",
        "optim__sam_rho": 0.05,
        "sampling": "balanced",
    },
    "plateau trivial mixup": PLATEAU | {"augment__policy": "trivial", "augment__mixup": 0.2},
}


@cache
def uneven_data_dir():
    """A data directory in which the classes have different numbers of works."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    write_tiny(folder, splits={"train": 40, "validation": 20, "test": 19})
    return folder


def loss_of(outcome):
    return outcome.results["test"]["tasks"]["artist"]["loss"]


@cache
def plain_loss():
    """What a run without switches reaches."""
    with tempfile.TemporaryDirectory() as folder:
        return loss_of(one(tiny_config(**SHORT), Path(folder), uneven_data_dir()))


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHED)
def test_resumed_run_equals_uninterrupted_run_with(name, tmp_path, capsys):
    config, data_dir = tiny_config(**SHORT | SWITCHED[name]), uneven_data_dir()
    outcome = one(config, tmp_path / "whole", data_dir)
    said = capsys.readouterr().out
    for stop in (3, None):  # between two validations
        one(config, tmp_path / "resumed", data_dir, stop_after_steps=stop)
    assert_same_run(tmp_path / "whole", tmp_path / "resumed")
    assert loss_of(outcome) != plain_loss()
    for line in switches.in_words(config):
        assert line in said
    assert f"{switches.in_brief(config)}\nbest checkpoint" in said


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_plateau_lowers_the_logged_learning_rate_and_says_so(devices, data_dir, tmp_path, capsys):
    settings = SHORT | {"steps": 10, "optim__warmup_steps": 2} | PLATEAU
    train(tiny_config(**settings), Places(tmp_path, data_dir), devices=jax.devices()[:devices])
    rows = read_rows(tmp_path)
    losses = {row["step"]: row["validation/loss"] for row in rows if "validation/loss" in row}
    rates = {row["step"]: row["train/learning_rate"] for row in rows if "train/loss" in row}
    best, rate, fell = np.inf, 1e-6, []
    for step in (4, 6, 8, 10):  # that of step 2 is of the warm-up
        assert rates[step] == pytest.approx(rate, rel=1e-5, abs=0)
        if losses[step] < best * (1 - 1e-4):
            best = losses[step]
        else:
            rate *= 0.1
            fell.append(step)
    said = capsys.readouterr().out
    assert fell
    assert re.findall(r"^step (\d+): the learning rate falls to ", said, re.M) == list(
        map(str, fell)
    )
    assert float(optim.plateau_scale(last_state(tmp_path).opt_state)) == pytest.approx(
        1e6 * rate, rel=1e-5
    )


# The rate is so low that the loss stays the same.
STUCK = {"steps": 40, "eval_every": 3, "log_every": 2, "optim__peak_lr": 1e-30}
STUCK |= {"optim__warmup_epochs": 0.0, "early_stop_patience": 2, "model__name": "narrow"}


@pytest.mark.slow
def test_early_stopping_stops_at_the_same_step_when_resumed(data_dir, tmp_path, capsys):
    config = tiny_config(**STUCK, checkpoint_every=4)
    outcome = one(config, tmp_path / "whole", data_dir)
    said = capsys.readouterr().out
    best = outcome.results["test"]["checkpoint_step"]
    assert (outcome.step, outcome.finished) == (best + 6, True)
    stopped = (
        f"stopped early at step {best + 6} of 40: neither a better checkpoint nor a lower loss in 2"
    )
    assert stopped in said
    assert max(row["step"] for row in read_rows(tmp_path / "whole")) <= outcome.step
    for stop in (7, None):
        again = one(config, tmp_path / "resumed", data_dir, stop_after_steps=stop)
    assert again == outcome
    assert_same_run(tmp_path / "whole", tmp_path / "resumed")
    capsys.readouterr()
    before = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    again = one(config, tmp_path / "whole", data_dir)
    said = capsys.readouterr().out
    assert again == outcome
    assert f"this run is finished: {stopped}" in said
    assert "first step after" not in said
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == before
    metrics = tmp_path / "whole" / "evaluation" / "test" / "metrics.json"
    assert json.loads(metrics.read_text())["checkpoint_step"] == best


@pytest.mark.slow
def test_patience_that_is_never_exhausted_changes_nothing(data_dir, tmp_path):
    one(tiny_config(**SHORT), tmp_path / "without", data_dir)
    one(tiny_config(**SHORT, early_stop_patience=100), tmp_path / "with", data_dir)
    assert_same_run(tmp_path / "without", tmp_path / "with")


@pytest.mark.slow
def test_a_restored_run_with_class_weights_needs_no_labels_of_train(data_dir, tmp_path):
    config = tiny_config(**SHORT | {"steps": 2}, loss__class_weights="balanced")
    one(config, tmp_path, data_dir)
    result = evaluate.evaluate_workdir(tmp_path, "test", data_dir=data_dir)
    assert result["tasks"]["artist"]["n"] == 19


def test_with_everything_off_nothing_is_said():
    config = tiny_config()
    assert switches.in_words(config) == []
    assert switches.in_brief(config) == ""


ON = {
    "optim.name": "adamw",
    "optim.schedule": "restarts",
    "optim.sam_rho": 0.05,
    "optim.label_smoothing": 0.1,
    "optim.head_solved": True,
    "ema_decay": 0.9,
    "sampling": "balanced",
    "loss.class_weights": "balanced",
    "loss.focal_gamma": 2.0,
    "augment.policy": "trivial",
    "augment.mixup": 0.2,
    "augment.cutmix": 1.0,
    "early_stop_patience": 5,
}


@pytest.mark.parametrize("name", ON)
def test_each_switch_is_said_in_one_line(name):
    assert name in FIELDS
    config = default_config()
    assert switches.in_words(config) == []
    set_field(config, name, ON[name])
    (line,) = switches.in_words(config)
    brief = switches.in_brief(config)
    assert "\n" not in line
    assert line.startswith(f"with {brief.removeprefix('trained with ')}: ")
    assert len(ON) == len(switches.SWITCHES)


def test_what_label_smoothing_does_is_said_in_the_words_of_the_field():
    config = default_config()
    set_field(config, "optim.label_smoothing", 0.1)
    assert switches.in_words(config) == [
        "with label smoothing 0.1: reduces overconfidence; the loss of train stays above 0"
    ]
