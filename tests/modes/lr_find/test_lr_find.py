"""`--mode lr_find` on a tiny collection."""

import csv
import json

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_config

import launch
from artjax.errors import ConfigError, TrainingError
from artjax.modes.lr_find.mode import lr_find, range_of
from artjax.places import Places
from artjax.train import train
from artjax.training import optim

ONE = {"devices": jax.devices()[:1]}


@pytest.mark.slow
def test_it_suggests_a_rate_and_touches_no_checkpoint(data_dir, tmp_path):
    config = tiny_config(model__name="narrow_bn", optim__label_smoothing=0.1, ema_decay=0.9)
    train(config, Places(tmp_path, data_dir), stop_after_steps=2, **ONE)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    said = []
    found = lr_find(config, Places(tmp_path, data_dir), say=said.append, **ONE)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: time for path, time in after.items() if path in before} == before
    assert {path.relative_to(tmp_path).as_posix() for path in after if path not in before} == {
        f"lr_find/lr_find.{kind}" for kind in ("json", "csv", "png")
    }
    lowest, highest = range_of("sgd")
    assert lowest < found["suggestion"] <= found["lowest"] < highest
    assert any(f"--config.optim.peak_lr={found['suggestion']:g}" in line for line in said)
    assert (
        json.loads((tmp_path / "lr_find" / "lr_find.json").read_text())["rates"] == found["rates"]
    )
    rows = list(csv.DictReader((tmp_path / "lr_find" / "lr_find.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == found["losses"]
    smooth = [float(row["smoothed_loss"]) for row in rows]
    end = (
        len(rows)
        if found["diverged"] is None
        else found["rates"].index(
            min(found["rates"], key=lambda rate: abs(rate - found["diverged"]))
        )
    )
    at = float(rows[int(np.argmin(smooth[:end]))]["rate"])
    assert found["lowest"] == float(f"{at:.2g}")
    assert any(f"it is lowest at {at:.2g}" in line for line in said)
    assert found["rates"][0] == pytest.approx(lowest)
    assert found["losses"][0] == pytest.approx(np.log(3), rel=1e-4)  # the run's own first loss
    with Image.open(tmp_path / "lr_find" / "lr_find.png") as picture:
        assert picture.size == (960, 560)
    # The flag can be typed.
    flag = found["flag"].removeprefix("--config.optim.").split("=")
    assert tiny_config(**{f"optim__{flag[0]}": float(flag[1])}).optim.peak_lr == found["suggestion"]


@pytest.mark.slow
def test_several_devices_give_the_same_curve(data_dir, tmp_path):
    config = tiny_config(model__name="narrow")
    several = lr_find(config, Places(tmp_path / "8", data_dir), say=lambda line: None)
    one = lr_find(config, Places(tmp_path / "1", data_dir), say=lambda line: None, **ONE)
    # Until the rates are so high that rounding decides.
    np.testing.assert_allclose(several["losses"][:40], one["losses"][:40], rtol=1e-3)
    assert several["rates"][:40] == one["rates"][:40]


@pytest.mark.slow
def test_a_frozen_trunk_and_its_features(data_dir, tmp_path):
    trunk = tiny_config(model__name="narrow_bn", task=("genre",), steps=2)
    train(trunk, Places(tmp_path / "trunk", data_dir), **ONE)
    frozen = {
        "model__name": "narrow_bn",
        "model__weights": str(tmp_path / "trunk"),
        "optim__groups": (("(?!head_).*", 0.0),),
        "features__views": 2,
        "optim__name": "adamw",
        "optim__peak_lr": 0.001,
        "optim__head_first": 0.5,
    }
    folder = tmp_path / "features"
    said = []
    found = lr_find(
        tiny_config(**frozen),
        Places(tmp_path / "run", data_dir, None, folder),
        say=said.append,
        **ONE,
    )
    assert found["rates"][0] == pytest.approx(2e-6)
    assert list(folder.rglob("*.npy"))  # kept for the run
    assert found["suggestion"] is None or found["suggestion"] <= 0.02


@pytest.mark.slow
def test_without_a_suggestion_the_exit_status_is_1(data_dir, tmp_path, capsys, monkeypatch):
    # No gradient passes: the loss stays.
    real = optim.create_optimizer
    monkeypatch.setattr(
        optim,
        "create_optimizer",
        lambda optim, schedule, *rest, **more: real(
            optim, lambda step: 0.0 * schedule(step), *rest, **more
        ),
    )
    argv = ["--config", "configs/artist.py:tiny", "--data_dir", str(data_dir), "--mode", "lr_find"]
    argv += ["--config.image_size=32", "--config.canvas_size=40", "--config.model.name=narrow_bn"]
    argv += ["--config.batch_size=16", "--workdir", str(tmp_path)]
    assert launch.main(argv) == 1
    assert "no suggestion: the loss does not fall" in capsys.readouterr().out


def test_several_processes_are_refused(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"--mode lr_find is for one process"):
        lr_find(tiny_config(), Places(tmp_path / "run", data_dir))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_first_loss_that_is_not_finite_is_one_line(data_dir, tmp_path):
    config = tiny_config(model__name="narrow", preprocessing__std=(1e-38, 1e-38, 1e-38))
    with pytest.raises(TrainingError, match=r"the loss of the first step is not finite"):
        lr_find(config, Places(tmp_path / "run", data_dir), **ONE)
