"""Two classifiers beside each other on the same works."""

import itertools

import numpy as np
import pytest
from scipy import stats

from artjax.evaluation.paired import paired


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(31, 12), (12, 31), (5, 0), (7, 7), (0, 0), (1, 0), (900, 800)]
)
def test_works_that_are_each_alone_have_the_exact_test_of_mcnemar(only_first, only_second):
    both, n = 40, 40 + only_first + only_second + 10
    first = np.arange(n) < both + only_first
    second = (np.arange(n) < both) | (np.arange(n) >= n - only_second)
    found = paired(first, second)
    assert found[:2] == (only_first, only_second)
    discordant = only_first + only_second
    p = stats.binomtest(only_first, discordant, 0.5).pvalue if discordant else 1
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found == paired(first, second, np.arange(n)[::-1])


def test_pictures_of_a_group_change_their_signs_together():
    """All signs of five groups, by hand."""
    groups = np.repeat(list("dbaec"), [4, 1, 3, 2, 5])
    rng = np.random.default_rng(3)
    first, second = rng.random(15) < 0.8, rng.random(15) < 0.4
    sums = [(first[groups == g].astype(int) - second[groups == g]).sum() for g in "abcde"]
    assert len(set(map(abs, sums))) > 2
    signs = np.asarray(list(itertools.product([-1, 1], repeat=5)))
    p = np.mean(abs(signs @ sums) >= abs(sum(sums)))
    assert paired(first, second, groups).p == pytest.approx(p)
    assert p > paired(first, second).p


def test_images_of_one_work_are_not_taken_for_as_many():
    groups = np.repeat(np.arange(3), 20)  # three works that the first alone names rightly
    assert paired(np.ones(60, bool), np.zeros(60, bool), groups) == (60, 0, pytest.approx(0.25))
    assert paired(np.ones(60, bool), np.zeros(60, bool)).p < 1e-9


def test_both_are_as_good_as_each_other_in_most_comparisons_of_equals():
    """Two of equal skill seem different in 5 % of comparisons at most, also with groups."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 40)
    groups = np.repeat(np.arange(40), sizes)
    different = alone = 0
    for _ in range(500):
        shares = np.repeat(rng.beta(1, 1, (2, 40)), sizes, axis=1)
        first, second = rng.random((2, len(groups))) < shares
        different += paired(first, second, groups).p <= 0.05
        alone += paired(first, second).p <= 0.05
    assert different / 500 <= 0.06
    assert alone / 500 > 0.12  # the groups are needed
