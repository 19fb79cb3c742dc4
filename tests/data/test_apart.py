"""Divisions that keep painters apart, and contradicting labels out of what is tested."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from PIL import Image

from artjax.data import folds, reports
from artjax.data.folds import fold_of
from artjax.data.reports import NearDuplicateRow, SplitRow
from artjax.errors import DataError

SPLITS = ("train", "validation", "test")
PAINTERS, EACH = 15, 4
PLACE = {"place": "place"}
# The last one links two that do not look alike through a picture that is not prepared.
PAIRS = (("0-0", "0-1", "place"), ("1-0", "1-1", ""), ("1-1", "2-0", "place"), ("5-0", "gone", ""))
PAIRS = (*PAIRS, ("gone", "6-0", ""))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Painters with four works each, and two places, without a validation split."""
    folder = tmp_path_factory.mktemp("painters")
    rng = np.random.default_rng(0)
    examples = [
        {
            "image": tiny.encoded(Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))),
            "artist": painter if painter < 12 else -1,
            "place": painter % 2,
            "file_name": f"{painter}-{i}",
            "work_id": f"{painter}-{i}",
        }
        for painter in range(PAINTERS)
        for i in range(EACH)
    ]
    names = {"artist": [f"P{i}" for i in range(12)], "place": ("Delft", "Ghent")}
    tiny.store(folder, "painters", names, {"train": examples})
    version = folder / "painters" / "1.0.0"
    pairs = [NearDuplicateRow(a, "", b, "", 3, 0.99, conflict) for a, b, conflict in PAIRS]
    reports.write_csv(version / reports.NEAR_DUPLICATES_CSV, NearDuplicateRow._fields, pairs)
    # Of the last three painters there are too few works for a class: only the list names them.
    cells = [f"artist=P{e['file_name'].partition('-')[0]}" for e in examples]
    placed = [
        SplitRow(e["file_name"], e["work_id"], "train", 16, 12, cell)
        for e, cell in zip(examples, cells, strict=True)
    ]
    reports.write_csv(version / reports.SPLITS_CSV, SplitRow._fields, placed)
    config = tiny.tiny_config(collection="painters")
    return tiny.open_canvases(config, folder, None)


def with_metadata(data, **metadata):
    return replace(data, prepared=replace(data.prepared, metadata=metadata))


def splits_of(data):
    """The split of each file; none for those that are in none."""
    return {
        name: split for split in SPLITS for name in data.split(split, PLACE).file_names.tolist()
    }


def painter(name):
    return int(name.partition("-")[0])


def sides(splits, painters):
    return {p: {split for name, split in splits.items() if painter(name) == p} for p in painters}


@pytest.mark.parametrize("number", [0, 3])
def test_all_works_of_one_painter_are_on_one_side(number, data):
    for fold in range(max(number, 1)):
        splits = splits_of(folds.divided_anew(data, number, fold, "artist"))
        assert len(splits) == PAINTERS * EACH
        of = sides(splits, range(12))
        assert all(len(found) == 1 for found in of.values())
        assert of[1] == of[2]  # near-duplicates
        assert of[5] == of[6]  # through a picture that is not prepared
        assert set(splits.values()) == set(SPLITS)
        assert len(set.union(*of.values())) > 1
        # Nobody says who painted the others: each is on its own.
        assert len(set.union(*sides(splits, range(12, 15)).values())) > 1
    without = splits_of(fold_of(data, 3, 0))
    assert any(len(found) > 1 for found in sides(without, range(12)).values())


def test_what_a_set_was_built_by_holds_for_folds_and_for_a_split_that_is_cut(data):
    built = with_metadata(data, split_by="artist")
    for divided in (built, fold_of(built, 3, 1)):
        of = sides(splits_of(divided), range(PAINTERS))
        assert all(len(found) == 1 for found in of.values()), divided
    assert folds.divided_anew(built, 0, 0, "artist") is built
    assert folds.divided_anew(data, 0, 0, "") is data
    # The parts of the folds have their share of works, not of painters.
    sizes = [len(fold_of(built, 3, fold).split("test", PLACE)) for fold in range(3)]
    assert max(sizes) - min(sizes) <= 2 * EACH


def test_a_cut_split_divides_no_near_duplicates(data):
    splits = splits_of(data)
    assert splits["1-0"] == splits["1-1"] == splits["2-0"]
    assert splits["5-0"] == splits["6-0"]


def test_contradicting_labels_are_tested_in_no_fold(data):
    kept_out = {"0-0", "0-1", "1-0", "1-1", "2-0"}  # one of them looks like one with another label
    built = with_metadata(data, conflicts="train")
    tested = set()
    for fold in range(3):
        splits = splits_of(fold_of(built, 3, fold))
        assert {splits[name] for name in kept_out} == {"train"}
        tested |= {name for name, split in splits.items() if split == "test"}
    assert len(tested) == PAINTERS * EACH - len(kept_out)
    assert folds.contradicting(fold_of(built, 3, 0), PLACE) == len(kept_out)
    assert folds.notes(fold_of(built, 3, 0), PLACE) == [
        "splits: 5 pictures have a near-duplicate with another label: they are never tested"
    ]
    kept = with_metadata(data, conflicts="keep")
    assert folds.contradicting(fold_of(kept, 3, 0), PLACE) == 0
    assert folds.contradicting(data, PLACE) == 0


def test_where_painters_are_apart_contradicting_labels_are_in_train_or_nowhere(data):
    built = with_metadata(data, conflicts="train", split_by="artist")
    contradicting = {"0-0", "0-1", "1-1", "2-0"}
    for fold in range(3):
        splits = splits_of(fold_of(built, 3, fold))
        for name in contradicting:
            others = {
                s
                for n, s in splits.items()
                if painter(n) == painter(name) and n not in contradicting
            }
            assert splits.get(name) == ("train" if others == {"train"} else None)
    assert folds.contradicting(fold_of(built, 3, 0), PLACE) == 4


def test_what_cannot_be_divided_by_is_one_line(data):
    with pytest.raises(DataError, match="has no label 'painter' to group works by; it has"):
        folds.divided_anew(data, 0, 0, "painter")
    official = with_metadata(data, official=["test"])
    with pytest.raises(
        DataError, match=r"--config.split_by=artist: 'painters' has an official test"
    ):
        folds.divided_anew(official, 0, 0, "artist")
    apart = folds.divided_anew(data, 0, 0, "artist")
    with pytest.raises(DataError, match="task who: all works of one artist are in one split"):
        folds.notes(apart, {"who": "artist"})
    assert folds.notes(apart, PLACE) == ["splits: all works of one artist are in one"]
    assert apart.split_by == "artist"
