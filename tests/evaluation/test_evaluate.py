import csv
import json
import shutil
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from sklearn import metrics as oracle
from tiny import SPLITS, open_canvases, tiny_config

from artjax.errors import ConfigError, WorkdirError
from artjax.evaluation import baselines, evaluate, metrics, report
from artjax.files import finite
from artjax.places import Places
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training import optim
from artjax.training.best import Validation
from artjax.training.checkpoint import Checkpoints
from artjax.training.network import Network
from artjax.training.training import create_training

narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    """A finished run that was stopped early enough to make mistakes."""
    folder = tmp_path_factory.mktemp("run")
    config = narrow_config(steps=4, eval_every=2, source="host")
    train(config, Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_metrics_equal_scikit_learn_on_the_predictions_file(workdir, split):
    result = evaluate.evaluate_workdir(workdir, split)["tasks"]["artist"]
    folder = workdir / "evaluation" / split
    assert json.loads((folder / "metrics.json").read_text())["tasks"]["artist"] == result
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["n"] == SPLITS[split] == len({row["file_name"] for row in rows})
    labels = [row["label"] for row in rows]
    predicted = [row["predicted"] for row in rows]
    assert result["top1"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    f1 = oracle.f1_score(labels, predicted, average="macro", zero_division=0)
    assert result["macro_f1"] == pytest.approx(f1)
    assert result["loss"] == pytest.approx(
        -np.log([float(row["label_probability"]) for row in rows]).mean()
    )
    assert result["top5"] == np.mean([int(row["label_rank"]) <= 5 for row in rows])
    recall = oracle.recall_score(labels, predicted, average=None, zero_division=0)
    assert [row["recall"] for row in result["by_class"].values()] == pytest.approx(recall.tolist())
    assert sum(row["n"] for row in result["by_class"].values()) == result["n"]
    assert result["balanced_accuracy"] == pytest.approx(recall.mean())
    assert 0.5 < result["auroc"] <= 1
    for row in rows:
        agrees = row["label_rank"] == "1"
        assert (row["label"] == row["predicted"]) == agrees
        assert (row["probability"] == row["label_probability"]) == agrees


def test_json_has_no_nan(tmp_path):
    result = {"loss": float("nan"), "rows": [{"a": np.float64("inf"), "b": 0.5}], "n": 3}
    written = evaluate.write_results(tmp_path, result, "")
    assert written == {"loss": None, "rows": [{"a": None, "b": 0.5}], "n": 3}
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == written


@pytest.mark.slow
def test_evaluating_twice_gives_the_same_bytes(workdir):
    path = workdir / "evaluation" / "test" / "metrics.json"
    evaluate.evaluate_workdir(workdir, "test")
    first = path.read_bytes()
    evaluate.evaluate_workdir(workdir, "test")
    assert path.read_bytes() == first


def test_a_checkpoint_is_enough(workdir, tmp_path):
    shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    result = evaluate.evaluate_workdir(tmp_path, "test")
    assert result == evaluate.evaluate_workdir(workdir, "test")


@pytest.mark.parametrize("batch_size", [8, 16, 64])
def test_every_work_counts_once_whatever_the_batch_size(workdir, data_dir, batch_size):
    config = narrow_config(batch_size=batch_size)
    data = open_canvases(config, data_dir, None)
    split = data.split("test", {"artist": "artist"})
    network = Network(config, {"artist": 3}, create_mesh())
    variables = restored_variables(workdir, network)
    known, predictions = evaluate.predict_split(network, variables, split)["artist"]
    np.testing.assert_array_equal(known, np.arange(19))
    reference = evaluate.predict_split(
        Network(
            narrow_config(batch_size=19), {"artist": 3}, create_mesh(devices=jax.devices()[:1])
        ),
        variables,
        split,
    )["artist"][1]
    np.testing.assert_allclose(
        predictions.log_probabilities, reference.log_probabilities, rtol=1e-3, atol=1e-3
    )


def test_a_network_of_nan_scores_nothing_and_it_is_said(workdir, data_dir):
    config = narrow_config()
    data = open_canvases(config, data_dir, None)
    train, test = (data.split(name, {"artist": "artist"}) for name in ("train", "test"))
    network = Network(config, {"artist": 3}, create_mesh())
    variables = jax.tree.map(
        lambda array: np.full_like(array, np.nan), restored_variables(workdir, network)
    )
    predictions = evaluate.predict_split(network, variables, test)
    tasks = evaluate.summarise(predictions, test, train, data.prepared)
    row = finite(tasks)["artist"]
    assert (row["top1"], row["top5"], row["not_finite"]) == (0, 0, 19)
    assert row["loss"] is None
    score, *lines = report.report_lines({"split": "test", "views": 1, "tasks": {"artist": row}})
    assert "top-1 0.0% " in score
    assert sum("19 of 19 images got no finite output" in line for line in lines) == 1
    assert not any("the network names the same artist" in line for line in lines)


def restored_variables(workdir, network):
    checkpoints = Checkpoints(workdir, read_only=True)
    variables = checkpoints.restore_variables(
        checkpoints.best_step, network.abstract_variables, ema=False
    )
    checkpoints.close()
    return jax.device_get(variables)


def test_majority_is_the_most_frequent_class_of_train():
    labels = np.asarray([0, 0, 2, 2, 2, -1, -1, -1, -1])
    assert baselines.majority_top1(labels, np.asarray([2, 2, 0, 1, -1])) == 0.5


def test_official_counts_are_reported(data_dir):
    labels = np.arange(5500) % 23
    given = metrics.Predictions(labels, np.log(np.full((5500, 23), 1 / 23)))
    values = baselines.baselines(labels, labels, 23)
    row = metrics.summary(given) | {"official_n": 5706, "baselines": values}
    line, *_ = report.report_lines({"split": "test", "views": 1, "tasks": {"artist": row}})
    assert "on 5,500 of the 5,706 official test works" in line


def test_near_duplicates_can_be_left_out_of_the_score(workdir, data_dir, tmp_path):
    whole = evaluate.evaluate_workdir(workdir, "test")["tasks"]["artist"]
    assert "top1_without_near_duplicates" not in whole  # this set has no list of near-duplicates
    with (workdir / "evaluation" / "test" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    canvas_dir = tmp_path / "canvases"
    shutil.copytree(data_dir / "canvases", canvas_dir)
    (folder,) = canvas_dir.glob("tiny/*/40px")
    (folder / "splits.csv").write_text("file_name,work_id,split,width,height\n")
    pairs = [
        (row["file_name"], "test", f"train/{i}.jpg", "train") for i, row in enumerate(rows[:7])
    ]
    pairs += [(rows[8]["file_name"], "test", rows[9]["file_name"], "test")]
    lines = ["file_name,split,near_duplicate,near_duplicate_split,distance,correlation,conflict"]
    lines += [f"{','.join(row)},3,0.99," for row in pairs]
    (folder / "near_duplicates.csv").write_text("\n".join(lines) + "\n")
    result = evaluate.evaluate_workdir(workdir, "test", canvas_dir=canvas_dir)
    row = result["tasks"]["artist"]
    assert (row["n"], row["n_without_near_duplicates"]) == (19, 12)
    right = [row["label"] == row["predicted"] for row in rows[7:]]
    assert row["top1_without_near_duplicates"] == pytest.approx(np.mean(right))
    assert row["top1"] == whole["top1"]
    line, *_ = report.report_lines(result)
    assert f"without the 7 that have a near-duplicate in train, top-1 {np.mean(right):.1%}" in line


def test_evaluation_does_not_depend_on_the_optimizer_and_its_state(workdir, monkeypatch):
    there = evaluate.evaluate_workdir(workdir, "test")
    create = optim.create_optimizer
    monkeypatch.setattr(
        optim,
        "create_optimizer",
        lambda *given: optax.chain(create(*given), optax.scale_by_adam()),
    )
    assert evaluate.evaluate_workdir(workdir, "test") == there


@pytest.mark.slow
def test_streaming_without_room_for_canvases_gives_the_same_numbers(workdir, tmp_path, monkeypatch):
    there = evaluate.evaluate_workdir(workdir, "test")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert evaluate.evaluate_workdir(workdir, "test", canvas_dir=tmp_path) == there
    assert not list(tmp_path.glob("**/*.images.npy"))


@pytest.mark.slow
def test_a_model_spread_over_devices_is_evaluated_on_any_number(data_dir, tmp_path):
    config = narrow_config(batch_size=15, fsdp=3, steps=2, eval_every=2)
    train(config, Places(tmp_path, data_dir), devices=jax.devices()[:3])
    assert evaluate.evaluate_workdir(tmp_path, "test")["tasks"]["artist"]["n"] == 19


def test_the_last_checkpoint_can_be_chosen(workdir):
    checkpoints = Checkpoints(workdir, read_only=True)
    steps = {"best": checkpoints.best_step, "last": checkpoints.latest_step}
    checkpoints.close()
    for which, step in steps.items():
        result = evaluate.evaluate_workdir(workdir, "validation", which=which)
        assert result["checkpoint_step"] == step
    with pytest.raises(ConfigError, match="--checkpoint first: valid are best, last"):
        evaluate.evaluate_workdir(workdir, "validation", which="first")


def test_unknown_split_is_one_line(workdir):
    with pytest.raises(ConfigError, match=r"--split tset: .* did you mean test\?"):
        evaluate.evaluate_workdir(workdir, "tset")


def test_workdir_without_checkpoint_says_what_it_holds(tmp_path):
    with pytest.raises(WorkdirError, match=r"no checkpoint in .* \(it is empty\)"):
        evaluate.evaluate_workdir(tmp_path, "test")
    with pytest.raises(WorkdirError, match="no such folder"):
        evaluate.evaluate_workdir(tmp_path / "nowhere", "test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path):
    config = narrow_config(image_size=16, canvas_size=16)
    mesh = create_mesh(devices=jax.devices()[:1])
    state = create_training(config, {"artist": 3}, 60, mesh).initial_state()
    scores = {1: (0.5, 1.0), 2: (0.7, 0.9), 3: (0.7, 0.8), 4: (0.6, 0.1), 5: None}
    checkpoints = Checkpoints(tmp_path)
    best = checkpoints.best_so_far(warmup_steps=0)
    for step, score in scores.items():
        if score is not None:
            best.consider(Validation(step, *score, standard_error=0.05))
        checkpoints.save(step, state, {"step": step}, best)
    checkpoints.close()
    reopened = Checkpoints(tmp_path)
    assert (reopened.best_step, reopened.latest_step) == (3, 5)
    assert reopened.record(3)["step"] == 3
    assert reopened.best_so_far(warmup_steps=0) == best
    reopened.save(6, state, {}, best)  # and a new process does not forget the best
    reopened.wait()
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [3, 6]
    reopened.close()
