"""All works of one painter, or of another column of the catalogue, are in one split."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artjax.data.reports import SplitRow, read_near_duplicates, read_split_rows
from artjax.data.splits import SPLITS, shares_of
from artjax.errors import ConfigError, DataError
from artjax.prepare import near_duplicates
from artjax.prepare.apart import apart, stay_lines
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.cleaning import CleanedWork
from artjax.prepare.selection import select

SHARES = shares_of(SPLITS)


def museum(painters=20, each=5, **fields):
    """Works of painters who have a place each; the last ten are by nobody known."""
    works = [
        Work(
            f"{painter}-{i}.jpg",
            {"artist": f"P{painter:02d}", "location": ("Delft", "Ghent")[painter % 2]},
            work_id=f"{painter}-{i}",
            columns={"owner": f"O{painter // 2}"},
            **fields,
        )
        for painter in range(painters)
        for i in range(each)
    ]
    works += [
        Work(f"nobody {i}.jpg", {"location": "Delft"}, work_id=f"nobody {i}", **fields)
        for i in range(10)
    ]
    return works


def looking(number):
    noise = np.random.default_rng(number).integers(0, 256, (32, 32), np.uint8)
    fingerprint = near_duplicates.fingerprint_of_grey(Image.fromarray(noise))
    return CleanedWork(Path("x"), "", str(number), (30, 20), fingerprint)


def selected(works, cleaned=None, **settings):
    cleaned = cleaned or [CleanedWork(Path("x"), "", str(i)) for i in range(len(works))]
    return select(Catalogue(works, class_names(works)), cleaned, SHARES, **settings)


def splits_by(selection, key):
    """The splits in which each cell occurs."""
    found = {}
    for split, kept in selection.kept.items():
        for work, _ in kept:
            found.setdefault(key(work), set()).add(split)
    return found


def artist(work):
    return work.labels.get("artist")


@pytest.mark.parametrize("min_works", [1, 100])
def test_painters_are_in_one_split_and_unknown_ones_are_on_their_own(min_works, tmp_path):
    works = museum()
    selection = selected(works, split_by="Artist")
    if min_works > 1:  # a painter with too few works for a class is one painter all the same
        few = [replace(work, labels=work.labels) for work in works]
        selection = selected(few, split_by="artist", min_works=6)
        assert "artist" in selection.catalogue.left_out_classes
    of = splits_by(selection, lambda work: work.file_name.partition("-")[0])
    painters = {name: splits for name, splits in of.items() if "nobody" not in name}
    assert len(painters) == 20
    assert all(len(splits) == 1 for splits in painters.values())
    assert set.union(*painters.values()) == set(SPLITS)
    sizes = {split: len(kept) for split, kept in selection.kept.items()}
    assert sum(sizes.values()) == 110
    assert 80 <= sizes["train"] <= 96
    assert selection.metadata()["split_by"] == "artist"
    selection.write_reports(tmp_path)
    cells = {row.file_name: row.split_by for row in read_split_rows(tmp_path / "splits.csv")}
    assert (cells["3-1.jpg"], cells["nobody 3.jpg"]) == ("artist=P03", "artist=")
    assert (
        "splits: by artist: all works of each of 20 are in one; 10 works without artist are on their own"
        in selection.summary(tmp_path)
    )
    without = splits_by(selected(works), artist)
    assert any(len(splits) > 1 for name, splits in without.items() if name)


def test_any_column_of_the_catalogue_will_do():
    of = splits_by(selected(museum(), split_by="owner"), lambda work: work.columns.get("owner"))
    assert all(len(splits) == 1 for owner, splits in of.items() if owner)


def test_painters_stay_where_they_were_and_their_new_works_join_them():
    works = museum()
    first = selected(
        [work for work in works if not work.file_name.endswith("-4.jpg")], split_by="artist"
    )
    rows = [
        SplitRow(work.file_name, work.work_id, split, 1, 1, first.split_by[work.file_name])
        for split, kept in first.kept.items()
        for work, _ in kept
    ]
    before = splits_by(first, artist)
    # One work of P01 is by P02 now, who is in another split or not: it moves to him.
    corrected = [
        replace(work, labels=work.labels | {"artist": "P02"})
        if work.file_name == "1-0.jpg"
        else work
        for work in works
    ]
    after = splits_by(selected(corrected, split_by="artist", previous=rows), artist)
    assert {name: splits for name, splits in after.items() if name} == {
        name: splits for name, splits in before.items() if name
    }
    # What was cut between any works keeps no painter apart.
    other = [row._replace(split="test", split_by="") for row in rows]
    assert splits_by(selected(works, split_by="artist", previous=other), artist)["P00"] <= set(
        SPLITS
    )
    assert len(selected(works, split_by="artist", previous=other).kept["train"]) > 60
    assert "divided again" in stay_lines(other, "artist", Path("splits.csv"))[0]
    assert "stay where they were" in stay_lines(rows, "Artist", Path("splits.csv"))[0]


@pytest.mark.parametrize(
    ("works", "column", "error", "says"),
    [
        (museum(), "painter", ConfigError, "has no such column; it has artist, location, owner"),
        (museum(split="test"), "artist", ConfigError, "the folders have them, and stay; leave"),
        (museum(2), "artist", DataError, "only 2 different values, and each of the three splits"),
        (
            [replace(w, labels={"artist": "x"}, columns={}) for w in museum()],
            "artist",
            ConfigError,
            "the only label is the artist",
        ),
    ],
)
def test_what_cannot_be_kept_apart_is_one_line(works, column, error, says):
    with pytest.raises(error, match=says) as caught:
        selected(works, split_by=column)
    assert "\n" not in str(caught.value)


def test_official_lists_stay():
    works = museum()
    catalogue = Catalogue(works, class_names(works), official=("test",))
    cleaned = [CleanedWork(Path("x"), "", str(i)) for i in range(len(works))]
    with pytest.raises(ConfigError, match="the splits are as an official list has them, and stay"):
        select(catalogue, cleaned, SHARES, split_by="artist")


def test_a_painter_with_most_works_is_said():
    works = [
        replace(w, labels=w.labels | {"artist": "P00"}) if i < 60 else w
        for i, w in enumerate(museum())
    ]
    said = selected(works, split_by="artist").summary(Path("data"))
    assert any(
        "60 of all 110 works are of the artist P00, and all in train" in line for line in said
    )


def test_works_with_contradicting_labels_are_tested_nowhere_where_painters_are_apart():
    works = museum()
    other = {"Delft": "Ghent", "Ghent": "Delft"}
    for i in range(1, 100, 5):
        labels = works[i].labels
        works[i] = replace(works[i], labels=labels | {"location": other[labels["location"]]})
    cleaned = [looking(i - 1 if i % 5 == 1 and i < 100 else i) for i in range(len(works))]
    selection = selected(works, cleaned, split_by="artist", conflicts="train")
    of = {name: splits for name, splits in splits_by(selection, artist).items() if name}
    assert all(len(splits) == 1 for splits in of.values())
    assert set.union(*of.values()) == set(SPLITS)  # each painter has such works, and is tested
    left_out = {row.file_name for row in selection.skipped}
    elsewhere = {int(name[1:]) for name, splits in of.items() if splits != {"train"}}
    assert left_out == {f"{painter}-{i}.jpg" for painter in elsewhere for i in (0, 1)}


def test_a_painter_whose_works_were_in_two_splits_stays_where_most_are():
    works = museum(3)
    by = apart(Catalogue(works, class_names(works)), "artist")
    rows = [
        SplitRow(
            w.file_name,
            w.work_id,
            "test" if w.file_name == "1-0.jpg" else "train",
            1,
            1,
            "artist=x",
        )
        for w in works
    ]
    stay = by.previous(rows, works)
    assert stay == {row.work_id: "train" for row in rows if row.file_name != "1-0.jpg"}


def test_works_look_alike_through_one_that_is_left_out_for_want_of_a_label(tmp_path):
    """0 ~ 1 ~ 2, though 0 and 2 do not look alike; 1 has no label."""
    rng = np.random.default_rng(0)
    ends = rng.normal(0, 40, (2, 32, 32))

    def between(share):
        grey = 128 + (1 - share) * ends[0] + share * ends[1]
        return near_duplicates.fingerprint_of_grey(
            Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
        )

    chain = [between(share) for share in (0.38, 0.5, 0.62)]
    found = [pair[:2] for pair in near_duplicates.find_near_duplicates(chain)]
    assert found == [(0, 1), (1, 2)]
    for number in range(12):  # in one split by chance in at most one of many such triples
        works = [
            Work(f"{i:03d}.jpg", {"artist": "ab"[i % 2]}, work_id=f"{number}-{i}")
            for i in range(40)
        ]
        works[1] = replace(works[1], labels={})
        cleaned = [
            replace(looking(i), fingerprint=chain[i]) if i < 3 else looking(i) for i in range(40)
        ]
        selection = selected(works, cleaned)
        of = splits_by(selection, lambda work: work.file_name)
        assert of["000.jpg"] == of["002.jpg"]
        assert "001.jpg" not in of
    selection.write_reports(tmp_path)
    split = next(iter(of["000.jpg"]))
    pairs = {
        (row.file_name, row.split, row.near_duplicate_split)
        for row in read_near_duplicates(tmp_path)
    }
    assert pairs == {("000.jpg", split, ""), ("001.jpg", "", split)}


def test_a_work_on_both_sides_of_a_published_split_is_a_warning():
    works = museum(split="train")
    works[:12] = [replace(work, split="test") for work in works[:12]]
    works[12:20] = [replace(work, split="validation") for work in works[12:20]]
    works[0] = replace(works[0], work_id=works[30].work_id)
    said = selected(works).summary(Path("data"))
    assert (
        "warning: 1 test works have pictures in train too (the same work_id), as the folders have them; "
        "evaluation says top1_unseen_works too"
    ) in said
