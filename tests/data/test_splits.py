from collections import Counter

import numpy as np
import pytest

from artjax.data.splits import assign_splits, split_named, split_of

EXPECTED = [
    "test",
    "train",
    "train",
    "train",
    "train",
    "train",
    "validation",
    "train",
    "train",
    "train",
    "train",
    "validation",
]


def test_shares_are_near_the_fractions():
    counts = Counter(split_of(f"work {i}") for i in range(10_000))
    for split, share in (("train", 8000), ("validation", 1000), ("test", 1000)):
        assert abs(counts[split] - share) < 4 * (share * (1 - share / 10_000)) ** 0.5


def test_the_split_of_a_work_never_changes():
    # Literal on purpose: another cut would leak trained works into people's test splits.
    assert [split_of(f"work {i}") for i in range(12)] == EXPECTED


def test_composed_and_decomposed_names_are_one_work():
    assert all(split_of(f"caf\u00e9 {i}") == split_of(f"cafe\u0301 {i}") for i in range(50))


def test_another_salt_gives_another_cut():
    works = [f"work {i}" for i in range(200)]
    assert [split_of(w) for w in works] != [split_of(w, salt="again") for w in works]


def test_near_duplicates_follow_the_first_of_them():
    works = [f"w{i}" for i in range(300)]
    alone = assign_splits(works, [None] * 300)
    assert alone == [split_of(work) for work in works]
    pairs = [(i, i + 100) for i in range(100)] + [(i + 200, i) for i in range(100)]
    together = assign_splits(works, [None] * 300, pairs)
    assert together[:100] == together[100:200] == together[200:] == alone[:100]


def test_works_added_at_the_end_move_no_other():
    rng = np.random.default_rng(0)
    works = [f"w{i}" for i in range(330)]
    pairs = [tuple(pair) for pair in rng.integers(0, 330, (200, 2)).tolist()]
    before = [pair for pair in pairs if max(pair) < 300]
    splits = assign_splits(works[:300], [None] * 300, before)
    assert assign_splits(works, [None] * 330, pairs)[:300] == splits


def test_works_added_in_the_middle_move_no_other_that_was_divided_before():
    rng = np.random.default_rng(0)
    works = [f"w{i}" for i in range(330)]
    pairs = [tuple(pair) for pair in rng.integers(0, 330, (200, 2)).tolist()]
    old = np.sort(rng.permutation(330)[:300])
    place = {int(work): i for i, work in enumerate(old)}
    before = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    splits = assign_splits([works[i] for i in old], [None] * 300, before)
    previous = {works[i]: split for i, split in zip(old, splits, strict=True) if split}
    fresh = assign_splits(works, [None] * 330, pairs)
    kept = assign_splits(works, [None] * 330, pairs, previous=previous)
    assert any(fresh[i] != s for i, s in zip(old, splits, strict=True) if s)
    assert all(kept[i] == s for i, s in zip(old, splits, strict=True) if s)


def test_a_previous_split_stays_where_the_hash_says_another():
    works = [f"w{i}" for i in range(60)]
    previous = dict.fromkeys(works[:40], "test") | {works[40]: "a split that is gone"}
    splits = assign_splits(works, [None] * 60, previous=previous)
    assert splits[:40] == ["test"] * 40
    assert splits[40:] == [split_of(work) for work in works[40:]]


def test_what_rounding_leaves_over_goes_to_the_last_split():
    assert split_of("work", (("train", 0.0), ("validation", 0.0), ("test", 0.0))) == "test"


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


def test_no_pair_straddles_and_what_could_only_straddle_is_in_no_split():
    rng = np.random.default_rng(1)
    works = [f"w{i // 2}" for i in range(400)]
    pairs = [tuple(pair) for pair in rng.integers(0, 400, (250, 2)).tolist()]
    splits = assign_splits(works, [None] * 400, pairs)
    assert None in splits
    assert all(splits[a] == splits[b] for a, b in pairs if splits[a] and splits[b])
    assert all(splits[i] == splits[i + 1] for i in range(0, 400, 2))


def test_official_splits_stay_and_pull_no_others():
    works = [f"w{i}" for i in range(100)]
    fixed = ["test"] * 50 + [None] * 50
    splits = assign_splits(works, fixed, [(i, i + 50) for i in range(50)], (("train", 1.0),))
    assert splits == ["test"] * 50 + ["train"] * 50
