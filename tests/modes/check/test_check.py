"""`--mode check` on a sound collection, and on spoilt ones."""

import json
import shutil
from functools import partial

import details
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import open_canvases, tiny_config, write_tiny

import launch
from artjax.data import batches
from artjax.data.works import Split
from artjax.errors import ArtjaxError, ConfigError
from artjax.modes.check import held_out, mode
from artjax.modes.check.mode import _fixed_batch, _prepared, check
from artjax.modes.check.watching import watch_gradients
from artjax.modes.check.works import Works
from artjax.places import Places
from artjax.setup import open_setup
from artjax.train import train

narrow_config = partial(tiny_config, model__name="narrow_bn")
ONE = {"devices": jax.devices()[:1]}
WORKS = {"train": 150, "validation": 6, "test": 6}


@pytest.fixture(autouse=True)
def no_limit_of_time(monkeypatch):
    """A verdict must not depend on how busy the machine is."""
    monkeypatch.setattr(held_out, "_MOST_SECONDS", float("inf"))


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A data directory with more works of the painters of `tiny`, and with canvases."""
    folder = tmp_path_factory.mktemp("larger")
    write_tiny(folder, splits=WORKS)
    open_canvases(tiny_config(), folder, None)
    return folder


def spoilt(larger, tmp_path, **arrays):
    """A copy in which functions of arrays changed the canvases of train: `images`, `artist`."""
    copy = tmp_path / "data"
    shutil.copytree(larger, copy)
    (file,) = copy.glob("canvases/**/train.works.npz")
    works = dict(np.load(file))
    if "artist" in arrays:
        works["label/artist"] = arrays["artist"](works["label/artist"])
        np.savez(file, **works)
    if "images" in arrays:
        file = file.with_name("train.images.npy")
        np.save(file, arrays["images"](np.load(file)))
    return copy


def checked(data_dir, workdir, **changes):
    said = []
    result = check(narrow_config(**changes), Places(workdir, data_dir), say=said.append, **ONE)
    verdicts = {verdict["name"]: verdict["verdict"] for verdict in result["checks"]}
    return result, verdicts, "\n".join(said)


@pytest.mark.slow
def test_a_sound_set_up_passes_and_leaves_one_file(larger, tmp_path):
    workdir = tmp_path / "run"
    result, verdicts, said = checked(larger, workdir)
    assert result["ok"]
    assert set(verdicts.values()) == {"ok"}, said
    assert [str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file()] == [
        "check/check.json"
    ]
    assert json.loads((workdir / "check" / "check.json").read_text())["checks"][0]["text"] in said
    assert "first loss: ok: artist 1.0986 (ln 3 = 1.0986)" in said
    assert "labels of artist: ok: trained on 75 works" in said
    assert "head_artist  3" in said
    assert "check: nothing failed" in said


@pytest.mark.slow
def test_shuffled_labels_are_found(larger, tmp_path, monkeypatch):
    # After 200 steps so narrow a network has learned 90 % of its works by heart, just what is needed.
    monkeypatch.setattr(held_out, "_MOST_STEPS", 350)
    shuffled = spoilt(larger, tmp_path, artist=np.random.default_rng(1).permutation)
    result, verdicts, said = checked(shuffled, tmp_path / "run")
    assert not result["ok"]
    assert verdicts.pop("labels of artist") == "FAILED", said
    assert set(verdicts.values()) == {"ok"}


@pytest.mark.slow
def test_black_pictures_are_found(larger, tmp_path):
    black = spoilt(larger, tmp_path, images=np.zeros_like)
    _, verdicts, said = checked(black, tmp_path / "run")
    assert "pictures: FAILED: " in said
    assert "all pictures are black" in said
    assert verdicts["one batch"] == "FAILED"
    assert verdicts["labels of artist"] == "cannot tell"
    assert verdicts["first loss"] == verdicts["classes"] == "ok"


def check_of_narrow(data_dir, workdir, peak_lr):
    """The exit status of the command."""
    argv = ["--config", "configs/artist.py:tiny", "--data_dir", str(data_dir), "--mode", "check"]
    argv += ["--config.image_size=32", "--config.canvas_size=40", "--config.model.name=narrow_bn"]
    argv += ["--config.batch_size=16", "--workdir", str(workdir)]
    return launch.main([*argv, f"--config.optim.peak_lr={peak_lr}"])


@pytest.mark.slow
def test_a_learning_rate_that_is_far_too_low_is_found(data_dir, tmp_path, capsys):
    assert check_of_narrow(data_dir, tmp_path, 1e-12) == 1
    said = capsys.readouterr().out
    assert "check: FAILED: movement, one batch" in said
    result = json.loads((tmp_path / "check" / "check.json").read_text())
    verdicts = {verdict["name"]: verdict["verdict"] for verdict in result["checks"]}
    assert "one batch: FAILED: " in said
    assert "nothing is learnt; raise --config.optim.peak_lr (now 1e-12)" in said
    assert verdicts["movement"] == "FAILED"
    stuck = next(c["numbers"]["stuck"] for c in result["checks"] if c["name"] == "movement")
    # The head has not moved from zero, so the trunk has next to no gradient yet.
    assert set(stuck) == {"head_artist/bias", "head_artist/kernel"}
    assert verdicts["gradients"] == "ok"


@pytest.mark.slow
def test_a_random_layer_that_is_frozen_is_named(data_dir, tmp_path):
    groups = (("conv2_1/kernel", 0.0), ("bn1_1/.*", 0.0))
    _, verdicts, said = checked(data_dir, tmp_path / "run", optim__groups=groups)
    # BatchNorm starts at 1 and 0, which is no layer that was drawn at random.
    assert "frozen: FAILED: 3 parameters" in said
    assert "of these conv2_1/kernel would keep" in said
    assert verdicts["one batch"] == "ok"


@pytest.mark.slow
def test_a_pretrained_trunk_may_be_frozen_and_its_run_is_not_touched(data_dir, tmp_path):
    trunk = tmp_path / "trunk"
    train(narrow_config(task=("genre",), steps=4), Places(trunk, data_dir), **ONE)
    before = {path: path.stat().st_mtime_ns for path in trunk.rglob("*")}
    settings = {"model__weights": str(trunk), "optim__groups": (("(?!head_).*", 0.0),)}
    # Features are of no use here: the trunk's outputs are computed once, and not kept.
    settings |= {"features__views": 2, "optim__peak_lr": 1.0}
    result, verdicts, said = checked(data_dir, tmp_path / "run", **settings)
    assert verdicts["frozen"] == verdicts["gradients"] == verdicts["movement"] == "ok", said
    (movement,) = (c for c in result["checks"] if c["name"] == "movement")
    assert len(movement["numbers"]["moved"]) == 2  # kernel and bias of the head
    assert {path: path.stat().st_mtime_ns for path in trunk.rglob("*")} == before
    # In the workdir of such a run the weights are read again, as for a new one.
    run = tmp_path / "run"
    settings |= {"features__views": 0}
    train(narrow_config(**settings, steps=2), Places(run, data_dir), **ONE)
    _, verdicts, said = checked(data_dir, run, **settings, preprocessing__preset="caffe")
    assert verdicts["frozen"] == "ok"
    assert verdicts["input"] == "warning"
    assert "the weights expect RGB, mean " in said
    assert "set it to preset=tf" in said


@pytest.mark.slow
def test_several_tasks_devices_and_micro_batches(data_dir, tmp_path):
    config = narrow_config(task=("artist", "genre"), accumulate=2, augment__mixup=0.2)
    said = []
    result = check(config, Places(tmp_path / "run", data_dir), say=said.append)
    names = [verdict["name"] for verdict in result["checks"]]
    assert names[-2:] == ["labels of artist", "labels of genre"]
    assert result["ok"], said
    assert any("8 × CPU" in line for line in said)


@pytest.mark.slow
def test_what_cannot_be_told_is_no_failure(data_dir, tmp_path, capsys):
    assert check_of_narrow(data_dir, tmp_path, 0.05) == 0
    assert "cannot tell: labels of artist" in capsys.readouterr().out


def test_a_negative_learning_rate_is_refused_and_so_are_several_processes(
    data_dir, tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match=r"peak_lr=-0\.1: it must be 0"):
        check(tiny_config(optim__peak_lr=-0.1), Places(tmp_path / "run", data_dir))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ArtjaxError, match=r"--mode check is for one process"):
        check(tiny_config(), Places(tmp_path / "run", data_dir))
    assert not (tmp_path / "run").exists()


def test_gradients_pass_unchanged_and_are_remembered():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    optimizer = optax.chain(watch_gradients(), optax.sgd(0.1))
    state = optimizer.init(params)
    for gradient in ({"a": [3.0, 0, 4], "b": [0.0, 0]}, {"a": [1.0, 0, 0], "b": [0, jnp.inf]}):
        gradient = {name: jnp.asarray(values) for name, values in gradient.items()}
        updates, state = optimizer.update(gradient, state, params)
    np.testing.assert_allclose(updates["a"], [-0.1, 0, 0])
    seen = state[0]
    assert (float(seen.largest["a"]), float(seen.largest["b"])) == (5, 0)
    assert (bool(seen.finite["a"]), bool(seen.finite["b"])) == (True, False)


def test_works_are_seen_as_in_evaluation(data_dir, tmp_path):
    config = tiny_config(model__name="narrow")
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", **ONE)
    works = Works(setup, np.arange(19))  # not a multiple of the batch
    crops = works.crops()
    assert crops.shape == (19, 32, 32, 3)
    assert crops.dtype == np.uint8
    batch = works.batch_of(crops, np.asarray([18, 3]))
    np.testing.assert_array_equal(batch["image"], crops[[18, 3]])
    np.testing.assert_array_equal(
        batch["label/artist"], setup.splits["train"].labels["artist"][[18, 3]]
    )
    assert not tmp_path.joinpath("check").exists()


@pytest.mark.parametrize("batch_size", [16, 80])
def test_the_batch_to_learn_by_heart_has_the_works_with_all_labels_first(
    batch_size, details_dir, tmp_path, monkeypatch
):
    """A work without a label teaches nothing: a batch of them is learnt without learning."""
    monkeypatch.setattr(mode, "BATCH_SIZE", 80)  # more than there are with all three labels
    tasks = ("artist", "genre", "period")
    config = details.details_config(task=tasks, batch_size=batch_size, model__name="narrow")
    setup = open_setup(config, Places(tmp_path, details_dir), mode="check", **ONE)
    train = setup.splits["train"]
    chosen = _fixed_batch(_prepared(setup))
    order = batches.order(setup.config.seed, 0, len(train)).tolist()
    unknown = sum((train.labels[task] < 0).astype(int) for task in tasks)
    assert set(unknown) == {0, 1, 2}
    # As a sort by two keys, which Python's is.
    assert chosen.tolist() == sorted(order, key=lambda i: (unknown[i], order.index(i)))[:batch_size]
    assert unknown[chosen].any() == (batch_size == 80)
    assert unknown[order[:16]].any()  # the first works of the epoch are not so


def split_of(labels, work_ids=()):
    count = len(labels)
    return Split(
        "train",
        np.zeros((count, 2, 2, 3), np.uint8),
        np.arange(count),
        np.ones(count, np.float32),
        {"artist": np.asarray(labels)},
        np.asarray([f"{i}.jpg" for i in range(count)]),
        work_ids=np.asarray(work_ids),
    )


def test_works_are_divided_without_a_work_on_both_sides():
    labels = np.repeat(np.arange(12), 60)
    labels[::7] = -1
    ids = np.asarray([f"w{i // 2}" for i in range(len(labels))])  # two images of each work
    (fitted, held), why = held_out.choose(split_of(labels, ids), "artist", 0)
    assert not why
    assert not set(ids[fitted]) & set(ids[held])
    assert len(set(ids[fitted])) == len(fitted) <= held_out.MOST_FITTED
    assert len(set(ids[held])) == len(held) <= held_out.MOST_HELD
    chosen = labels[np.concatenate([fitted, held])]
    assert len(np.unique(chosen)) == held_out.MOST_CLASSES
    assert chosen.min() >= 0


def test_too_few_works_are_a_reason():
    chosen, why = held_out.choose(split_of([0] * 50 + [1] * 7), "artist", 0)
    assert chosen is None
    assert "two classes with at least 8 works" in why


def test_what_makes_steps_differ_is_left_out(data_dir, tmp_path):
    switched_on = tiny_config(
        accumulate=2,
        augment__policy="trivial",
        loss__class_weights="balanced",
        loss__focal_gamma=2.0,
        optim__schedule="plateau",
        optim__label_smoothing=0.1,
    )
    setup = open_setup(switched_on, Places(tmp_path, data_dir), mode="check")
    config = _prepared(setup).config
    plain = tiny_config()
    assert config.augment.policy == "none"
    assert config.loss == plain.loss
    assert config.optim.schedule == "constant"
    assert (config.accumulate, config.optim.label_smoothing, config.augment.flip) == (1, 0, False)


def test_sam_is_left_out(data_dir, tmp_path):
    setup = open_setup(tiny_config(optim__sam_rho=0.1), Places(tmp_path, data_dir), mode="check")
    assert _prepared(setup).config.optim.sam_rho == 0
