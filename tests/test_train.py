"""Whole runs on the collection `tiny`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import jax
import numpy as np
import pytest
from processes import environment, wait_for
from tiny import AUGMENTED, tiny_config

from artjax.data import prepared as prepared_lib
from artjax.errors import TrainingError, WorkdirError
from artjax.evaluation import evaluate
from artjax.places import Places
from artjax.runs import read_config
from artjax.runs.run import latest_record
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training.checkpoint import Checkpoints
from artjax.training.logs import read_rows
from artjax.training.training import create_training
from launch import main as launch_main


def one(config, workdir, data_dir, canvas_dir=None, **settings):
    places = Places(workdir, data_dir, canvas_dir)
    return train(config, places, devices=jax.devices()[:1], **settings)


def rows_without_speed(workdir):
    return [
        {k: v for k, v in row.items() if not k.startswith("perf/")} for row in read_rows(workdir)
    ]


def last_state(workdir):
    """The whole training state of the last checkpoint, on the devices."""
    config = read_config(workdir)
    tasks = {"artist": 3, "genre": 2}
    classes = {task: tasks[task] for task in config.task}
    training = create_training(config, classes, 60, create_mesh(config.fsdp))
    checkpoints = Checkpoints(workdir, read_only=True)
    state = checkpoints.restore(checkpoints.latest_step, training.abstract_state)
    checkpoints.close()
    return state


def assert_same_run(one_workdir, other_workdir):
    assert rows_without_speed(one_workdir) == rows_without_speed(other_workdir)
    states = [jax.device_get(last_state(workdir)) for workdir in (one_workdir, other_workdir)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    for split in ("validation", "test"):
        files = [w / "evaluation" / split / "metrics.json" for w in (one_workdir, other_workdir)]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """An uninterrupted run. Tests only read or copy it."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    outcome = one(tiny_config(), workdir, data_dir)
    assert outcome.finished
    return workdir


def test_a_run_learns_and_leaves_a_complete_workdir(finished):
    rows = read_rows(finished)
    training = [row for row in rows if "train/loss" in row]
    assert [row["step"] for row in training] == [4, 8, 12]
    names = ("loss", "top1", "learning_rate", "gradient_norm")
    perf = ("images_per_second", "data_wait", "tflops_per_second")  # a CPU has no known peak
    assert set(training[0]) == {"step", "epoch"} | {f"perf/{name}" for name in perf} | {
        f"train/{name}" for name in names
    }
    for row in training[1:]:
        assert 0 <= row["perf/data_wait"] <= 1
        # Forward passes of vgg_small at 32 px, three times: 8.7 million multiply-adds, counted by hand.
        per_image = row["perf/tflops_per_second"] * 1e12 / row["perf/images_per_second"]
        assert per_image == pytest.approx(3 * 2 * 8_700_288)
    assert training[-1]["train/loss"] < 0.5 * training[0]["train/loss"]
    assert training[-1]["epoch"] == pytest.approx(12 * 16 / 60)
    validations = [row for row in rows if "validation/loss" in row]
    assert [row["step"] for row in validations] == [6, 12]
    assert set(validations[0]) == {
        "step",
        "validation/loss",
        "validation/top1",
        "validation/top1_standard_error",
        "validation/probability",
    }
    names = {path.name.partition(".")[0] for path in finished.iterdir() if path.name[0] != "."}
    kept = {"learnt_from", "reliability", "train_embeddings"}
    kept |= {"metrics", "events", "history"}
    assert names == {"checkpoints", "config", "evaluation"} | kept


def test_metrics_json_has_the_documented_fields(finished):
    result = json.loads((finished / "evaluation" / "test" / "metrics.json").read_text())
    assert set(result) >= {"split", "checkpoint_step", "tasks", "views", "cluster_by"}
    assert set(result["tasks"]["artist"]) == {
        *("n", "official_n", "loss", "top1", "top1_ci95", "top1_trials", "top5", "macro_f1"),
        *("baselines", "classes", "labelled_classes", "predicted_classes", "works", "not_finite"),
        *("aurc", "average_precision", "class_names"),
        *("auroc", "auroc_classes", "balanced_accuracy", "by_class", "brier", "ece", "clusters"),
        *("auroc_ci95", "balanced_accuracy_ci95", "macro_f1_ci95", "paired"),
        *("temperature", "loss_uncalibrated", "brier_uncalibrated", "ece_uncalibrated"),
        *("error_rate", "sure_from", "n_sure", "n_sure_wrong", "sure_trials", "n_unlike_train"),
        *("n_unseen_works", "top1_unseen_works", "n_without_copies", "top1_without_copies"),
        *("source_facts",),
    }
    assert result["tasks"]["artist"]["n"] == 19


@pytest.mark.slow
def test_validation_rises_with_training_while_the_average_is_young(data_dir, tmp_path):
    # The average of the parameters with the running statistics of the live ones scored 0.3.
    config = tiny_config(ema_decay=0.99, steps=60, eval_every=15, log_every=15)
    one(config, tmp_path, data_dir)
    rows = [row["validation/top1"] for row in read_rows(tmp_path) if "validation/top1" in row]
    assert max(rows[1:3]) >= 0.75
    assert rows[-1] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "changes"),
    [(1, {"ema_decay": 0.9, "accumulate": 2}), (8, {"fsdp": 4})],
    ids=["ema and accumulate", "fsdp"],
)
def test_resumed_run_equals_uninterrupted_run_with_augmentations_and_other_sources(
    devices, changes, data_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr("artjax.runtime.mesh.MIN_SHARDED_SIZE", 2**8)
    settings = AUGMENTED | changes | {"steps": 6, "eval_every": 3, "log_every": 2}
    settings |= {"model__name": "narrow_bn"}
    several = {"devices": jax.devices()[:devices]}
    train(tiny_config(**settings), Places(tmp_path / "whole", data_dir), **several)
    # Stopped before the first row and checkpoint, and between two rows.
    for source, stop in (("device", 1), ("host", 5), ("device", None)):
        config = tiny_config(**settings, source=source)
        outcome = train(
            config, Places(tmp_path / "resumed", data_dir), stop_after_steps=stop, **several
        )
        assert (outcome.step, outcome.finished) == (stop or 6, stop is None)
    assert_same_run(tmp_path / "whole", tmp_path / "resumed")
    # The EMA differs from the parameters, and each device holds only a share of the kernels.
    state = last_state(tmp_path / "resumed")
    if "ema_decay" in changes:
        averaged, live = state.ema["params"]["conv1_1"], state.params["conv1_1"]
        assert not np.array_equal(averaged["kernel"], live["kernel"])
    if "fsdp" in changes:
        kernel = state.params["conv3_2"]["kernel"]
        assert kernel.addressable_shards[0].data.size * 4 == kernel.size


LONGER = {"model__name": "narrow_bn", "steps": 0, "eval_every": 4, "log_every": 2}
LONGER |= {"optim__warmup_steps": 2, "optim__warmup_epochs": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [None, 6], ids=["finished", "interrupted"])
def test_a_run_trained_longer_equals_one_that_was_meant_to_be(stopped, data_dir, tmp_path, capsys):
    settings = LONGER | {"optim__schedule": "constant"}
    short, long = (tiny_config(**settings, epochs=epochs) for epochs in (2.0, 4.0))
    one(long, tmp_path / "whole", data_dir)
    first = one(short, tmp_path / "longer", data_dir, stop_after_steps=stopped)
    assert first.finished == (stopped is None)
    capsys.readouterr()
    outcome = one(long, tmp_path / "longer", data_dir)
    said = capsys.readouterr().out
    assert "trained longer: 15 steps instead of 8; the learning rate stays 0.05" in said
    assert (outcome.step, outcome.finished) == (15, True)
    assert read_config(tmp_path / "longer").epochs == 4
    assert_same_run(tmp_path / "whole", tmp_path / "longer")


@pytest.mark.slow
def test_a_falling_learning_rate_goes_on_where_the_longer_schedule_has_it(
    data_dir, tmp_path, capsys
):
    settings = LONGER | {"optim__schedule": "cosine"}
    one(tiny_config(**settings, epochs=2.0), tmp_path, data_dir)
    lowered = tiny_config(**settings, epochs=1.0)
    with pytest.raises(WorkdirError, match="can be trained longer, but not shorter"):
        one(lowered, tmp_path, data_dir)
    other = tiny_config(**settings | {"optim__peak_lr": 0.01}, epochs=4.0)
    with pytest.raises(WorkdirError, match="change nothing but its epochs"):
        one(other, tmp_path, data_dir)
    assert read_config(tmp_path).epochs == 2
    capsys.readouterr()
    one(tiny_config(**settings, epochs=4.0), tmp_path, data_dir)
    said = capsys.readouterr().out
    assert re.search(
        r"trained longer: .*; the learning rate goes from 0\.0\d+ to 0\.0[23]\d*", said
    )
    rates = [row["train/learning_rate"] for row in read_rows(tmp_path) if "train/loss" in row]
    # Cosine from step 2 to 8, then from 8 as part of 2 to 15.
    assert rates[3] < 0.01 < rates[4]


@pytest.mark.slow
def test_streamed_run_resumed_gives_the_same_bits_and_stays_streamed(data_dir, tmp_path, capsys):
    config = tiny_config(source="stream")
    one(config, tmp_path / "whole", data_dir, canvas_dir=tmp_path / "canvases")
    one(config, tmp_path / "resumed", data_dir, stop_after_steps=7)
    said = capsys.readouterr().out
    assert "source: stream, as set" in said
    assert not list((tmp_path / "canvases").glob("**/*.images.npy"))
    with pytest.raises(WorkdirError, match="source: stream there, host now"):
        one(tiny_config(source="host"), tmp_path / "resumed", data_dir)
    one(config, tmp_path / "resumed", data_dir)
    assert_same_run(tmp_path / "whole", tmp_path / "resumed")
    rows = [row for row in read_rows(tmp_path / "whole") if "train/loss" in row]
    assert rows[-1]["train/loss"] < 0.5 * rows[0]["train/loss"]
    there = evaluate.evaluate_workdir(tmp_path / "whole", "test", data_dir=data_dir)
    whole = tmp_path / "whole" / "evaluation" / "test" / "metrics.json"
    assert there == json.loads(whole.read_text())


@pytest.mark.slow
def test_no_thread_is_left_when_a_run_ends_early(data_dir, tmp_path):
    for source in ("device", "host", "stream"):
        config = tiny_config(model__name="narrow", source=source)
        one(config, tmp_path / source, data_dir, stop_after_steps=1)
        assert not any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.slow
def test_loss_curve_is_the_same_on_eight_devices(finished, data_dir, tmp_path):
    train(tiny_config(), Places(tmp_path / "eight", data_dir))
    eight = rows_without_speed(tmp_path / "eight")
    for a, b in zip(rows_without_speed(finished), eight, strict=True):
        assert a.keys() == b.keys()
        if "train/loss" in a:
            np.testing.assert_allclose(a["train/loss"], b["train/loss"], rtol=0.02, atol=2e-3)


def test_a_finished_run_says_so_and_changes_nothing(finished, data_dir, capsys):
    before = (finished / "metrics.jsonl").read_bytes()
    outcome = one(tiny_config(), finished, data_dir)
    assert outcome.finished
    assert "this run is finished" in capsys.readouterr().out
    assert (finished / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", ["a metric", "the baselines", "half of the file", "its views"])
def test_results_that_lack_something_are_evaluated_again(finished, data_dir, tmp_path, damage):
    """Such as those of an earlier version, which had fewer numbers."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    file = workdir / "evaluation" / "test" / "metrics.json"
    whole = file.read_text()
    result = json.loads(whole)
    if damage == "a metric":
        del result["tasks"]["artist"]["balanced_accuracy"]
    elif damage == "the baselines":
        del result["tasks"]["artist"]["baselines"]
    elif damage == "its views":
        del result["views"]
    text = json.dumps(result)
    file.write_text(text[: len(text) // 2] if damage == "half of the file" else text)
    assert one(tiny_config(), workdir, data_dir).results["test"] == json.loads(whole)
    assert file.read_text() == whole


@pytest.mark.slow
def test_first_lines_describe_the_run(data_dir, tmp_path, capsys):
    one(tiny_config(), tmp_path, data_dir, stop_after_steps=1)
    said = capsys.readouterr().out
    for part in (
        *(
            "artist on tiny 1.0.0",
            "1 × CPU",
            "source: host, the devices use the host's memory",
            "train: 60 images",
            "test: 19 images",
            "3 classes",
        ),
        *("chance 33.3%", "parameters", "12 steps of 16 images", "1.0986 (ln 3 = 1.0986)"),
    ):
        assert part in said


def test_another_config_is_refused_with_the_differences(finished, data_dir):
    before = (finished / "config.json").read_bytes()
    with pytest.raises(WorkdirError, match=r"optim.peak_lr: 0.05 there, 0.5 now"):
        one(tiny_config(optim__peak_lr=0.5), finished, data_dir)
    assert (finished / "config.json").read_bytes() == before


def test_changed_data_is_refused(finished, data_dir, tmp_path):
    from tiny import write_tiny

    write_tiny(tmp_path, splits={"train": 40, "validation": 9, "test": 9})
    says = re.escape(f"with --config.model.weights={finished} it goes on from this network")
    with pytest.raises(WorkdirError, match=says) as caught:
        one(tiny_config(), finished, tmp_path)
    assert "built again since, or is another (the fingerprint differs)\n" in str(caught.value)
    with pytest.raises(WorkdirError, match="fingerprint differs"):
        evaluate.evaluate_workdir(finished, "test", data_dir=tmp_path)


def test_classes_that_a_set_has_gained_or_lost_since_are_counted(finished, data_dir):
    record = latest_record(finished)
    now = prepared_lib.find("tiny", ("artist",), data_dir)
    now = replace(now, fingerprint="other", labels={"artist": ("ada", "bo", "di", "eve")})
    with pytest.raises(WorkdirError, match="2 new classes of artist; 1 classes of artist fewer"):
        record.check_same_data(finished, now)


@pytest.mark.slow
def test_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    data_dir, tmp_path
):
    config = tiny_config(
        optim__peak_lr=1e30, optim__clip_norm=0.0, optim__warmup_epochs=0.0, checkpoint_every=1
    )
    config.optim.schedule = "step"
    config.optim.peak_lr = 1e30
    with pytest.raises(TrainingError) as caught:
        one(config, tmp_path, data_dir)
    said = str(caught.value)
    assert "the loss is not finite at step" in said
    assert "gradient norm" in said
    assert "--config.optim.peak_lr" in said
    checkpoints = Checkpoints(tmp_path, read_only=True)
    step = checkpoints.latest_step
    assert f"the checkpoint of step {step} is kept" in said
    checkpoints.close()


@pytest.mark.slow
def test_tasks_are_trained_together_with_unknown_labels_masked(data_dir, tmp_path):
    config = tiny_config(model__name="narrow", task=("artist", "genre"), steps=2)
    outcome = one(config, tmp_path, data_dir)
    tasks = outcome.results["test"]["tasks"]
    assert tasks["artist"]["n"] == 19
    assert tasks["genre"]["n"] == 12  # a third of the genres is unknown


FLAGS = [
    *("--config", "configs/artist.py:tiny", "--config.image_size=32", "--config.canvas_size=40"),
    *("--config.batch_size=16", "--config.steps=12", "--config.eval_every=6"),
    *("--config.log_every=4", "--config.model.name=vgg_small", "--config.model.dropout=0.2"),
    "--config.optim.peak_lr=0.05",
]


NARROW = ("--config.model.name=narrow_bn",)
KNOWING_NARROW = "import sys, launch, narrow; sys.exit(launch.main(sys.argv[1:]))"


def start(script, root, workdir, data_dir, *more):
    """A run in another process, on one device."""
    return subprocess.Popen(
        [
            *(sys.executable, *script, *FLAGS),
            *("--data_dir", str(data_dir), "--workdir", str(workdir), *more),
        ],
        cwd=root,
        env=environment(devices=1),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


LONG = ("--config.steps=100000", "--config.checkpoint_every=5", "--config.eval_every=50000")


@pytest.mark.slow
def test_killed_run_resumes_from_its_last_checkpoint_and_compiles_nothing(
    data_dir, tmp_path, monkeypatch, pytestconfig
):
    for name in [name for name in os.environ if name.startswith(("JAX_COMP", "JAX_PERS"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = (*NARROW, "--config.steps=24", "--config.checkpoint_every=1")

    def start_in(folder):
        return start(["-c", KNOWING_NARROW], pytestconfig.rootpath, folder, data_dir, *settings)

    killed = start_in(tmp_path / "killed")
    folder = tmp_path / "killed" / "checkpoints"
    wait_for(
        lambda: (
            folder.is_dir() and any(p.name.isdigit() and int(p.name) >= 5 for p in folder.iterdir())
        )
    )
    killed.kill()
    said, _ = killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    compiled = tmp_path / "cache" / "artjax" / "compiled"
    kept = rf"\d+ programs compiled in [\d.]+ s, kept in {compiled} for the next start"
    assert re.search(rf"first step after [\d.]+ s: {kept}\n", said)
    assert compiled.stat().st_mode & 0o077 == 0  # its programs are executed: nobody else may write
    assert not (tmp_path / "killed" / "evaluation").exists()
    again = start_in(tmp_path / "killed")
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "resuming from the checkpoint of step" in said
    assert re.search(rf": nothing compiled, \d+ compiled programs read from {compiled}\n", said)
    whole = start_in(tmp_path / "whole")
    said, _ = whole.communicate()
    assert whole.returncode == 0, said
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def assert_stopped(workdir, number, status, said):
    assert status == 128 + number
    assert "Traceback" not in said
    assert f"stopped by {number.name} at step" in said
    checkpoints = Checkpoints(workdir, read_only=True)
    assert f"at step {checkpoints.latest_step:,} of 100,000" in said
    checkpoints.close()


@pytest.mark.slow
def test_ctrl_c_saves_and_exits(data_dir, tmp_path, pytestconfig):
    process = start(["launch.py"], pytestconfig.rootpath, tmp_path, data_dir, *LONG)
    wait_for(lambda: len(read_rows(tmp_path)) > 2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert_stopped(tmp_path, signal.SIGINT, process.returncode, said)


@pytest.mark.slow
def test_the_signal_of_a_scheduler_saves_and_exits(data_dir, tmp_path, capsys):
    def terminate():
        wait_for(lambda: len(read_rows(tmp_path)) > 2)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=terminate)
    thread.start()
    folders = ["--data_dir", str(data_dir), "--workdir", str(tmp_path)]
    status = launch_main([*FLAGS, *LONG, *folders])
    thread.join()
    assert_stopped(tmp_path, signal.SIGTERM, status, capsys.readouterr().out)
    assert signal.getsignal(signal.SIGTERM) == before
