"""Rebuilds: only new and changed pictures are cleaned, with the bytes of a build of all of them."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from collection import collection_dataset_builder
from PIL import Image

from artjax.errors import DataError
from artjax.prepare import picture_decoding, previous, reuse

ARTISTS = ("Ada", "Bö", "Cy")


def picture(folder, number):
    noise = np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(noise).resize((36, 27)).save(folder / f"{number:02d}.bmp")


def write_list(folder, artists):
    with (folder / "works.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[f"{number:02d}.bmp", artist] for number, artist in artists.items()]
        csv.writer(file).writerows([["path", "artist"], *rows])


@pytest.fixture
def museum(tmp_path):
    """30 works of three painters."""
    folder = tmp_path / "museum"
    folder.mkdir()
    for number in range(30):
        picture(folder, number)
    write_list(folder, {number: ARTISTS[number % 3] for number in range(30)})
    return folder


def build(data_dir, museum):
    """As `tfds build --overwrite` does."""
    builder = collection_dataset_builder.Builder(data_dir=data_dir)
    if builder.is_prepared():
        builder.data_path.rmtree()
        builder = collection_dataset_builder.Builder(data_dir=data_dir)
    settings = tfds.download.DownloadConfig(manual_dir=museum)
    builder.download_and_prepare(download_config=settings)
    return {path.name: path.read_bytes() for path in folder_of(data_dir).iterdir()}


def folder_of(data_dir):
    return data_dir / "collection" / "works" / "2.0.0"


@pytest.fixture
def cleaned(monkeypatch):
    """The names of the files that are cleaned from now on."""
    names, clean = [], picture_decoding.clean

    def noting(path, *settings):
        names.append(path.name)
        return clean(path, *settings)

    monkeypatch.setattr(picture_decoding, "clean", noting)
    return names


def put_other_content(file, number):
    """Another picture of the same size in bytes, with the same time, as unpacking an archive does it."""
    status = file.stat()
    picture(file.parent, number)
    (file.parent / f"{number:02d}.bmp").rename(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_only_new_and_changed_pictures_are_cleaned(museum, tmp_path, cleaned, capsys):
    data = tmp_path / "data"
    build(data, museum)
    shutil.copytree(data, tmp_path / "full")
    reuse.file_beside(folder_of(tmp_path / "full")).unlink()
    artists = {number: ARTISTS[number % 3] for number in range(30)}
    for number in (30, 31, 32):
        picture(museum, number)
        artists[number] = "Ada"
    write_list(museum, artists)
    put_other_content(museum / "04.bmp", 50)
    os.utime(museum / "05.bmp")  # only touched
    cleaned.clear()
    capsys.readouterr()
    rebuilt = build(data, museum)
    assert sorted(cleaned) == ["04.bmp", "30.bmp", "31.bmp", "32.bmp"]
    said = capsys.readouterr().out
    assert "29 of 33 pictures are as they were" in said
    assert "since the build before: 3 new; none left; none moved to another split" in said
    cleaned.clear()
    assert build(tmp_path / "full", museum) == rebuilt
    assert len(cleaned) == 33
    assert not previous.aside(folder_of(data)).exists()


def test_what_is_reused_can_be_reused_again(museum, tmp_path, cleaned):
    first = build(tmp_path / "data", museum)
    cleaned.clear()
    assert build(tmp_path / "data", museum) == build(tmp_path / "data", museum) == first
    assert not cleaned


@pytest.mark.parametrize("what", ["library", "settings", "half a file", "jpegs"])
def test_what_may_differ_is_cleaned_again(museum, tmp_path, cleaned, capsys, monkeypatch, what):
    first = build(tmp_path / "data", museum)
    file = reuse.file_beside(folder_of(tmp_path / "data"))
    if what == "library":
        monkeypatch.setattr(reuse, "made_with", lambda: {"pillow": "0.1"})
        says = "all pictures are cleaned again: the build before had pillow"
    elif what == "settings":
        monkeypatch.setattr(
            collection_dataset_builder.CollectionConfig, "max_pixels", 10_000, raising=False
        )
        config = collection_dataset_builder.Builder.BUILDER_CONFIGS[0]
        monkeypatch.setattr(config, "max_pixels", 10_000)
        says = "the build before had other settings"
    elif what == "half a file":
        file.write_bytes(file.read_bytes()[:100])
        says = "cannot be read"
    else:  # the records of a build that failed, say, beside an older set
        text = np.load(file)
        arrays = {name: text[name] for name in text.files}
        said = json.loads(arrays["rows"].tobytes())
        for row in said["rows"]:
            row[2] = "0" * 64
        arrays["rows"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
        with file.open("wb") as stream:
            np.savez(stream, **arrays)
        says = ""
    cleaned.clear()
    assert build(tmp_path / "data", museum) == first
    assert len(cleaned) == 30
    assert says in capsys.readouterr().out


def test_a_rebuild_that_fails_leaves_the_set_as_it_was(museum, tmp_path):
    first = build(tmp_path / "data", museum)
    write_list(museum, {0: "Ada", 1: "Ada"})
    with pytest.raises(DataError, match="fewer than two classes"):
        build(tmp_path / "data", museum)
    folder = folder_of(tmp_path / "data")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert not previous.aside(folder).exists()


def test_a_rebuild_says_what_changed_and_what_that_means_for_runs(museum, tmp_path, capsys):
    build(tmp_path / "data", museum)
    for number in range(30, 36):
        picture(museum, number)
    artists = {number: ARTISTS[number % 3] for number in range(2, 30) if number % 3 != 2}
    artists[3], artists[4] = "Bö", "Ada"
    artists |= {number: ("Di", "Eve")[number % 2] for number in range(30, 36)}
    write_list(museum, artists)
    (museum / "06.bmp").write_text("no picture")
    capsys.readouterr()
    build(tmp_path / "data", museum)
    said = capsys.readouterr().out.splitlines()
    growth, classes = (
        next(line for line in said if start in line) for start in ("since the", "artist has")
    )
    assert growth == (
        "since the build before: 6 new; 13 left (12 no longer listed, 1 skipped now; the first: "
        "00.bmp); 2 with another artist; none moved to another split"
    )
    assert classes == (
        "artist has 2 new classes (Di, Eve) and 1 fewer class (Cy); runs trained before know 3: to go "
        "on from one, start a new run from its weights: --config.model.weights=WORKDIR"
    )
    (folder_of(tmp_path / "data").parent / "splits.csv").unlink()
    changed = {number: artists[number] for number in artists if number > 8}
    write_list(museum, changed)
    build(tmp_path / "data", museum)
    assert "moved to another split (the first: " in capsys.readouterr().out
