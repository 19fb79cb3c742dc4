"""Errors that concentrate are found, and chance is not shown as a finding."""

import numpy as np
import pytest
from scipy import stats

from artjax.report.concentration import (
    LEVEL,
    OTHERS,
    UNKNOWN,
    _named,
    _numeric,
    holm,
    independence_p,
)


def test_holm_equals_the_definition():
    # Holm (1979): the smallest times 4, the next times 3 …, never below the one before, at most 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_bins_equal_the_exact_test():
    """With two bins all tables are known, so their probabilities can be added."""
    wrong = np.repeat([True, False, True, False], [9, 11, 3, 27])
    bins = np.repeat([0, 1], [20, 30])
    table = stats.hypergeom(50, 12, 20)
    counts = np.arange(13)
    far = np.abs(counts - 12 * 20 / 50) >= abs(9 - 12 * 20 / 50) - 1e-9
    assert independence_p(wrong, bins) == pytest.approx(table.pmf(counts[far]).sum(), abs=0.004)


def test_many_works_equal_chi_squared():
    rng = np.random.default_rng(1)
    bins = rng.integers(0, 5, 3000)
    wrong = rng.random(3000) < 0.3 + 0.02 * (bins == 2)
    table = np.stack([np.bincount(bins, wrong), np.bincount(bins, ~wrong)])
    assert independence_p(wrong, bins) == pytest.approx(
        stats.chi2_contingency(table).pvalue, abs=0.02
    )


def test_chance_is_no_finding_and_a_cause_is():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        wrong, bins = rng.random(80) < 0.2, rng.integers(0, 4, 80)
        found.append(independence_p(wrong, bins) <= LEVEL)
    assert np.mean(found) <= 0.08
    bins = rng.integers(0, 4, 80)
    assert independence_p((bins == 1) | (rng.random(80) < 0.1), bins) < 0.001
    assert independence_p(np.zeros(80, bool), bins) == 1


def test_numbers_are_divided_evenly_and_the_unknown_stand_apart():
    values = np.asarray([*range(1600, 1640), np.nan, np.nan])
    column = _numeric("year", values, "{:.0f}")
    assert column.bins == [
        "1600 to 1610",
        "1611 to 1620",
        "1621 to 1630",
        "1631 to 1639",
        UNKNOWN,
    ] or (len(column.bins) == 5 and column.bins[-1] == UNKNOWN)
    counts = np.bincount(column.of_work)
    assert counts[-1] == 2
    assert (np.abs(counts[:-1] - 10) <= 1).all()
    assert _numeric("year", np.full(40, 1900.0), "{:.0f}") is None
    assert _numeric("year", np.full(40, np.nan), "{:.0f}") is None


def test_the_largest_classes_have_bins_in_their_order_and_the_rest_share_one():
    values = np.repeat([3, 1, 0, 2, -1], [20, 10, 4, 3, 5])
    column = _named("genre", values, ["a", "b", "c", "d"])
    assert column.bins == ["b", "d", OTHERS, UNKNOWN]
    assert np.bincount(column.of_work).tolist() == [10, 20, 7, 5]
    assert _named("genre", np.zeros(40, int), ["a"]) is None
