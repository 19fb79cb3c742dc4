"""The colour-histogram baseline is a number of the data: no setting of a run changes it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny import SPLITS, open_canvases, tiny_config, write_tiny

import launch
from artjax.data import colours
from artjax.data.folds import fold_of
from artjax.evaluation.colour_histograms import colour_baseline, kept_colour_baseline


@pytest.fixture
def own_data_dir(data_dir, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    return tmp_path


def splits_of(data, *labels):
    return {name: data.split(name, {label: label for label in labels}) for name in SPLITS}


def baseline(data):
    return kept_colour_baseline(data, splits_of(data, "artist"), "artist")


def kept_in(data_dir):
    return data_dir / "canvases" / "tiny" / "1.0.0" / "colour_histograms.json"


def mark(file):
    """Makes what is kept recognisable."""
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({key: row | {"kind": "kept"} for key, row in kept.items()}))


@pytest.mark.parametrize(("tells", "low", "high"), [(True, 0.95, 1.0), (False, 0.0, 0.8)])
def test_colour_baseline_sees_colour_and_nothing_else(tells, low, high):
    rng = np.random.default_rng(0)
    labels = {
        name: np.arange(works) % 2
        for name, works in (("train", 80), ("validation", 40), ("test", 40))
    }

    def counts(of_works):
        images = rng.integers(0, 200, (len(of_works), 16, 16, 3), np.uint8)
        images[..., 0] += (40 * tells * of_works)[:, None, None].astype(np.uint8)
        return np.stack([colours.count(image) for image in images])

    counted = {name: counts(of_works) for name, of_works in labels.items()}
    result = colour_baseline(counted, labels)
    assert low <= result["test_top1"] <= high
    assert result["test_top1_ci95"][0] <= result["test_top1"] <= result["test_top1_ci95"][1]
    none = {name: array[:0] for name, array in (("c", counted["test"]), ("l", labels["test"]))}
    assert colour_baseline(counted | {"test": none["c"]}, labels | {"test": none["l"]}) is None


@pytest.mark.slow
def test_the_number_is_the_same_whatever_images_a_run_has(data_dir, tmp_path):
    found, of_fold = [], []
    runs = ({}, {"canvas_size": 96}, {"canvas_size": 12}, {"source": "stream"})
    for i, changes in enumerate(runs):
        # Each in a folder of its own, where nothing is kept yet.
        data = open_canvases(tiny_config(**changes), data_dir, tmp_path / str(i))
        found.append(baseline(data))
        of_fold.append(baseline(fold_of(data, 3, 0)))
    assert found[1:] == found[:-1]
    assert of_fold[1:] == of_fold[:-1]
    assert found[0] != of_fold[0]


@pytest.mark.slow
def test_it_is_computed_once_for_all_sizes_and_labels_asked_for(own_data_dir):
    data = open_canvases(tiny_config(), own_data_dir, None)
    kept_colour_baseline(data, splits_of(data, "genre"), "genre")
    mark(kept_in(own_data_dir))
    for changes in ({"canvas_size": 48}, {"source": "stream"}):
        data = open_canvases(tiny_config(**changes), own_data_dir, None)
        # A third of the works have no genre. With both labels they are in the split, but not in the fit.
        for labels in (["genre"], ["artist", "genre"]):
            found = kept_colour_baseline(data, splits_of(data, *labels), "genre")
            assert found["kind"] == "kept"


@pytest.mark.slow
def test_other_works_in_the_splits_have_a_number_of_their_own(own_data_dir):
    data = open_canvases(tiny_config(), own_data_dir, None)
    baseline(data)
    mark(kept_in(own_data_dir))
    splits = splits_of(data, "artist")
    train, own = splits["train"], splits["train"].labels["artist"]
    # One work takes the place of another with the same label.
    one, other = np.flatnonzero(own == own[0])[:2]
    order = np.arange(len(train))
    order[other] = one
    splits["train"] = replace(train, rows=train.rows[order], file_names=train.file_names[order])
    assert kept_colour_baseline(data, splits, "artist")["kind"] != "kept"
    assert baseline(fold_of(data, 3, 0))["kind"] != "kept"


@pytest.mark.slow
def test_a_collection_that_is_built_again_has_a_new_number(own_data_dir):
    baseline(open_canvases(tiny_config(), own_data_dir, None))
    mark(kept_in(own_data_dir))
    shutil.rmtree(own_data_dir / "tiny")
    # Drawn in another order: the same names and labels, other pictures.
    write_tiny(own_data_dir, splits=dict(reversed(SPLITS.items())))
    after = baseline(open_canvases(tiny_config(), own_data_dir, None))
    assert after == baseline(open_canvases(tiny_config(), own_data_dir, own_data_dir / "fresh"))


@pytest.mark.parametrize("copied", [colours.FILE, "colour_histograms.json"])
def test_copied_canvases_have_the_number_of_the_copied_file(own_data_dir, copied):
    expected = baseline(open_canvases(tiny_config(), own_data_dir, None))
    there = own_data_dir / "there"
    shutil.copytree(own_data_dir / "canvases", there / "canvases")
    for name in {colours.FILE, "colour_histograms.json"} - {copied}:
        (kept_in(there).parent / name).unlink()
    assert baseline(open_canvases(tiny_config(), there, None)) == expected


@pytest.mark.slow
def test_canvases_without_their_colours_have_no_number_and_the_report_says_so(
    own_data_dir, tmp_path, capsys
):
    built = open_canvases(tiny_config(), own_data_dir, None).directory
    there = own_data_dir / "there"
    shutil.copytree(built, there / "canvases" / built.relative_to(own_data_dir / "canvases"))
    assert baseline(open_canvases(tiny_config(), there, None)) is None
    config = tmp_path / "tiny.py"
    config.write_text(
        "from tiny import tiny_config\ndef get_config(collection):\n    return tiny_config()\n"
    )
    arguments = ["--mode", "describe", "--config", f"{config}:tiny", "--data_dir", str(there)]
    assert launch.main([*arguments, "--workdir", str(tmp_path / "w")]) == 0
    assert "by colour histograms not measured" in capsys.readouterr().out
    assert "by colour histograms" not in (tmp_path / "w" / "describe" / "index.html").read_text()
