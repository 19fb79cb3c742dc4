"""The colours of each work, counted once for all sizes of canvases."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tiny import SPLITS, open_canvases, tiny_config, write_tiny

from artjax.data import colours
from artjax.data.decoding import squash
from artjax.data.folds import fold_of

FEATURES = {"artist": "artist"}


@pytest.fixture
def own_data_dir(data_dir, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    return tmp_path


def file_in(data_dir):
    return data_dir / "canvases" / "tiny" / "1.0.0" / colours.FILE


def colours_of(data):
    """By file name."""
    found = {}
    for name in SPLITS:
        split = data.split(name, FEATURES)
        found |= dict(zip(split.file_names.tolist(), data.colours(split), strict=True))
    return found


@pytest.mark.parametrize("kind", colours.KINDS)
def test_histograms_are_numpys(kind):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    pixels, bins = picture.reshape(-1, 3), (8, 8, 8)
    if kind == "HSV 12x6x6":
        pixels, bins = (
            np.asarray(Image.fromarray(picture).convert("HSV")).reshape(-1, 3),
            (12, 6, 6),
        )
    if kind == "32 bins a channel":
        edges = [np.histogram(pixels[:, c], bins=32, range=(0, 256))[0] for c in range(3)]
        counts = np.concatenate(edges)
    else:
        counts = np.histogramdd(pixels, bins=bins, range=[(0, 256)] * 3)[0].ravel()
    found = colours.histograms(colours.count(picture)[None], kind)[0]
    np.testing.assert_allclose(found, np.sqrt(counts / len(pixels)), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"canvas_size": 48}, {"source": "stream"}])
def test_colours_are_those_of_the_pictures_whatever_a_run_sees(own_data_dir, changes):
    data = open_canvases(tiny_config(**changes), own_data_dir, None)
    found = colours_of(data)
    assert len(found) == sum(SPLITS.values())
    streamed = open_canvases(tiny_config(source="stream"), own_data_dir, None)
    for name in SPLITS:
        split = streamed.split(name, FEATURES)
        for row, file_name in zip(split.rows, split.file_names, strict=True):
            seen = squash(split.images.encoded(row), colours.SIDE_PX)[0]
            np.testing.assert_array_equal(found[file_name], colours.count(seen))


def test_colours_of_a_fold_are_those_of_its_works(data_dir):
    data = open_canvases(tiny_config(), data_dir, None)
    whole, folded = colours_of(data), colours_of(fold_of(data, 3, 1))
    assert whole.keys() == folded.keys()
    for name, counts in whole.items():
        np.testing.assert_array_equal(folded[name], counts)


@pytest.mark.slow
def test_colours_are_counted_once_for_all_sizes(own_data_dir):
    open_canvases(tiny_config(), own_data_dir, None)
    first = file_in(own_data_dir).stat()
    for changes in ({}, {"canvas_size": 48}, {"source": "stream"}):
        open_canvases(tiny_config(**changes), own_data_dir, None)
        now = file_in(own_data_dir).stat()
        assert (now.st_mtime_ns, now.st_ino) == (first.st_mtime_ns, first.st_ino)


@pytest.mark.slow
def test_a_collection_that_is_built_again_has_new_colours(own_data_dir):
    before = colours_of(open_canvases(tiny_config(), own_data_dir, None))
    shutil.rmtree(own_data_dir / "tiny")
    # Drawn in another order: the same names and labels, other pictures.
    write_tiny(own_data_dir, splits=dict(reversed(SPLITS.items())))
    after = colours_of(open_canvases(tiny_config(), own_data_dir, None))
    assert before.keys() == after.keys()
    assert not any(np.array_equal(after[name], counts) for name, counts in before.items())


@pytest.mark.slow
@pytest.mark.parametrize("left", ["nothing", "half of it"])
def test_canvases_without_colours_get_them(own_data_dir, left):
    """They were made by an earlier version, or a copy was stopped."""
    data = open_canvases(tiny_config(), own_data_dir, None)
    before, file = colours_of(data), file_in(own_data_dir)
    if left == "nothing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert data.colours(data.split("test", FEATURES)) is None
    after = colours_of(open_canvases(tiny_config(), own_data_dir, None))
    for name, counts in before.items():
        np.testing.assert_array_equal(after[name], counts)


def test_where_they_cannot_be_kept_the_run_goes_on_without(own_data_dir, capsys):
    folder = file_in(own_data_dir)
    folder.mkdir(parents=True)  # no file can take its place
    data = open_canvases(tiny_config(), own_data_dir, None)
    split = data.split("test", FEATURES)
    assert len(split) == SPLITS["test"]
    assert data.colours(split) is None
    assert f"no colour histograms: {folder.parent} cannot be written" in capsys.readouterr().out


def test_canvases_are_enough_without_tensorflow(own_data_dir, monkeypatch, capsys):
    open_canvases(tiny_config(), own_data_dir, None)
    file_in(own_data_dir).unlink()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    data = open_canvases(tiny_config(), own_data_dir, None)
    assert data.colours(data.split("test", FEATURES)) is None
    assert "no colour histograms: reading the TFRecords of 'tiny'" in capsys.readouterr().out


def test_copied_canvases_have_the_copied_colours_or_none(own_data_dir):
    built = open_canvases(tiny_config(), own_data_dir, None)
    there = own_data_dir / "there"
    shutil.copytree(own_data_dir / "canvases", there / "canvases")
    copied = open_canvases(tiny_config(), there, None)
    split = copied.split("train", FEATURES)
    expected = built.colours(built.split("train", FEATURES))
    np.testing.assert_array_equal(copied.colours(split), expected)
    file_in(there).unlink()
    copied = open_canvases(tiny_config(), there, None)
    assert copied.colours(split) is None


@pytest.mark.slow
def test_colours_of_other_pictures_are_not_taken_for_those_of_copied_canvases(own_data_dir):
    open_canvases(tiny_config(), own_data_dir, None)
    there = own_data_dir / "there"
    shutil.copytree(own_data_dir / "canvases", there / "canvases")
    shutil.rmtree(own_data_dir / "tiny")
    write_tiny(own_data_dir, splits=dict(reversed(SPLITS.items())))
    open_canvases(tiny_config(), own_data_dir, None)
    shutil.copy(file_in(own_data_dir), file_in(there))
    copied = open_canvases(tiny_config(), there, None)
    assert copied.colours(copied.split("test", FEATURES)) is None
