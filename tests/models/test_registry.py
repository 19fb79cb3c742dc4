"""One registration is all that a model family needs."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from artjax import config as config_lib
from artjax import models
from artjax.errors import ConfigError
from artjax.evaluation import evaluate
from artjax.models import registry
from artjax.places import Places
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training.checks import check_config, tables
from artjax.training.training import create_training

# The file of a family, and in it the row of the table: all that a new family needs.
PATCHES = '''
"""A network unlike a VGG: patches, a dense layer, the mean."""

from flax import linen as nn

from artjax.models import Family, Preprocessing, StagedNetwork, register
from artjax.models.staged import part_in_name


class Patches(StagedNetwork):
    side: int

    def run_stages(self, train):
        yield "patches", self._patches
        yield "mixing", lambda x: nn.gelu(nn.Dense(8, name="mixing_fc", dtype=self.dtype)(x))
        yield "pooled", lambda x: x.mean((1, 2))

    def _patches(self, x):
        size = (self.side, self.side)
        return nn.gelu(nn.Conv(8, size, size, name="patches_conv", dtype=self.dtype)(x))


register(
    Family(
        names=("patches4",),
        create=lambda name, classes, *, platform, **options: Patches(4, classes=classes, **options),
        size_multiple=lambda name: 4,
        part_of=part_in_name,
        preprocessing=Preprocessing(
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "BGR", 0.875, "cubic"
        ),
    )
)
'''


@pytest.fixture
def module(monkeypatch, tmp_path_factory):
    """The file, imported."""
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    folder = tmp_path_factory.mktemp("family")
    (folder / "patches.py").write_text(PATCHES)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "patches", raising=False)
    return importlib.import_module("patches")


@pytest.fixture
def patches(module):
    """Settings of a run with the family."""
    return {"model__name": "patches4", "image_size": 28, "canvas_size": 32}


@pytest.mark.slow
def test_a_registered_family_is_trained_resumed_and_evaluated(patches, data_dir, tmp_path):
    assert models.names()[-1] == "patches4"
    changes = {"remat": True, "accumulate": 2, "steps": 6, "optim__layer_decay": 0.9}
    # What no family has to know of: hidden layers in the head, and a part of it that is frozen.
    changes |= {"model__head_layers": (8,), "model__head_norm": True}
    changes |= {"optim__groups": (("head_bn.*", 0.0),)}
    config = tiny_config(**patches, **changes)
    one = {"devices": jax.devices()[:1]}
    train(config, Places(tmp_path, data_dir), stop_after_steps=3, **one)
    outcome = train(config, Places(tmp_path, data_dir), **one)
    assert outcome.finished
    again = evaluate.evaluate_workdir(tmp_path, "test", data_dir=data_dir)
    trained = outcome.results["test"]["tasks"]["artist"]
    assert again["tasks"]["artist"]["loss"] == pytest.approx(trained["loss"], rel=1e-4)
    assert again["tasks"]["artist"]["n"] == trained["n"] == 19


def test_input_has_the_preprocessing_of_the_family(module, patches, monkeypatch):
    seen = []

    def record(self, images, *, train=False):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
        return {"artist": jnp.zeros((len(images), 3))}

    training = create_training(
        tiny_config(**patches), {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1])
    )
    variables = training.initial_state().variables
    monkeypatch.setattr(module.Patches, "__call__", record)
    canvas = np.zeros((1, 32, 32, 3), np.uint8)
    canvas[:, 2:30, 2:30] = (255, 128, 0)  # 28 of 32 pixels are 0.875 of the side
    batch = {"image": canvas, "aspect": np.ones(1, np.float32)}
    jax.block_until_ready(training.network.logits(variables, batch))
    expected = [(0 - 0.406) / 0.225, (128 / 255 - 0.456) / 0.224, (1 - 0.485) / 0.229]
    np.testing.assert_allclose(
        seen[0][0, 4:-4, 4:-4], np.broadcast_to(expected, (20, 20, 3)), atol=1e-5
    )
    np.testing.assert_allclose(seen[0][0, 0, 0], expected, atol=1e-5)


def test_checks_messages_and_help_include_the_family(patches):
    check_config(tiny_config(**patches))
    with pytest.raises(ConfigError, match=r"vgg_small, .*patches4; did you mean patches4"):
        check_config(tiny_config(model__name="patches"))
    with pytest.raises(ConfigError, match="image_size=30: it must be a multiple of 4 for patches4"):
        check_config(tiny_config(**patches | {"image_size": 30}))
    assert "patches4" in config_lib.as_text(tables())


def test_a_name_is_registered_once(patches):
    with pytest.raises(ValueError, match="patches4 are registered already"):
        models.register(models.family_of("patches4"))
