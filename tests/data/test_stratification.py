from collections import Counter

import numpy as np
import pytest

from artjax.data.splits import SPLITS, shares_of
from artjax.data.stratification import stratify

SHARES = shares_of(SPLITS)


def groups_of(sizes):
    """Groups of one picture with one class each: {class: number of groups}."""
    return {f"{name} {i}": [name] for name, size in sizes.items() for i in range(size)}


def by_class(groups, splits):
    """{class: (train, validation, test)} in groups."""
    counts = {}
    for key, names in groups.items():
        for name in set(names):
            counts.setdefault(name, Counter())[splits[key]] += 1
    return {name: tuple(of[split] for split in SPLITS) for name, of in counts.items()}


@pytest.mark.parametrize(
    ("classes", "size", "expected"),
    [
        (27, 7, (5, 1, 1)),
        (33, 7, (5, 1, 1)),
        (2, 300, (240, 30, 30)),
        (3, 5, (3, 1, 1)),
        (20, 3, (1, 1, 1)),
    ],
)
def test_classes_of_one_size_are_divided_alike(classes, size, expected):
    groups = groups_of({f"class {i:02d}": size for i in range(classes)})
    splits = stratify(groups, SHARES, {})
    assert set(by_class(groups, splits).values()) == {expected}


def three_labels():
    """240 works of 12 artists, who paint in 5 genres in random shares and each live in one place."""
    rng = np.random.default_rng(0)
    artists = rng.permutation(np.repeat(np.arange(12), 20))
    return {
        f"w{i}": [("artist", int(a)), ("genre", int(rng.integers(5))), ("location", int(a) % 4)]
        for i, a in enumerate(artists)
    }


def test_three_labels_have_their_shares_each_and_no_class_is_uncovered():
    groups = three_labels()
    splits = stratify(groups, SHARES, {})
    assert Counter(splits.values()) == {"train": 192, "validation": 24, "test": 24}
    for train, *held_out in by_class(groups, splits).values():
        works = train + sum(held_out)
        assert abs(train - 0.8 * works) <= 3
        assert all(abs(number - 0.1 * works) <= 2 for number in held_out)


def test_every_class_with_a_group_for_each_split_is_in_each_among_many_labels():
    """Rare classes are used up before the turn of others: without `cover` some are missing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = {
            f"w{i}": [("a", int(rng.integers(12))), ("b", int(rng.integers(9)))] for i in range(70)
        }
        for counts in by_class(groups, stratify(groups, SHARES, {})).values():
            assert sum(counts) < 3 or min(counts) >= 1, (seed, counts)


def test_what_is_assigned_stays_and_new_groups_fill_up():
    groups = groups_of({"a": 40, "b": 40})
    before = {key: "train" if key[0] == "b" else "test" for key in groups if int(key[2:]) < 20}
    splits = stratify(groups, SHARES, before)
    assert before.items() <= splits.items()
    assert by_class(groups, splits) == {"a": (19, 1, 20), "b": (32, 4, 4)}


def test_a_tenth_more_moves_none():
    for groups in (groups_of({"a": 7, "b": 70, "c": 300}), three_labels()):
        before = stratify(groups, SHARES, {})
        more = {f"new {key}": names for key, names in list(groups.items())[::10]}
        after = stratify(more | groups, SHARES, before)
        assert before.items() <= after.items()
        assert len(after) == len(groups) + len(more)


def test_classes_of_two_fill_all_splits_and_each_has_one_in_train():
    groups = groups_of({f"class {i:02d}": 2 for i in range(50)})
    splits = stratify(groups, SHARES, {})
    assert min(by_class(groups, splits).values()) >= (1, 0, 0)
    counts = Counter(splits.values())
    assert 7 <= counts["validation"] <= 10
    assert 7 <= counts["test"] <= 10


def test_classes_of_one_do_not_keep_other_classes_out_of_the_splits():
    groups = {f"w{i}": [("artist", i), ("genre", i % 4)] for i in range(240)}
    counts = by_class(groups, stratify(groups, SHARES, {}))
    assert {counts["genre", i] for i in range(4)} == {(48, 6, 6)}


# Most of the pictures, and a fifth of them: twice what a held-out split should have.
@pytest.mark.parametrize(("size", "others"), [(50, 9), (20, 80)])
def test_a_group_of_many_pictures_is_not_held_out(size, others):
    for seed in range(30):
        sizes = [size, *[1] * others]
        groups = {f"{seed} {i}": ["a"] * size for i, size in enumerate(sizes)}
        assert stratify(groups, SHARES, {})[f"{seed} 0"] == "train"


def test_groups_without_a_class_have_their_shares_too():
    splits = stratify({f"w{i}": [] for i in range(100)}, SHARES, {})
    assert Counter(splits.values()) == {"train": 80, "validation": 10, "test": 10}


def test_the_order_of_the_groups_does_not_matter():
    groups = three_labels()
    backwards = dict(reversed(groups.items()))
    assert stratify(groups, SHARES, {}) == stratify(backwards, SHARES, {})


def test_equal_shares_give_folds():
    folds = {f"fold{i}": 0.2 for i in range(5)}
    groups = groups_of({"a": 10, "b": 25, "c": 4})
    splits = stratify(groups, folds, {})
    assert {splits[f"c {i}"] for i in range(4)} != set(folds)
    assert len({splits[f"c {i}"] for i in range(4)}) == 4
    assert sorted(Counter(splits.values()).values()) == [7, 8, 8, 8, 8]
    assert set(Counter(s for key, s in splits.items() if key[0] == "a").values()) == {2}


def test_another_seed_is_another_cut_and_seed_0_is_the_cut_that_always_was():
    groups = {f"work {i}": ["ada" if i % 3 else "bo"] for i in range(12)}
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    splits = [stratify(groups, shares, {}, seed=seed) for seed in range(4)]
    cuts = ["".join(of_seed[key] for key in groups) for of_seed in splits]
    default = stratify(groups, shares, {})
    assert cuts[0] == "".join(default[key] for key in groups) == "ccaaabbaaabc"
    assert len(set(cuts)) == 4
    assert {tuple(sorted(cut)) for cut in cuts} == {tuple("aaaaaabbbccc")}
