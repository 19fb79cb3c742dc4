"""What must not lose work: damaged files, full disks, two processes at once."""

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from guesses import predict
from tiny import stripes, tiny_config

import launch
from artjax.errors import ArtjaxError
from artjax.places import Places
from artjax.runs import Run
from artjax.runtime.locks import only_process
from artjax.train import train
from artjax.training import events
from artjax.training.logs import MetricsLog, read_rows

SHORT = {"model__name": "narrow", "steps": 6, "eval_every": 2, "log_every": 1}


def run(workdir, data_dir, stop=None, **changes):
    config = tiny_config(**SHORT | changes)
    return train(
        config, Places(workdir, data_dir), devices=jax.devices()[:1], stop_after_steps=stop
    )


@pytest.fixture(scope="module")
def stopped(data_dir, tmp_path_factory):
    """A run that stopped after 4 of 6 steps, with the checkpoints of steps 2 and 4; to be copied."""
    workdir = tmp_path_factory.mktemp("runs") / "stopped"
    run(workdir, data_dir, stop=2)
    kept = workdir.parent / "2"
    shutil.copytree(workdir / "checkpoints" / "2", kept)
    run(workdir, data_dir, stop=4)
    if not (workdir / "checkpoints" / "2").exists():  # unless it was the best
        kept.rename(workdir / "checkpoints" / "2")
    return workdir


@pytest.fixture
def workdir(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["record/metadata", "state/_METADATA"])
def test_a_damaged_newest_checkpoint_is_named_and_the_older_one_taken(
    workdir, data_dir, capsys, damaged
):
    (workdir / "checkpoints" / "4" / damaged).write_bytes(b"\0")
    outcome = run(workdir, data_dir)
    said = capsys.readouterr().out
    assert outcome.finished
    assert f"checkpoint {workdir}/checkpoints/4 cannot be read" in said
    assert "resuming from the checkpoint of step 2" in said
    assert (workdir / "damaged-checkpoint-4" / damaged).is_file()


def test_the_only_checkpoint_is_one_line_if_it_is_damaged(workdir, data_dir):
    shutil.rmtree(workdir / "checkpoints" / "2")
    (workdir / "checkpoints" / "4" / "record" / "metadata").write_text("")
    with pytest.raises(ArtjaxError, match="checkpoints/4 cannot be read") as caught:
        run(workdir, data_dir)
    assert "\n" not in str(caught.value)
    assert (workdir / "checkpoints" / "4").is_dir()


@pytest.mark.slow
def test_without_config_json_another_config_is_refused_all_the_same(workdir, data_dir):
    (workdir / "config.json").unlink()
    with pytest.raises(ArtjaxError, match=r"another config: optim.peak_lr: 0.05 there, 0.01 now"):
        run(workdir, data_dir, optim__peak_lr=0.01)
    assert run(workdir, data_dir).finished
    assert (workdir / "config.json").is_file()


def test_a_bad_line_of_metrics_costs_that_row_and_is_reported(workdir, capsys):
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{bad", "3", *lines[1:], '{"step": 9, "x"']))
    rows = read_rows(workdir)
    assert rows == [json.loads(line) for line in lines]
    assert f"{file}: line 2, 3, {len(lines) + 3} cannot be read" in capsys.readouterr().err


def test_an_incomplete_last_line_is_no_news(workdir, capsys):
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "x"')
    read_rows(workdir)
    assert capsys.readouterr().err == ""


def test_events_that_cannot_be_written_never_stop_a_training(tmp_path, monkeypatch, capsys):
    class Full(events.EventsWriter):
        def write_event(self, event):
            if event.step > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write_event(event)

    monkeypatch.setattr(events, "EventsWriter", Full)
    log = MetricsLog(tmp_path, 0)
    for step in range(1, 50):
        log.write(step, {"x": 1.0})
    log.close()
    assert [row["step"] for row in read_rows(tmp_path)] == list(range(1, 50))
    said = capsys.readouterr().err
    assert said.count("TensorBoard events cannot be written") == 1
    assert "No space left on device" in said


def test_events_are_those_that_tensorboard_reads(tmp_path):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    log = MetricsLog(tmp_path, 4)
    log.write(5, {"train/loss": 0.5, "validation/top1": 0.25})
    log.close()
    (file,) = tmp_path.glob("events*")
    found = list(summary_iterator(str(file)))
    assert found[1].session_log.status == found[1].session_log.START
    assert found[1].step == 5
    values = {v.tag: v.simple_value for event in found[2:] for v in event.summary.value}
    assert values == {"train/loss": 0.5, "validation/top1": 0.25}


def test_metrics_that_cannot_be_written_are_one_line(tmp_path):
    log = MetricsLog(tmp_path, 0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(ArtjaxError, match=r"cannot write to .*metrics\.jsonl"):
        log.write(1, {"x": 1.0})
    log.close()


HOLDER = """
import sys
from pathlib import Path
from artjax.runtime.locks import only_process
with only_process(Path(sys.argv[1]), "training"):
    print("there", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_second_training_on_a_workdir_is_refused_until_the_first_is_dead(workdir, data_dir):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workdir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline() == "there\n"
    rows = (workdir / "metrics.jsonl").read_text()
    with pytest.raises(
        ArtjaxError, match=f"is in use: process {first.pid} on .* is training in it"
    ):
        run(workdir, data_dir)
    assert (workdir / "metrics.jsonl").read_text() == rows
    first.kill()
    first.communicate()
    assert run(workdir, data_dir).finished


def test_a_lock_is_free_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), only_process(tmp_path / "new", "testing"):
            raise KeyError
    assert not (tmp_path / "new" / ".lock-holder").exists()


def test_predict_does_what_it_can(workdir, data_dir, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    stripes(0, np.random.default_rng(0)).save(folder / name)
    os.mkfifo(folder / "pipe.jpg")
    result = predict([Run.load(workdir, "last")], [folder, tmp_path / "missing.jpg"])
    assert {guess.path.name for guess in result.guesses} == {name}
    reasons = {path.name: reason for path, reason in result.unusable}
    assert reasons["missing.jpg"] == "no such file or folder"
    assert "pipe.jpg" in reasons
    given = ["--workdir", str(workdir), "--mode", "predict", str(folder)]
    assert launch.main(given) == 0
    table = (workdir / "predict" / "predictions.csv").read_text(encoding="utf-8")
    assert "café.png" in table
    assert len(list(csv.DictReader(io.StringIO(table)))) == 2
