"""One registration is all that a model family needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from tiny import tiny_config

from artjax import config as config_lib
from artjax import models
from artjax.errors import ConfigError
from artjax.evaluation import evaluate
from artjax.models import HEAD, Family, Preprocessing, registry
from artjax.places import Places
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training.checks import check_config, tables
from artjax.training.training import create_training


class Patches(nn.Module):
    """A network unlike a VGG: patches, a dense layer, the mean."""

    classes: dict
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images, *, train=False):
        x = nn.Conv(8, (4, 4), (4, 4), name="patches", dtype=self.dtype)(images)
        x = checkpoint_name(nn.gelu(x), "embedding")
        x = checkpoint_name(nn.gelu(nn.Dense(8, name="mix", dtype=self.dtype)(x)), "mixing")
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2))).astype(jnp.float32)
        return {t: nn.Dense(n, name=f"out_{t}")(x) for t, n in self.classes.items()}


FAMILY = Family(
    names=("patches4",),
    create=lambda name, classes, *, dtype, platform, dropout: Patches(classes, dropout, dtype),
    options=("dropout",),
    size_multiple=lambda name: 4,
    stages=lambda name: ("embedding", "mixing"),
    part_of=lambda path: (
        HEAD if path.startswith("out_") else "embedding" if path.startswith("patches") else "mixing"
    ),
    preprocessing=Preprocessing(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "BGR", 0.875, "cubic"
    ),
)


@pytest.fixture
def patches(monkeypatch):
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    models.register(FAMILY)
    return {"model__name": "patches4", "image_size": 28, "canvas_size": 32}


@pytest.mark.slow
def test_a_registered_family_is_trained_resumed_and_evaluated(patches, data_dir, tmp_path):
    config = tiny_config(**patches, remat=True, accumulate=2, steps=6)
    one = {"devices": jax.devices()[:1]}
    train(config, Places(tmp_path, data_dir), stop_after_steps=3, **one)
    outcome = train(config, Places(tmp_path, data_dir), **one)
    assert outcome.finished
    again = evaluate.evaluate_workdir(tmp_path, "test", data_dir=data_dir)
    trained = outcome.results["test"]["tasks"]["artist"]
    assert again["tasks"]["artist"]["loss"] == pytest.approx(trained["loss"], rel=1e-4)
    assert again["tasks"]["artist"]["n"] == trained["n"] == 19


def test_input_has_the_preprocessing_of_the_family(patches, monkeypatch):
    seen = []

    def record(self, images, *, train=False):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
        return {"artist": jnp.zeros((len(images), 3))}

    training = create_training(
        tiny_config(**patches), {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1])
    )
    variables = training.initial_state().variables
    monkeypatch.setattr(Patches, "__call__", record)
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
        models.register(FAMILY)


@pytest.mark.parametrize("name", [*models.names(), "patches4"])
def test_every_parameter_belongs_to_a_stage_or_a_head(patches, name):
    family = models.family_of(name)
    options = {"dropout": 0.0, "relu_after_pool": True}
    model = models.create_model(
        name, {"artist": 3}, dtype=jnp.dtype("float32"), platform="cpu", **options
    )
    side = 2 * family.size_multiple(name)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    paths = [
        "/".join(key.key for key in path)
        for path, _ in jax.tree_util.tree_leaves_with_path(shapes["params"])
    ]
    parts = [family.part_of(path) for path in paths]
    assert set(parts) == {*family.stages(name), HEAD}
    assert [path for path, part in zip(paths, parts, strict=True) if part == HEAD] == [
        path for path in paths if "artist" in path
    ]
