"""No fold tests what its network has seen: a work, a detail of it, or what looks the same."""

from collections import Counter

import details
import numpy as np
import pytest
from tiny import open_canvases

from artjax.data.folds import fold_of

SPLITS = ("train", "validation", "test")
LABELS = {label: label for label in details.LABELS}
ARTIST = {"artist": "artist"}

every_fold = pytest.mark.parametrize(
    ("folds", "labels"),
    [(3, LABELS), (5, LABELS), (3, ARTIST), (5, ARTIST)],
    ids=["3 folds", "5 folds", "3 folds, one label", "5 folds, one label"],
)


@pytest.fixture(scope="module")
def data(details_dir):
    return open_canvases(details.details_config(), details_dir, None)


def splits_of(data, folds, fold, labels):
    folded = fold_of(data, folds, fold)
    return {name: folded.split(name, labels) for name in SPLITS}


def asked_for(labels):
    """The pictures with at least one of the labels."""
    return {p.file_name for p in details.PICTURES if any(p.labels[name] >= 0 for name in labels)}


def test_the_collection_has_what_folds_must_keep_together():
    groups = details.groups()
    works = {p.file_name: p.work_id for p in details.PICTURES}
    of_group = {}
    for name, group in groups.items():
        of_group.setdefault(group, set()).add(works[name])
    # Groups of one to four works, which add up to 90.
    assert Counter(map(len, of_group.values())) == {1: 72, 2: 2, 3: 2, 4: 2}
    assert max(Counter(works.values()).values()) == 3


@every_fold
def test_no_work_detail_or_near_duplicate_is_on_two_sides_of_any_fold(data, folds, labels):
    groups = details.groups()
    for fold in range(folds):
        sides = {}
        for name, split in splits_of(data, folds, fold, labels).items():
            for file in split.file_names:
                sides.setdefault(groups[file], set()).add(name)
        assert {group: s for group, s in sides.items() if len(s) > 1} == {}, fold


@every_fold
def test_every_picture_is_on_one_side_of_each_fold_and_tested_in_one_of_them(data, folds, labels):
    tested = []
    for fold in range(folds):
        splits = splits_of(data, folds, fold, labels)
        names = [name for split in splits.values() for name in split.file_names.tolist()]
        assert len(names) == len(set(names))
        assert set(names) == asked_for(labels)
        tested += splits["test"].file_names.tolist()
    assert len(tested) == len(set(tested))
    assert set(tested) == asked_for(labels)


@every_fold
def test_each_class_has_its_share_of_every_side_of_each_fold(data, folds, labels):
    groups = details.groups()
    shares = {"validation": 0.1, "test": 1 / folds}
    shares["train"] = 1 - sum(shares.values())
    for fold in range(folds):
        splits = splits_of(data, folds, fold, labels)
        of_split = {
            name: {groups[file] for file in split.file_names} for name, split in splits.items()
        }
        whole = sum(map(len, of_split.values()))
        for name, share in shares.items():
            assert abs(len(of_split[name]) - share * whole) <= 2, (fold, name)
        for label in labels:
            counts = {}
            for name, split in splits.items():
                known = split.labels[label] >= 0
                pairs = {
                    (groups[file], number)
                    for file, number in zip(
                        split.file_names[known], split.labels[label][known], strict=True
                    )
                }
                counts[name] = np.bincount([number for _, number in pairs], minlength=3)
            total = sum(counts.values())
            for name, share in shares.items():
                assert np.abs(counts[name] - share * total).max() <= 2.5, (fold, label, name)
                assert counts[name].min() >= 1, (fold, label, name)


def test_images_and_labels_of_a_fold_are_those_of_their_file_names(data):
    known = {p.file_name: p for p in details.PICTURES}
    for split in splits_of(data, 3, 1, LABELS).values():
        for i, file in enumerate(split.file_names):
            assert split.work_ids[i] == known[file].work_id
            for label in LABELS:
                assert split.labels[label][i] == known[file].labels[label]


def test_another_seed_cuts_other_folds_that_keep_together_what_belongs_together(data):
    groups = details.groups()
    folds_of = {}
    for seed in (0, 1, 2):
        of_picture = {}
        for fold in range(3):
            folded = fold_of(data, 3, fold, seed=seed)
            sides = {}
            for name in SPLITS:
                for file in folded.split(name, ARTIST).file_names:
                    sides.setdefault(groups[file], set()).add(name)
                    if name == "test":
                        of_picture[str(file)] = fold
            assert all(len(of_group) == 1 for of_group in sides.values())
        assert set(of_picture) == asked_for(ARTIST)
        folds_of[seed] = of_picture
    for other in (1, 2):
        moved = [folds_of[0][file] != folds_of[other][file] for file in folds_of[0]]
        assert 0.4 < np.mean(moved) < 0.9
    default = fold_of(data, 3, 1).split("test", ARTIST).file_names.tolist()
    assert sorted(default) == sorted(file for file, fold in folds_of[0].items() if fold == 1)
