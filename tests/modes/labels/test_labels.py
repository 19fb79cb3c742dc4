"""`--mode labels` and the page after folds: every work once, wrong labels first, a page that opens."""

import csv

import jax
import numpy as np
import pytest
from html_page import Page
from PIL import Image
from tiny import ARTISTS, encoded, store, tiny_config

from artjax.errors import ConfigError
from artjax.modes.folds import cross_validate
from artjax.modes.labels.mode import labels
from artjax.places import Places

WRONG = (4, 17, 33)
WORKS = 60


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory):
    """A data directory with 60 works, three of which have another painter's name: each has a colour."""
    rng = np.random.default_rng(0)

    def picture(artist):
        pixels = rng.integers(0, 120, (60, 50, 3))
        pixels[..., artist] += 120
        return Image.fromarray(pixels.astype(np.uint8))

    examples = [
        {
            "image": encoded(picture(i % 3)),
            "artist": (i + (i in WRONG)) % 3,
            "file_name": f"{i}.jpg",
            "work_id": str(i),
        }
        for i in range(WORKS)
    ]
    folder = tmp_path_factory.mktemp("mislabelled")
    splits = {"train": examples[:40], "validation": examples[40:50], "test": examples[50:]}
    store(folder, "tiny", {"artist": ARTISTS}, splits)
    return folder


def config(**changes):
    """A drawn trunk, frozen: it tells colours apart."""
    groups = (("(?!head_).*", 0.0),)
    given = {"model__name": "narrow_bn", "optim__groups": groups, "features__views": 1}
    return tiny_config(**given | changes)


def read(folder):
    with (folder / "labels.csv").open() as file:
        return list(csv.DictReader(file))


def assert_good_page(folder):
    page = Page(folder / "index.html")
    assert page.sources
    for source in page.sources:
        assert (folder / source).is_file()
    assert page.headings_skip_no_level()
    assert page.language == "en"
    assert all(page.alternatives)
    return "".join(page.text)


def test_wrong_labels_of_all_splits_are_found_and_shown(mislabelled, tmp_path, capsys):
    found = labels(config(), Places(tmp_path, mislabelled))["artist"]
    rows = read(tmp_path / "labels")
    assert {row["file_name"] for row in rows} == {f"{i}.jpg" for i in range(WORKS)}
    assert len(rows) == WORKS
    wrong = {f"{i}.jpg" for i in WRONG}
    assert wrong == {row["file_name"] for row in rows[: len(WRONG)]}
    assert wrong <= {row["file_name"] for row in rows if row["suspected"] == "yes"}
    for row in rows[: len(WRONG)]:
        number = int(row["file_name"].removesuffix(".jpg"))
        assert (row["label"], row["likely_label"]) == (
            ARTISTS[(number + 1) % 3],
            ARTISTS[number % 3],
        )
    said = capsys.readouterr().out
    assert f"artist: {found.suspected.sum()} of 60 labels may be wrong" in said
    text = assert_good_page(tmp_path / "labels")
    assert "4.jpg" in text
    assert "the nearest other works" in text


def test_without_a_frozen_trunk_it_says_what_to_do(mislabelled, tmp_path):
    with pytest.raises(
        ConfigError, match="--mode labels needs a frozen trunk: --config configs/probe"
    ):
        labels(tiny_config(), Places(tmp_path, mislabelled))
    with pytest.raises(ConfigError, match="--mode labels makes its own folds"):
        labels(config(folds=3), Places(tmp_path, mislabelled))
    assert not (tmp_path / "labels").exists()


@pytest.mark.slow
def test_folds_end_with_the_page(mislabelled, tmp_path, capsys):
    one = {"devices": jax.devices()[:1]}
    of_folds = config(folds=3, steps=60, eval_every=30, epochs=0.0)
    result = cross_validate(of_folds, Places(tmp_path, mislabelled), **one).results["folds"]
    folder = tmp_path / "evaluation" / "folds-labels"
    rows = read(folder)
    with (tmp_path / "evaluation" / "folds" / "predictions.csv").open() as file:
        predicted = {row["file_name"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(predicted) == WORKS
    for row in rows:
        of_work = predicted[row["file_name"]]
        assert (row["label"], row["likely_label"]) == (of_work["label"], of_work["predicted"])
        own = float(of_work["label_probability"])
        assert float(row["label_probability"]) == pytest.approx(own, abs=1e-6)
    suspected = sum(row["suspected"] == "yes" for row in rows)
    assert result["tasks"]["artist"]["suspected_labels"] == suspected > 0
    said = capsys.readouterr().out
    assert f"{suspected} labels are doubted (" in said
    assert "look at them in evaluation/folds-labels/index.html" in said
    assert_good_page(folder)
