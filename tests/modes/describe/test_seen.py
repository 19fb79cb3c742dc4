"""What the page shows as the network's input, beside what the training step gives to a network."""

from html import unescape
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from PIL import Image
from tiny import AUGMENTED, open_canvases, tiny_config

from artjax.config import AUGMENT_LIMITS, default_config, to_json
from artjax.data import sources
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.models import Preprocessing
from artjax.modes.describe.mode import describe
from artjax.modes.describe.seen import augmentations_in_words, seen_of, write_seen
from artjax.places import Places
from artjax.runtime.mesh import create_mesh
from artjax.training.network import preprocessing_of
from artjax.training.state import TrainState
from artjax.training.step import StepSettings, create_train_step
from artjax.training.training import create_crop_boxes

FEATURES = {"artist": "artist", "genre": "genre"}


class Recorder(nn.Module):
    """A network that learns nothing, and keeps what it is given."""

    @nn.compact
    def __call__(self, images, train):
        self.variable("given", "images", jnp.zeros, images.shape).value = images
        weight = self.param("weight", nn.initializers.ones, ())
        return {"artist": weight * jnp.zeros((len(images), 3))}


def given_to_the_network(config, source, steps, preprocessing):
    """What the training step makes of the first batch with the keys of each of `steps`."""
    optimizer = optax.sgd(0.0)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params={"weight": jnp.ones(())},
        model_state={"given": {"images": jnp.zeros(())}},
        opt_state=optimizer.init({"weight": jnp.ones(())}),
        ema=None,
    )
    schedule = optax.constant_schedule(0.0)
    settings = StepSettings.of(config)
    train_step = create_train_step(Recorder(), optimizer, schedule, settings, preprocessing)

    @jax.jit
    def given(step, *held):
        after, _ = train_step(state.replace(step=step), source.gather(*held))
        return after.model_state["given"]["images"]

    return [np.asarray(given(jnp.asarray(s), source.works, source.batch(0))) for s in steps]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "first", "steps", "changes"),
    [
        # The first of nine is the one whose partner is not among them.
        (2, 1, (0, 3), {"source": "device", "batch_size": 16} | AUGMENTED),
        (1, 0, (0,), {"source": "host", "batch_size": 6, "augment__cutmix": 1.0}),
        (1, 1, (0,), {"source": "device", "preprocessing__interpolation": "cubic"}),
        (
            1,
            1,
            (0, 5),
            {"source": "host", "batch_size": 130, "seed": 7},
        ),  # twice the collection, and more
        (1, 1, (0,), {"source": "stream", "batch_size": 12, "augment__mixup": 0.4}),
        (2, 1, (0,), {"source": "stream", "batch_size": 12, "augment__rotate_degrees": 9.0}),
    ],
)
def test_shown_is_what_the_step_gives_to_the_network(
    devices, first, steps, changes, data_dir, tmp_path
):
    config = tiny_config(**changes)
    data = open_canvases(config, data_dir, None)
    train = data.split("train", FEATURES)
    mesh = create_mesh(devices=jax.devices()[:devices])
    choice = sources.choose_for(config, data, train, mesh)
    source = sources.open_source(config, train, mesh, create_crop_boxes(config), choice)
    assert source.name == config.source
    preprocessing = preprocessing_of(config)
    works = write_seen(seen_of(config, train, preprocessing), train, tmp_path)
    assert len(works) == min(8, config.batch_size)
    inputs = given_to_the_network(config, source, steps, preprocessing)
    for step, given in zip(steps, inputs, strict=True):
        for work, image in zip(works, given[first : first + 8], strict=True):
            with Image.open(tmp_path / Path(work.paths[step]).name) as picture:
                assert picture.mode == "RGB"
                shown = np.asarray(picture).astype(float)
            # The nearest grey level; where two are as near, rounding may take either.
            assert np.abs(shown - (image + 1) * 127.5).max() < 0.502


def test_shares_are_those_of_the_works_in_the_picture(data_dir):
    config = tiny_config(augment__mixup=0.4, batch_size=0)
    train = open_canvases(config, data_dir, None).split("train", FEATURES)
    mixed = seen_of(config, train, Preprocessing())
    config.augment.mixup = 0.0
    plain = seen_of(config, train, Preprocessing())
    assert plain.own_shares is None
    np.testing.assert_array_equal(mixed.works, plain.works)
    np.testing.assert_array_equal(mixed.partners[1:], mixed.works[:-1])
    share = mixed.own_shares[:, 1:, None, None, None]
    expected = share * plain.images[:, 1:] + (1 - share) * plain.images[:, :-1]
    np.testing.assert_allclose(mixed.images[:, 1:], expected, atol=1e-3)  # of 255


@pytest.mark.parametrize("batch_size", [0, 1, 4, 32])
def test_one_scroll_alone_is_shown(batch_size, tmp_path):
    canvas = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    aspect, labels = np.asarray([5.0], np.float32), {"artist": np.asarray([-1], np.int32)}
    train = Split("train", canvas, np.arange(1), aspect, labels, np.asarray(["scroll.tif"]))
    config = tiny_config(batch_size=batch_size, augment__cutmix=1.0)
    seen = seen_of(config, train, Preprocessing())
    assert seen.images.shape == (6, {1: 1, 4: 4}.get(batch_size, 8), 32, 32, 3)
    assert {(work.file_name, work.partner) for work in write_seen(seen, train, tmp_path)} == {
        ("scroll.tif", "scroll.tif")
    }


@pytest.mark.slow
def test_large_pictures_are_fewer_and_at_their_size(data_dir, tmp_path):
    for size, draws in ((224, 4), (512, 2)):
        config = tiny_config(image_size=size, canvas_size=size, source="stream")
        train = open_canvases(config, data_dir, None).split("train", FEATURES)
        assert seen_of(config, train, Preprocessing()).images.shape == (draws, 8, size, size, 3)


@pytest.mark.slow
def test_page_names_every_picture_and_magnitude(data_dir, tmp_path):
    config = tiny_config(task=("artist", "genre"), batch_size=0, **AUGMENTED)
    summary = describe(config, Places(tmp_path, data_dir))
    assert summary["augment"] == config.augment.to_dict()
    page = unescape((tmp_path / "describe" / "index.html").read_text())
    section = page[page.index('id="seen"') : page.index('id="near-duplicates"')]
    assert "its size is not known yet" in section
    for name in AUGMENT_LIMITS:
        assert f"{name} {config.augment[name]:.3g}" in section
    train = open_canvases(config, data_dir, None).split("train", FEATURES)
    seen = seen_of(config, train, Preprocessing())
    for place, (work, partner) in enumerate(zip(seen.works, seen.partners, strict=True)):
        for of in (work, partner):
            labels = [
                ("ada", "bo", "cy")[train.labels["artist"][of]],
                ("portrait", "still life", "unknown")[train.labels["genre"][of]],
            ]
            shown = f'<b>{", ".join(labels)}</b> <span class="quiet">{train.file_names[of]}</span>'
            assert shown in section
        for step, share in enumerate(seen.own_shares[:, place]):
            assert f'title="{train.file_names[work]}, step {step}"' in section
            assert f">step {step}, {100 * share:.0f} %<" in section
            assert (tmp_path / "describe" / "seen" / f"{place}-{step}.png").is_file()


@pytest.mark.slow
def test_page_shows_the_interpolation_of_the_network(data_dir, tmp_path):
    config = tiny_config(preprocessing__interpolation="cubic")
    describe(config, Places(tmp_path, data_dir))
    with Image.open(tmp_path / "describe" / "seen" / "0-0.png") as picture:
        shown = np.asarray(picture)
    train = open_canvases(config, data_dir, None).split("train", FEATURES)

    def expected(interpolation):
        seen = seen_of(config, train, Preprocessing(interpolation=interpolation))
        return np.clip(np.rint(seen.images[0, 0]), 0, 255).astype(np.uint8)

    np.testing.assert_array_equal(shown, expected("cubic"))
    assert (shown != expected("linear")).any()


@pytest.mark.slow
def test_size_of_a_batch_left_open_is_the_one_that_the_run_found(data_dir, tmp_path):
    (tmp_path / "config.json").write_text(to_json(tiny_config(batch_size=4)))
    describe(tiny_config(batch_size=0, augment__mixup=0.2), Places(tmp_path, data_dir))
    assert "not known yet" not in (tmp_path / "describe" / "index.html").read_text()
    assert len(list((tmp_path / "describe" / "seen").iterdir())) == 4 * 6


def test_magnitudes_in_words():
    magnitudes = default_config().augment
    assert augmentations_in_words(magnitudes) == (
        "On: min_area 0.3, max_stretch 1.33, flip on; off: rotate_degrees, brightness, contrast, "
        "saturation, hue, pca_color, blur, noise, drop_pixels, erase, mixup, cutmix. All are the "
        "defaults (docs/config.md)."
    )
    magnitudes.update({name: limit / 4 for name, limit in AUGMENT_LIMITS.items()})
    magnitudes.update({"min_area": 1.0, "flip": False, "policy": "rand"})
    words = augmentations_in_words(magnitudes)
    assert all(name in words for name in magnitudes)
    assert words.startswith(
        "On: min_area 1 (default 0.3), max_stretch 1.33; also, off by default: "
    )
    assert words.endswith("; off: flip (default on). All others are the defaults (docs/config.md).")


def test_magnitudes_out_of_range_are_reported_before_anything_is_drawn(data_dir, tmp_path):
    with pytest.raises(ConfigError, match=r"^--config.augment.noise=7.0: it must be in \[0, 1\]"):
        describe(tiny_config(augment__noise=7.0), Places(tmp_path / "w", data_dir))
    assert not (tmp_path / "w").exists()
