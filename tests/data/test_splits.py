from collections import Counter

import numpy as np
import pytest

from artjax.data.splits import SPLITS, divide, shares_of, split_named, uncovered, uncovered_in_words

ARTISTS = ("ada", "bo", "cy")


def classes_of(works):
    return [[("artist", ARTISTS[i % 3])] for i in range(len(works))]


def random_pairs(seed, works, count):
    return [tuple(pair) for pair in np.random.default_rng(seed).integers(0, works, (count, 2))]


def test_train_has_what_the_others_leave():
    assert shares_of(SPLITS, (0.7, 0.2, 0.1)) == pytest.approx(
        {"train": 0.7, "validation": 0.2, "test": 0.1}
    )
    assert shares_of(("validation",)) == {"train": 0.9, "validation": 0.1}
    assert shares_of(()) == {"train": 1.0}


# Of the works 0 to 29, those that are held out; literal on purpose: another cut would put works that
# people have trained on into their test splits.
HELD_OUT = {"validation": [6, 20, 25], "test": [0, 19, 29]}


def test_the_cut_never_changes():
    works = [f"work {i}" for i in range(30)]
    splits = divide(works, classes_of(works))
    assert Counter(splits) == {"train": 24, "validation": 3, "test": 3}
    for split, numbers in HELD_OUT.items():
        assert [i for i, s in enumerate(splits) if s == split] == numbers


def test_composed_and_decomposed_names_are_divided_alike():
    composed, decomposed = ([f"caf{e} {i}" for i in range(50)] for e in ("\u00e9", "e\u0301"))
    assert divide(composed, classes_of(composed)) == divide(decomposed, classes_of(decomposed))


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train training Train train_1 train-00 train2017"),
        ("validation", "validation val valid dev VAL val2"),
        ("test", "test testing eval evaluation test_10"),
        (None, "trains contest 2017 training_set portrait"),
    ],
)
def test_publishers_names_of_splits(split, names):
    assert {name: split_named(name) for name in names.split()} == dict.fromkeys(
        names.split(), split
    )
    assert split_named(f" {names.split()[0]} ") == split


def test_no_pair_is_in_two_splits_and_none_is_left_out():
    works = [f"w{i // 2}" for i in range(400)]
    pairs = random_pairs(1, 400, 80)
    splits = divide(works, classes_of(works), pairs)
    assert set(splits) == set(SPLITS)
    assert all(splits[a] == splits[b] for a, b in pairs)
    assert all(splits[i] == splits[i + 1] for i in range(0, 400, 2))


def test_near_duplicates_through_others_are_together():
    works = [f"w{i}" for i in range(60)]
    chain = [(i, i + 1) for i in range(9)]
    assert len(set(divide(works, classes_of(works), chain)[:10])) == 1


def test_works_added_anywhere_move_none_that_was_divided_before():
    works = [f"w{i}" for i in range(330)]
    classes = classes_of(works)
    pairs = random_pairs(0, 330, 60)
    old = np.sort(np.random.default_rng(0).permutation(330)[:300])
    place = {int(work): i for i, work in enumerate(old)}
    before = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    splits = divide([works[i] for i in old], [classes[i] for i in old], before)
    previous = {works[i]: split for i, split in zip(old, splits, strict=True)}
    fresh = divide(works, classes, pairs)
    kept = divide(works, classes, pairs, previous=previous)
    assert any(fresh[i] != split for i, split in zip(old, splits, strict=True))
    assert all(kept[i] == split for i, split in zip(old, splits, strict=True))
    assert all(kept[a] == kept[b] for a, b in pairs if kept[a] and kept[b])


def test_a_new_work_that_links_works_of_different_splits_is_left_out():
    works = ["new 1", "old train", "new 2", "old test", "new 3"]
    previous = {"old train": "train", "old test": "test"}
    pairs = [(0, 1), (0, 2), (2, 3), (3, 4)]
    splits = divide(works, classes_of(works), pairs, previous=previous)
    assert splits == ["train", "train", None, "test", "test"]


def test_a_picture_that_now_looks_like_one_of_another_split_does_not_move_it():
    previous = {"a": "test", "b": "train"}
    assert divide(["a", "b"], [["x"], ["x"]], [(0, 1)], previous=previous) == ["test", None]


@pytest.mark.parametrize("only_train", [{0}, {1}, {0, 1}])
@pytest.mark.parametrize("ids", [["a", "b"], ["b", "a"]])
def test_a_work_that_was_held_out_stays_so_whatever_is_for_train_only(ids, only_train):
    splits = divide(ids, [["x"], ["x"]], [(0, 1)], previous={"b": "test"}, only_train=only_train)
    assert splits == ["test", "test"]


def test_splits_of_a_former_build_that_are_not_cut_here_decide_nothing():
    works = [f"w{i}" for i in range(30)]
    shares = shares_of(("validation",))
    splits = divide(works, classes_of(works), shares=shares, previous=dict.fromkeys(works, "test"))
    assert Counter(splits) == {"train": 27, "validation": 3}


def test_what_is_not_covered_is_put_in_words():
    names = [f"painter {i:02d}" for i in range(33)]
    works = {"train": dict.fromkeys(names, 1), "test": dict.fromkeys(names[11:], 2)}
    found = uncovered(names, works)
    assert found == {"test": names[:11]}
    (line,) = uncovered_in_words("artist", 33, found)
    assert line == f"11 of 33 artists have no test work: {', '.join(names[:11])}"
    (line,) = uncovered_in_words("style", 30, {"validation": names[:25]})
    assert line.endswith("painter 19 and 5 more")
    assert uncovered(names, {"train": dict.fromkeys(names, 1)}) == {}
