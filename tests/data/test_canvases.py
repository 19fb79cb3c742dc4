import io
import json
import shutil
import subprocess
import sys

import details
import numpy as np
import pytest
from PIL import Image
from tiny import SPLITS, open_canvases, tiny_config, write_tiny

from artjax.data.decoding import squash
from artjax.errors import DataError

FEATURES = {"artist": "artist"}


@pytest.fixture
def own_data_dir(data_dir, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    return tmp_path


@pytest.mark.slow
def test_canvases_hold_every_work_of_the_records(data_dir):
    import tensorflow_datasets as tfds

    data = open_canvases(tiny_config(), data_dir, None)
    builder = tfds.builder_from_directory(str(data_dir / "tiny" / "1.0.0"))
    for name, works in SPLITS.items():
        split = data.split(name, FEATURES)
        examples = {
            e["file_name"].decode(): e for e in tfds.as_numpy(builder.as_dataset(split=name))
        }
        assert len(split) == works == len(examples)
        batch = split.gather(np.arange(works))
        for i, file_name in enumerate(split.file_names):
            picture = Image.fromarray(examples[file_name]["image"])
            whole = np.asarray(picture.resize((40, 40), Image.Resampling.LANCZOS), np.float32)
            # Decoding a JPEG at a smaller scale differs a little from decoding all of it.
            assert np.abs(whole - batch["image"][i]).mean() < 6
            assert batch["aspect"][i] == pytest.approx(picture.width / picture.height)
            assert batch["label/artist"][i] == examples[file_name]["artist"]


def test_canvases_are_built_once_and_again_when_the_data_changed(own_data_dir):
    config = tiny_config()
    built = open_canvases(config, own_data_dir, None).directory / "train.images.npy"
    first = built.stat().st_mtime_ns
    open_canvases(config, own_data_dir, None)
    assert built.stat().st_mtime_ns == first
    shutil.rmtree(own_data_dir / "tiny")
    write_tiny(own_data_dir, splits={"train": 31, "validation": 5, "test": 5})
    data = open_canvases(config, own_data_dir, None)
    assert len(data.split("train", FEATURES)) == 31


def test_canvases_of_another_image_feature_are_made_anew(own_data_dir):
    file = open_canvases(tiny_config(), own_data_dir, None).directory / "canvases.json"
    description = json.loads(file.read_text())
    assert description["image_feature"] == "image"
    file.write_text(json.dumps(description | {"image_feature": "photo"}))
    open_canvases(tiny_config(), own_data_dir, None)
    assert json.loads(file.read_text()) == description


@pytest.mark.slow
def test_half_written_canvases_are_not_used(own_data_dir, monkeypatch):
    def fail_late(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail_late)
    with pytest.raises(DataError, match="No space left"):
        open_canvases(tiny_config(), own_data_dir, None)
    monkeypatch.undo()
    left = [path.name for path in (own_data_dir / "canvases" / "tiny" / "1.0.0").iterdir()]
    assert left == [".lock"]
    assert len(open_canvases(tiny_config(), own_data_dir, None).split("test", FEATURES)) == 19


def test_canvases_can_be_kept_elsewhere(data_dir, tmp_path):
    data = open_canvases(tiny_config(), data_dir, tmp_path / "fast disk")
    assert data.directory.is_relative_to(tmp_path / "fast disk")


def test_too_little_room_is_reported_before_anything_is_written(data_dir, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"need 499 kB in .*, where 1 kB are free; .* --canvas_dir"):
        open_canvases(tiny_config(source="host"), data_dir, tmp_path)


def test_works_without_any_of_the_labels_are_left_out_and_counted(data_dir):
    data = open_canvases(tiny_config(), data_dir, None)
    genre = data.split("train", {"genre": "genre"})
    assert (len(genre), genre.left_out) == (40, 20)
    assert (genre.labels["genre"] >= 0).all()
    both = data.split("train", {"artist": "artist", "genre": "genre"})
    assert (len(both), both.left_out) == (60, 0)
    assert (both.labels["genre"] == -1).sum() == 20


def test_a_missing_label_is_named_with_the_existing_ones(data_dir):
    with pytest.raises(DataError, match=r"no label 'location'.*it has artist, genre"):
        open_canvases(tiny_config(task=("location",)), data_dir, None)


def test_a_set_with_train_alone_is_stratified(tmp_path):
    write_tiny(tmp_path, splits={"train": 90})
    data = open_canvases(tiny_config(), tmp_path, None)
    parts = {name: data.split(name, FEATURES) for name in SPLITS}
    counts = {name: np.bincount(part.labels["artist"]).tolist() for name, part in parts.items()}
    assert counts == {"train": [24] * 3, "validation": [3] * 3, "test": [3] * 3}
    assert len({name for part in parts.values() for name in part.file_names}) == 90


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("train", "validation")])
def test_splits_that_are_cut_here_divide_no_group_and_share_none(splits, tmp_path):
    details.write_details(tmp_path, splits)
    data = open_canvases(details.details_config(), tmp_path, None)
    labels = {label: label for label in details.LABELS}
    parts = {name: data.split(name, labels) for name in SPLITS}
    known = [p for p in details.PICTURES if max(p.labels.values()) >= 0]
    for name, column in (("file_name", "file_names"), ("work_id", "work_ids")):
        found = [set(getattr(part, column)) for part in parts.values()]
        assert sum(map(len, found)) == len(set.union(*found))
        assert set.union(*found) == {getattr(picture, name) for picture in known}
    groups = details.groups()
    of_part = {name: {groups[file] for file in part.file_names} for name, part in parts.items()}
    cut = {name for name in SPLITS if name not in splits}
    for name in cut:  # a tenth of the train split
        assert 6 <= len(of_part[name]) <= 10, name
        for other in cut - {name} | {"train"}:
            assert of_part[name].isdisjoint(of_part[other]), (name, other)


def test_a_cut_split_is_the_same_whatever_label_is_asked_for(tmp_path):
    write_tiny(tmp_path, splits={"train": 70, "test": 20})
    data = open_canvases(tiny_config(), tmp_path, None)
    artist = set(data.split("validation", {"artist": "artist"}).file_names)
    genre = set(data.split("validation", {"genre": "genre"}).file_names)
    assert 6 <= len(artist) <= 7
    assert genre < artist  # a third of the works have no genre
    assert artist.isdisjoint(data.split("train", {"genre": "genre"}).file_names)


def test_squash_keeps_the_whole_picture_and_its_aspect():
    picture = Image.new("RGB", (90, 30), "red")
    picture.paste("blue", (60, 0, 90, 30))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    canvas, aspect = squash(buffer.getvalue(), 30)
    assert canvas.shape == (30, 30, 3)
    assert aspect == 3.0
    assert tuple(canvas[15, 2]) == (255, 0, 0)
    assert tuple(canvas[15, 27]) == (0, 0, 255)


def test_copied_canvases_are_found_without_naming_the_only_config(data_dir, tmp_path):
    shutil.copytree(data_dir / "tiny" / "1.0.0", tmp_path / "here" / "mine" / "works" / "1.0.0")
    config = tiny_config()
    config.collection = "mine"
    built = open_canvases(config, tmp_path / "here", None)
    assert built.prepared.name == "mine/works"
    shutil.copytree(tmp_path / "here" / "canvases", tmp_path / "there" / "canvases")
    copied = open_canvases(config, tmp_path / "there", None)
    assert copied.directory.is_relative_to(tmp_path / "there")
    assert copied.prepared == built.prepared
    with pytest.raises(DataError, match="no prepared data set 'other'"):
        open_canvases(tiny_config(collection="other"), tmp_path / "there", None)


@pytest.mark.slow
def test_importing_artjax_imports_no_tensorflow(pytestconfig):
    code = (
        "import sys, pkgutil, importlib, artjax\n"
        "skip = ('artjax.prepare.builder', 'artjax.studio.builder')\n"
        "for m in pkgutil.walk_packages(artjax.__path__, 'artjax.'):\n"
        "    if m.name not in skip and not m.name.endswith('__main__'):\n"
        "        importlib.import_module(m.name)\n"
        "found = {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
