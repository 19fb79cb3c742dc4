"""A workdir of version 0.1.0 can be evaluated, resumed and used to predict, with the same results."""

import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from tiny import stripes

from artjax.config import FIELDS, from_json
from artjax.data import prepared
from artjax.evaluation import evaluate, predict
from artjax.train import train
from artjax.training import experiment
from artjax.training.logs import read_rows

FIXTURE = Path(__file__).parent / "fixtures" / "workdir-0.1.0.tar.xz"


@pytest.fixture
def older(tmp_path, data_dir):
    """The workdir of a run stopped after 6 of 12 steps, and the results that 0.1.0 itself computed."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    workdir = tmp_path / "workdir-0.1.0"
    # The bytes of `tiny`, and so its fingerprint, depend on the versions of the libraries.
    file = workdir / "checkpoints" / "6" / "record" / "metadata"
    record = json.loads(file.read_text())
    record["fingerprint"] = prepared.find("tiny", ("artist",), data_dir).fingerprint
    file.write_text(json.dumps(record))
    return workdir, json.loads((workdir / "expected.json").read_text())


def assert_near(ours, theirs):
    assert ours["n"] == theirs["n"]
    for name in ("loss", "top1", "macro_f1"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.01), name


@pytest.mark.parametrize("one_more_transform", [False, True])
def test_is_evaluated_even_if_the_optimizer_has_changed(
    older, data_dir, monkeypatch, one_more_transform
):
    if one_more_transform:
        create = experiment.optim.create_optimizer
        monkeypatch.setattr(
            experiment.optim,
            "create_optimizer",
            lambda *given: optax.chain(create(*given), optax.scale_by_adam()),
        )
    workdir, expected = older
    result = evaluate.evaluate_workdir(workdir, "test", data_dir=data_dir)
    assert result["checkpoint_step"] == 6
    assert_near(result["tasks"]["artist"], expected["evaluated"]["artist"])


@pytest.mark.slow
def test_resumed_run_equals_that_of_0_1_0(older, data_dir):
    workdir, expected = older
    config = from_json((workdir / "config.json").read_text())
    outcome = train(config, workdir, data_dir, devices=jax.devices()[:1])
    assert outcome.finished
    rows = [row for row in read_rows(workdir) if row["step"] > 6]
    assert len(rows) == len(expected["rows_after_resuming"])
    for ours, theirs in zip(rows, expected["rows_after_resuming"], strict=True):
        assert ours.keys() >= theirs.keys()
        # 0.1.0 evaluated the EMA of the parameters with the running statistics of others.
        for name in theirs.keys() - {"validation/loss", "validation/top1"}:
            assert ours[name] == pytest.approx(theirs[name], rel=0.1), name


def test_predicts(older, tmp_path):
    stripes(0, np.random.default_rng(0)).save(tmp_path / "picture.png")
    result = predict.predict(older[0], [tmp_path / "picture.png"])
    assert {guess.label for guess in result.guesses} == {"ada", "bo", "cy"}


def test_a_missing_field_gets_the_value_that_the_run_had(older):
    text = (older[0] / "config.json").read_text()
    whole = from_json(text)
    defaults_of_0_1_0 = {
        "source": "auto",
        "accumulate": 1,
        "remat": False,
        "optim.nesterov": False,
        "augment.mixup": 0.0,
        "ema_decay": 0.0,
    }
    for name, value in defaults_of_0_1_0.items():
        shorter = json.loads(text)
        *path, leaf = name.split(".")
        section = shorter
        for part in path:
            section = section[part]
        del section[leaf]
        restored = from_json(json.dumps(shorter))
        found = restored
        for part in name.split("."):
            found = found[part]
        assert found == value == FIELDS[name].when_absent
        assert restored.keys() == whole.keys()
