"""Batches from each source, on one device and on eight."""

import io
import os
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import open_canvases, tiny_config

from artjax import augment
from artjax.data import batches, decoding, sources, tfrecords, works
from artjax.errors import ConfigError, DataError
from artjax.runtime import resources
from artjax.runtime.mesh import batch_sharding, create_mesh
from artjax.training.step import keys_of_step
from artjax.training.training import create_training

FEATURES = {"artist": "artist", "genre": "genre"}


def opened(source, data_dir, devices=1, **changes):
    """A source, the training split and the training that they are for."""
    config = tiny_config(source=source, task=("artist", "genre"), **changes)
    mesh = create_mesh(devices=jax.devices()[:devices])
    data = open_canvases(config, data_dir, None)
    train = data.split("train", FEATURES)
    training = create_training(config, {"artist": 3, "genre": 2}, len(train), mesh)
    choice = sources.choose_for(config, data, train, mesh)
    source = sources.open_source(config, train, mesh, training.crop_boxes, choice)
    if "image" in source.works:
        held = source.works["image"].addressable_shards[0].data
        assert held.nbytes - held[0].nbytes <= choice.held_bytes <= held.nbytes
    return source, train, training


def batch_of(source, step):
    return jax.jit(source.gather)(source.works, source.batch(step))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "sampling"), [(1, "shuffled"), (8, "shuffled"), (1, "balanced")]
)
def test_sources_agree(devices, sampling, data_dir):
    host, device, stream = (
        opened(name, data_dir, devices, sampling=sampling)[0]
        for name in ("host", "device", "stream")
    )
    assert [source.name for source in (host, device, stream)] == ["host", "device", "stream"]
    for step in (0, 3, 4, 57):  # the batches of 3 and 57 contain the end of an epoch
        expected, same = batch_of(host, step), batch_of(device, step)
        assert expected.keys() == same.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(values, same[name], strict=True)
            assert values.sharding.is_equivalent_to(same[name].sharding, values.ndim)
        streamed = batch_of(stream, step)
        assert streamed.keys() == expected.keys() - {"aspect"}
        for name in ("label/artist", "label/genre", "mask"):
            np.testing.assert_array_equal(expected[name], streamed[name], strict=True)
        assert streamed["image"].shape == (16, 32, 32, 3)
        assert streamed["image"].dtype == np.uint8


@pytest.mark.parametrize(
    "settings", [{"augment__rotate_degrees": 5.0}, {"preprocessing__interpolation": "cubic"}]
)
def test_what_the_decoder_cannot_cut_out_is_cut_out_of_streamed_canvases(settings, data_dir):
    host, stream = (opened(name, data_dir, **settings)[0] for name in ("host", "stream"))
    expected, streamed = batch_of(host, 3), batch_of(stream, 3)
    assert expected.keys() == streamed.keys()
    np.testing.assert_array_equal(expected["image"], streamed["image"], strict=True)


@pytest.mark.parametrize("spread", [False, True])
def test_works_pass_through_host_memory_in_pieces(spread, data_dir, monkeypatch):
    _, train, _ = opened("host", data_dir)
    mesh = create_mesh(devices=jax.devices()[:4])
    whole = sources.put_works(train, mesh, spread)["image"]
    read, take = [], sources.take
    monkeypatch.setattr(sources, "take", lambda *args: read.append(len(args[1])) or take(*args))
    monkeypatch.setattr(sources, "_PIECE_BYTES", 7 * 40 * 40 * 3 + 1)
    pieces = sources.put_works(train, mesh, spread)["image"]
    np.testing.assert_array_equal(whole, pieces, strict=True)
    np.testing.assert_array_equal(pieces, train.images[train.rows])
    assert pieces.sharding == whole.sharding
    assert max(read) == 7
    assert (
        sum(read[1:]) == 60
    )  # each work once, although four devices hold it (one more for the shape)


@pytest.mark.parametrize("fsdp", [1, 2])
@pytest.mark.parametrize("spread", [False, True])
def test_works_on_every_device_or_spread_over_eight_give_the_same_bits(spread, fsdp, data_dir):
    host, train, _ = opened("host", data_dir, 8)
    mesh = create_mesh(fsdp)
    works = sources.put_works(train, mesh, spread)
    rows = {shard.data.shape[0] for shard in works["image"].addressable_shards}
    assert rows == {8 if spread else 60}  # 60 works, rounded up to 64 if spread
    index = batches.put_rows(
        lambda rows: {"index": batches.batch_indices(0, 5, 16, 60)[rows].astype(np.int32)},
        16,
        batch_sharding(mesh),
    )
    batch = jax.jit(sources.gatherer(mesh, spread))(works, index)
    for name, values in batch_of(host, 5).items():
        np.testing.assert_array_equal(values, batch[name], strict=True)


def test_a_device_takes_indices_and_holds_only_the_works_of_the_split(data_dir, tmp_path):
    device, train, _ = opened("device", data_dir)
    batch = device.batch(2)
    assert batch.keys() == {"index"}
    assert batch["index"].nbytes == 16 * 4
    assert device.works["image"].shape == (len(train), 40, 40, 3)


@pytest.mark.slow
def test_streamed_crops_are_those_that_the_step_cuts_out_of_canvases(data_dir):
    # Crops have the size of the canvas, so that both have about the pixels of the image.
    sizes = {"image_size": 64, "canvas_size": 64, "augment__flip": False}
    host, _, _ = opened("host", data_dir, **sizes)
    stream, _, training = opened("stream", data_dir, **sizes)
    key, _ = keys_of_step(jax.random.key(training.config.seed), 3)
    ours = batch_of(host, 3)
    magnitudes = training.config.augment
    cut, _ = augment.augmented(key, ours["image"], ours["aspect"], magnitudes, 64)
    streamed, _ = augment.augmented(key, batch_of(stream, 3)["image"], None, magnitudes, 64)
    other_key, _ = keys_of_step(jax.random.key(training.config.seed), 4)
    other, _ = augment.augmented(other_key, ours["image"], ours["aspect"], magnitudes, 64)

    def alike(one, two):
        pairs = zip(np.asarray(one), np.asarray(two), strict=True)
        return [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]

    assert min(alike(cut, streamed)) > 0.8  # boxes end at whole pixels of these tiny pictures
    assert np.median(alike(other, streamed)) < 0.7


def test_with_rotation_whole_images_are_streamed(data_dir):
    stream, _, _ = opened("stream", data_dir, augment__rotate_degrees=10.0)
    host, _, _ = opened("host", data_dir)
    for name, values in batch_of(host, 1).items():
        np.testing.assert_array_equal(values, batch_of(stream, 1)[name], strict=True)


def test_evaluation_of_streamed_works_sees_the_same_bits(data_dir):
    config = tiny_config()
    there = open_canvases(config, data_dir, None).split("test", FEATURES)
    config.source = "stream"
    streamed = open_canvases(config, data_dir, None).split("test", FEATURES)
    sharding = batch_sharding(create_mesh())
    pairs = zip(
        batches.evaluation_batches(there, 8, sharding),
        batches.evaluation_batches(streamed, 8, sharding),
        strict=True,
    )
    for (real, expected), (real_too, batch) in pairs:
        np.testing.assert_array_equal(real, real_too)
        for name, values in expected.items():
            np.testing.assert_array_equal(values, batch[name], strict=True)


GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "canvas_gb", "devices", "free_gb", "name", "spread", "says"),
    [
        ("auto", 8, 1, 100, "device", False, "8.0 GB fit in the 100.0 GB that are free on each"),
        ("auto", 40, 1, 100, "host", False, "40.0 GB do not fit in a third of the 100.0 GB"),
        ("auto", 40, 8, 100, "device", True, "40.0 GB, sharded, 5.0 GB on each of 8 devices"),
        ("auto", 400, 8, 100, "host", False, "400.0 GB do not fit in the 100.0 GB that are free"),
        ("auto", 8, 1, None, "host", False, "the devices use the host's memory"),
        ("host", 8, 1, 100, "host", False, "as set"),
        ("device", 8, 8, 100, "device", False, "as set, all on each device"),
        ("device", 80, 1, 100, "device", False, "as set"),
        ("device", 400, 8, 100, "device", True, "50.0 GB on each of 8 devices"),
        ("device", 8, 8, None, "device", True, "as set"),
        ("device", 8, 7, None, "device", True, "as set"),
        ("device", 8, 1, None, "device", False, "as set"),
    ],
)
def test_choice_by_size_and_free_memory(wanted, canvas_gb, devices, free_gb, name, spread, says):
    free = None if free_gb is None else free_gb * GB
    choice = sources.choose(wanted, canvas_gb * GB, devices, free, host_free=10 * GB)
    assert (choice.name, choice.spread) == (name, spread)
    assert says in choice.why
    held = -(-canvas_gb * GB // devices) if spread else canvas_gb * GB
    assert choice.held_bytes == (held if name == "device" else 0)


@pytest.mark.parametrize(
    ("devices", "free", "says"),
    [
        (
            1,
            5 * GB,
            "canvases of 12.0 GB need 12.0 GB on each device, which does not fit in the 5.0",
        ),
        (
            2,
            5 * GB,
            "canvases of 12.0 GB need 6.0 GB on each device, which does not fit in the 5.0 GB",
        ),
        (
            1,
            None,
            "canvases of 12.0 GB do not fit in the 10.0 GB of memory that are free; use host",
        ),
    ],
)
def test_a_device_without_room_is_one_line_with_needed_and_free_bytes(devices, free, says):
    with pytest.raises(ConfigError) as caught:
        sources.choose("device", 12 * GB, devices, free, host_free=10 * GB)
    assert says in str(caught.value)
    assert "--config.source=device" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_free_memory_of_accelerators_decides(data_dir, monkeypatch):
    monkeypatch.setattr(resources, "on_devices", lambda mesh: GB)
    assert opened("auto", data_dir)[0].name == "device"
    monkeypatch.setattr(resources, "on_devices", lambda mesh: 1)
    assert opened("auto", data_dir)[0].name == "host"


def test_auto_streams_where_the_disk_has_no_room(data_dir, tmp_path, monkeypatch):
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    config = tiny_config(source="auto")
    data = open_canvases(config, data_dir, tmp_path)
    assert "canvases of 499 kB do not fit in the 1 kB that are free in" in data.why_streamed
    config.source = "host"
    with pytest.raises(DataError, match=r"train without canvases with --config.source=stream"):
        open_canvases(config, data_dir, tmp_path)


def test_streaming_needs_the_records(data_dir, tmp_path):
    built = open_canvases(tiny_config(), data_dir, None).directory
    shutil.copytree(built, tmp_path / "canvases" / "tiny" / "1.0.0" / built.name)
    with pytest.raises(ConfigError, match="the TFRecords of 'tiny' are not on this machine"):
        opened("stream", tmp_path)


def test_auto_uses_existing_canvases(data_dir, tmp_path, monkeypatch):
    open_canvases(tiny_config(), data_dir, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert not open_canvases(tiny_config(), data_dir, tmp_path).why_streamed


def test_truncated_records_are_an_error(data_dir, tmp_path):
    own = tmp_path / "data"
    shutil.copytree(data_dir / "tiny", own / "tiny")
    train = open_canvases(tiny_config(source="stream"), own, None).split("train", FEATURES)
    (file,) = tfrecords.files_of(own / "tiny" / "1.0.0", "train")
    with file.open("r+b") as stream:
        stream.truncate(os.path.getsize(file) // 2)
    with pytest.raises(DataError, match="is truncated; build it again"):
        train.gather(np.arange(60))
    with pytest.raises(DataError, match="not a complete TFRecord file"):
        list(tfrecords.payloads(file))


def test_payloads_are_those_that_tensorflow_reads(data_dir):
    import tensorflow as tf

    (file,) = tfrecords.files_of(data_dir / "tiny" / "1.0.0", "train")
    expected = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    assert [data for _, data in tfrecords.payloads(file)] == expected


@pytest.mark.parametrize("side", [40, 300])
def test_crops_are_the_boxes_of_the_pictures(side):
    x, y = np.meshgrid(np.linspace(0, 1, 900), np.linspace(0, 1, 700))
    pixels = np.stack([x, y, np.full_like(x, 0.5)], -1) * 255
    kinds = ["JPEG", "PNG", "JPEG"]
    boxes = np.asarray([(0.2, 0.3, 0.5, 0.4), (0.1, 0, 0.3, 1), (0.6, 0.4, 0.4, 0.6)], np.float32)
    encoded, sides = [], []
    for kind in kinds:
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, kind)
        with Image.open(buffer) as image:
            assert decoding.is_plain_jpeg(image) == (kind == "JPEG")
        encoded.append(buffer.getvalue())
        sides.append([900, 700] if kind == "JPEG" else [0, 0])
    crops = decoding.crop(encoded, np.asarray(sides), boxes, side)
    assert crops.shape == (3, side, side, 3)
    along = (np.arange(side) + 0.5) / side
    for crop, (left, top, width, height) in zip(crops / 255, boxes, strict=True):
        np.testing.assert_allclose(crop[..., 0].mean(0), left + width * along, atol=0.015)
        np.testing.assert_allclose(crop[..., 1].mean(1), top + height * along, atol=0.015)


def test_many_rows_are_read_by_threads_as_by_indexing():
    images = np.random.default_rng(0).integers(0, 256, (50, 40, 40, 3), np.uint8)
    rows = np.random.default_rng(1).integers(0, 50, 1000)
    assert images[rows].nbytes > works._MIN_BYTES_FOR_THREADS
    np.testing.assert_array_equal(works.take(images, rows), images[rows])
    np.testing.assert_array_equal(works.take(images, rows[:0]), images[:0])
