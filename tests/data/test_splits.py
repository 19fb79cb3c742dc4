from collections import Counter

from artjax.data.splits import split_of

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
