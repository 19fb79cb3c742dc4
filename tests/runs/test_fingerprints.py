"""Other scans of the works that a network has learnt from are known again in another collection."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from scans import GALLERY, MUSEUM, number_of, write_scans
from tiny import open_canvases, tiny_config

from artjax.data import reports
from artjax.data.folds import fold_of
from artjax.places import Places
from artjax.prepare import fingerprints as kept_fingerprints
from artjax.prepare.fingerprints import fingerprints_of
from artjax.prepare.near_duplicates import (
    fingerprint_of,
    fingerprint_of_grey,
    looks_like_any,
    views_of,
)
from artjax.runs import fingerprints, seen
from artjax.train import train

LABELS = {"artist": "artist"}
ONE = {"devices": jax.devices()[:1]}
LEARNT = {*GALLERY["train"], *GALLERY["validation"]}


@pytest.fixture(scope="module")
def scans_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder)
    return folder


def opened(name, scans_dir, canvas_dir=None, **changes):
    return open_canvases(tiny_config(collection=name, **changes), scans_dir, canvas_dir)


def learnt_from(gallery):
    return seen.of_splits(
        gallery, [gallery.split(name, LABELS) for name in ("train", "validation")]
    )


@pytest.fixture(scope="module")
def learnt(scans_dir):
    return learnt_from(opened("gallery", scans_dir, canvas_size=128))


@pytest.mark.parametrize(
    "form", [{"canvas_size": 128}, {"canvas_size": 48}, {"canvas_size": 40, "source": "stream"}]
)
def test_other_scans_are_known_again_whatever_the_canvases(form, scans_dir, learnt):
    museum = opened("museum", scans_dir, **form)
    for name in MUSEUM:
        split = museum.split(name, LABELS)
        found, unknown = learnt.seen(museum, split)
        assert found.tolist() == [number_of(file) in LEARNT for file in split.file_names]
        assert not unknown
    assert found.sum() == 5


def test_a_scan_stands_for_all_pictures_of_its_work(scans_dir, learnt):
    museum = opened("museum", scans_dir, canvas_size=128)
    test = museum.split("test", LABELS)
    numbers = np.asarray([number_of(file) for file in test.file_names])
    works = np.where(np.isin(numbers, [0, 32]), "0 and 32", test.work_ids)
    found = learnt.seen(museum, replace(test, work_ids=works)).pictures
    assert set(numbers[found]) == {0, 3, 5, 8, 18, 32}


@pytest.mark.parametrize(
    ("name", "listed", "found"), [("gallery", True, 5), ("gallery", False, 0), ("other", False, 5)]
)
def test_in_its_own_source_looks_count_only_if_near_duplicates_were_looked_for(
    name, listed, found, scans_dir, tmp_path, learnt
):
    museum = opened("museum", scans_dir, canvas_size=128)
    if listed:
        reports.write_csv(
            tmp_path / reports.NEAR_DUPLICATES_CSV, reports.NearDuplicateRow._fields, []
        )
    prepared = replace(museum.prepared, name=name, directory=tmp_path)
    seen_there = learnt.seen(replace(museum, prepared=prepared), museum.split("test", LABELS))
    assert seen_there.pictures.sum() == found


def test_some_are_known_by_name_and_others_by_look(scans_dir, learnt):
    museum = opened("museum", scans_dir, canvas_size=128)
    test = museum.split("test", LABELS)
    unknown = [i for i, file in enumerate(test.file_names) if number_of(file) not in LEARNT]
    own = seen.of_splits(museum, [test.only(np.asarray(unknown[:2]))])
    both = seen.joined([learnt, replace(own, fingerprints=fingerprints.NONE)])
    expected = [
        number_of(file) in LEARNT or i in unknown[:2] for i, file in enumerate(test.file_names)
    ]
    assert both.seen(museum, test).pictures.tolist() == expected


def test_what_is_found_is_kept_for_these_works_and_this_run(
    scans_dir, tmp_path, learnt, monkeypatch
):
    museum = opened("museum", scans_dir, tmp_path, canvas_size=128)
    test = museum.split("test", LABELS)
    searched = []
    monkeypatch.setattr(
        seen, "looks_like_any", lambda *views: searched.append(views) or looks_like_any(*views)
    )
    none = replace(
        learnt, fingerprints=learnt.fingerprints._replace(hashes=~learnt.fingerprints.hashes)
    )
    first_four = [number_of(file) in LEARNT for file in test.file_names[:4]]
    for known, split, found in (
        (learnt, test, 5),
        (none, test, 0),
        (learnt, test.only(np.arange(4)), sum(first_four)),
    ):
        searched.clear()
        for _ in range(2):
            assert known.seen(museum, split).pictures.sum() == found
        assert len(searched) == 1


def test_equal_views_are_kept_once(scans_dir, learnt):
    twice = seen.joined([learnt, learnt])
    for one, other in zip(twice.fingerprints, learnt.fingerprints, strict=True):
        np.testing.assert_array_equal(one, other)
    elsewhere = learnt.fingerprints._replace(sources=learnt.fingerprints.sources + np.uint64(1))
    both = fingerprints.joined([learnt.fingerprints, elsewhere])
    assert len(both.sources) == 2 * len(learnt.fingerprints.sources)


@pytest.mark.parametrize("folds", [0, 2])
def test_looks_are_those_of_the_works_of_a_split(folds, scans_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_fingerprints, "_AT_ONCE", 4)
    museum = opened("museum", scans_dir, tmp_path, canvas_size=128)
    split = fold_of(museum, folds, max(0, folds - 1)).split("test", LABELS)
    canvases = split.gather(np.arange(len(split)))["image"]
    expected = views_of([fingerprint_of_grey(Image.fromarray(of).convert("L")) for of in canvases])
    views = fingerprints_of(museum, split)
    views = views.only(np.argsort(views.picture, kind="stable"))
    for of, by_hand in zip(views, expected, strict=True):
        np.testing.assert_array_equal(of, by_hand)


def test_canvases_have_the_hashes_of_the_pictures(scans_dir):
    museum = opened("museum", scans_dir, canvas_size=128)
    records = opened("museum", scans_dir, source="stream").images("test")
    jpegs = views_of([fingerprint_of(records.encoded(row)) for row in range(len(records))])
    of_canvases = fingerprints_of(museum, museum.split("test", LABELS))
    whole = [np.unique(views.picture, return_index=True)[1] for views in (of_canvases, jpegs)]
    bits = np.bitwise_count(of_canvases.hashes[whole[0], 0] ^ jpegs.hashes[whole[1], 0])
    assert len(bits) == len(MUSEUM["test"])
    assert bits.max() <= 4


def test_looks_are_made_once_and_again_where_the_file_is_of_no_use(
    scans_dir, tmp_path, monkeypatch
):
    museum = opened("museum", scans_dir, tmp_path)
    test = museum.split("test", LABELS)
    made = []
    make = kept_fingerprints._made
    monkeypatch.setattr(
        kept_fingerprints, "_made", lambda data, source: made.append(source) or make(data, source)
    )
    first = fingerprints_of(museum, test)
    (file,) = museum.directory.glob("*fingerprints*")
    for content in (None, b"", file.read_bytes()[:-100]):
        if content is not None:
            file.write_bytes(content)
        for _ in range(2):
            again = fingerprints_of(museum, test)
            np.testing.assert_array_equal(again.grey, first.grey)
    assert made == ["test"] * 3
    of_other_pictures = replace(museum, prepared=replace(museum.prepared, fingerprint="other"))
    fingerprints_of(of_other_pictures, test)
    assert made == ["test"] * 4
    file.unlink()
    file.mkdir()  # it cannot be written: only the time is lost
    np.testing.assert_array_equal(fingerprints_of(museum, test).grey, first.grey)
    assert [path.name for path in museum.directory.glob("*fingerprints*")] == [file.name]


@pytest.mark.slow
def test_a_run_warns_of_other_scans_and_scores_without_them(scans_dir, tmp_path, capsys):
    one, other = tmp_path / "one", tmp_path / "other"
    small = {"steps": 2, "eval_every": 2, "canvas_size": 64, "batch_size": 4}
    train(tiny_config(collection="gallery", **small), Places(one, scans_dir), **ONE)
    capsys.readouterr()
    probe = tiny_config(collection="museum", model__weights=str(one), **small)
    train(probe, Places(other, scans_dir), **ONE)
    assert (
        "warning: the weights have learnt from 1 of the 3 validation works and 5 of the 10 test works:"
    ) in capsys.readouterr().out
    row = json.loads((other / "evaluation" / "test" / "metrics.json").read_text())["tasks"][
        "artist"
    ]
    assert (row["n"], row["n_unseen_by_weights"]) == (10, 5)
