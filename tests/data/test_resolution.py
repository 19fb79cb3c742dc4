"""Which set a collection's name means: of what is prepared, else of the canvases that were copied."""

import json
import shutil

import pytest
from tiny import open_canvases, tiny_config

from artjax import default_collection
from artjax.data import canvases
from artjax.errors import DataError

LABELS = ("artist", "genre")


def prepare(data_dir, folder, name, labels=LABELS, version="1.0.0"):
    """A prepared set with some of the labels of `tiny`."""
    place = folder / name / version
    shutil.copytree(data_dir / "tiny" / "1.0.0", place)
    described = json.loads((place / "features.json").read_text())
    for label in set(LABELS) - set(labels):
        del described["featuresDict"]["features"][label]
        (place / f"{label}.labels.txt").unlink()
    (place / "features.json").write_text(json.dumps(described))


def copy_canvases(data_dir, folder, name, labels=LABELS, version="1.0.0", size=40):
    """The canvases of such a set, as another machine made them; `size` is what they say they have."""
    made = open_canvases(tiny_config(), data_dir, None).directory
    place = folder / "canvases" / name / version / f"{size}px"
    shutil.copytree(made, place)
    described = json.loads((place / "canvases.json").read_text())
    described["size"] = size
    prepared = described["prepared"]
    prepared |= {"name": name, "version": version}
    prepared["labels"] = {label: prepared["labels"][label] for label in labels}
    (place / "canvases.json").write_text(json.dumps(described))


def opened(collection, folder, task="artist", **changes):
    config = tiny_config(collection=collection, task=(task,), **changes)
    prepared = open_canvases(config, folder, None).prepared
    return f"{prepared.name}/{prepared.version}"


there = pytest.mark.parametrize("put", [prepare, copy_canvases], ids=["prepared", "copied"])


def test_canvases_of_one_set_do_not_decide_between_two_that_are_prepared(data_dir, tmp_path):
    prepare(data_dir, tmp_path, "mine/few")
    prepare(data_dir, tmp_path, "mine/works")
    assert opened("mine/few", tmp_path) == "mine/few/1.0.0"  # this makes its canvases
    with pytest.raises(DataError) as caught:
        opened("mine", tmp_path)
    assert str(caught.value) == (
        "'mine' can mean mine/few or mine/works, which have the label artist\n"
        "name the one you want, as in --config CONFIG.py:mine/few"
    )


@there
def test_several_sets_with_the_label_are_refused(data_dir, tmp_path, put):
    for name in ("mine/c", "mine/a", "mine/b"):
        put(data_dir, tmp_path, name)
    with pytest.raises(DataError, match=r"'mine' can mean mine/a, mine/b or mine/c, which have"):
        opened("mine", tmp_path)
    assert opened("mine/b", tmp_path) == "mine/b/1.0.0"


@there
def test_the_only_set_with_the_label_is_taken(data_dir, tmp_path, put):
    put(data_dir, tmp_path, "mine/styles", labels=["genre"])
    put(data_dir, tmp_path, "mine/works", labels=["artist"])
    assert opened("mine", tmp_path, "artist") == "mine/works/1.0.0"
    assert opened("mine", tmp_path, "genre") == "mine/styles/1.0.0"


@there
def test_the_feature_that_holds_the_label_counts_and_not_the_task(data_dir, tmp_path, put):
    put(data_dir, tmp_path, "mine/styles", labels=["genre"])
    put(data_dir, tmp_path, "mine/works", labels=["artist"])
    assert opened("mine", tmp_path, "artist", label_feature="genre") == "mine/styles/1.0.0"


@there
def test_where_no_set_has_the_label_one_line_says_what_each_has(data_dir, tmp_path, put):
    put(data_dir, tmp_path, "mine/styles", labels=["genre"])
    put(data_dir, tmp_path, "mine/works", labels=["artist", "genre"])
    with pytest.raises(DataError) as caught:
        opened("mine", tmp_path, "location")
    assert str(caught.value) == (
        "no set 'mine' has the label location: mine/styles has genre; mine/works has artist, genre"
    )


@there
def test_the_default_is_taken_where_it_is_there_and_has_the_label(data_dir, tmp_path, put):
    put(data_dir, tmp_path, "wga/baumer_chen", labels=["artist"])
    put(data_dir, tmp_path, "wga/a")
    assert opened("wga", tmp_path, "artist") == "wga/baumer_chen/1.0.0"
    assert opened("wga", tmp_path, "genre") == "wga/a/1.0.0"  # the only one with that label
    put(data_dir, tmp_path, "wga/b")
    with pytest.raises(DataError, match="can mean wga/a or wga/b, which have the label genre"):
        opened("wga", tmp_path, "genre")


@pytest.mark.slow
@there
def test_the_newest_version_is_taken_unless_one_is_named(data_dir, tmp_path, put):
    for version in ("1.9.0", "1.10.0"):
        put(data_dir, tmp_path, "mine/works", version=version)
    assert opened("mine", tmp_path) == opened("mine/works", tmp_path) == "mine/works/1.10.0"
    assert opened("mine/works/1.9.0", tmp_path) == "mine/works/1.9.0"


def test_canvases_do_not_count_where_anything_of_that_name_is_prepared(data_dir, tmp_path):
    prepare(data_dir, tmp_path, "mine/styles", labels=["genre"])
    copy_canvases(data_dir, tmp_path, "mine/works")
    with pytest.raises(DataError, match="'mine/styles' has no label 'artist'"):
        opened("mine", tmp_path)
    assert opened("mine/works", tmp_path) == "mine/works/1.0.0"  # nothing of this name is prepared


def test_the_size_of_copied_canvases_does_not_decide(data_dir, tmp_path):
    copy_canvases(data_dir, tmp_path, "mine/few", size=40)
    copy_canvases(data_dir, tmp_path, "mine/works", size=48)
    for size in (40, 48, 56):
        with pytest.raises(DataError, match="can mean mine/few or mine/works"):
            opened("mine", tmp_path, canvas_size=size)


def test_copied_canvases_of_another_size_are_refused_with_the_sizes_that_are_there(
    data_dir, tmp_path
):
    for size in (48, 128, 56):
        copy_canvases(data_dir, tmp_path, "mine/works", size=size)
    with pytest.raises(DataError) as caught:
        opened("mine", tmp_path, canvas_size=40)
    assert str(caught.value) == (
        f"'mine/works' is not prepared on this machine, and its canvases in {tmp_path}/canvases/mine/"
        "works/1.0.0 are of 48 and 56 and 128 px, not of 40 px\n"
        "copy those of 40 px to it, or set --config.canvas_size to a size that is there"
    )


@there
@pytest.mark.parametrize(
    ("sets", "chosen", "opening"),
    [
        ({}, "studio", "no prepared data set 'wikiart'"),
        ({"wikiart/artist": ["artist"]}, "wikiart", "wikiart/artist/1.0.0"),
        ({"wikiart/mine": ["artist"]}, "wikiart", "wikiart/mine/1.0.0"),
        ({"wikiart/style": ["genre"]}, "studio", "'wikiart/style' has no label 'artist'"),
        (
            {"wikiart/artist": ["genre"], "wikiart/mine": ["artist"]},
            "wikiart",
            "wikiart/mine/1.0.0",
        ),
        ({"wikiart/a": ["artist"], "wikiart/b": ["artist"]}, "wikiart", "can mean wikiart/a or"),
    ],
)
def test_the_default_collection_is_one_that_opening_finds_or_asks_about(
    data_dir, tmp_path, put, sets, chosen, opening
):
    for name, labels in sets.items():
        put(data_dir, tmp_path, name, labels=labels)
    assert default_collection.choose(("artist",), tmp_path, None) == chosen
    assert canvases.is_there("wikiart", ("artist",), tmp_path, None) == (chosen == "wikiart")
    try:
        found = opened("wikiart", tmp_path)
    except DataError as error:
        found = str(error)
    assert opening in found
    if chosen == "studio":
        why = default_collection.why(chosen, ("artist",), tmp_path)
        assert "wikiart is not prepared with artist in" in why
