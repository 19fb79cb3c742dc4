"""Which networks are shown to be better than others on the same works."""

import numpy as np
import pytest
from scipy.stats import binomtest

from artjax.evaluation.metrics import Predictions
from artjax.evaluation.pairwise import holm, score_by_work, shown_to_be_better


def predicted(right, ids=None):
    """Predictions of one class of two, right where it is said."""
    shares = np.where(np.asarray(right, bool)[:, None], [0.9, 0.1], [0.1, 0.9])
    work_ids = None if ids is None else np.asarray(ids)
    return Predictions(np.zeros(len(right), int), np.log(shares), work_ids)


@pytest.mark.parametrize(("wins", "losses"), [(6, 0), (5, 0), (9, 1), (8, 1), (30, 12), (27, 14)])
def test_two_networks_differ_where_the_exact_test_of_mcnemar_says_so(wins, losses):
    first = [1] * wins + [0] * losses + [1, 0] * 10
    second = [0] * wins + [1] * losses + [1, 0] * 10
    scores = np.stack([score_by_work({"artist": predicted(of)}) for of in (first, second)])
    shown = binomtest(wins, wins + losses).pvalue <= 0.05
    np.testing.assert_array_equal(shown_to_be_better(scores), [[False, shown], [False, False]])
    np.testing.assert_array_equal(shown_to_be_better(scores[::-1])[1], [shown, False])


def test_holm_rejects_step_by_step():
    # Holm (1979): 0.05 / 4, then / 3, then / 2; the third is above, so the last one stays as well.
    p_values = np.asarray([0.03, 0.01, 0.04, 0.016])
    np.testing.assert_array_equal(holm(p_values, 0.05), [False, True, False, True])
    np.testing.assert_array_equal(holm(np.asarray([0.02, 0.04]), 0.05), [True, True])
    assert not holm(np.asarray([0.06, 0.06]), 0.05).any()


def test_the_images_and_labels_of_a_work_are_compared_as_one():
    ids = ["a", "a", "a", "b"]
    score = score_by_work({"artist": predicted([1, 1, 0, 1], ids), "genre": predicted([1], ["a"])})
    np.testing.assert_allclose(score, [2 / 4 + 1, 1 / 4])
    # Eight images of one work are no more than one of them.
    first, second = ({"artist": predicted([of] * 8, ["a"] * 8)} for of in (1, 0))
    assert not shown_to_be_better(np.stack([score_by_work(first), score_by_work(second)])).any()


def test_equally_good_networks_are_seldom_told_apart():
    """The best of 13, on the works that made it the best, is called better in 5 % of cases at most."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        scores = (rng.random((13, 200)) < 0.75).astype(float)
        best = scores.mean(1).argmax()
        found.append(shown_to_be_better(scores)[best].any())
    assert np.mean(found) <= 0.05


def test_much_better_networks_are_told_apart():
    rng = np.random.default_rng(0)
    scores = (rng.random((13, 200)) < np.asarray([0.95] + [0.6] * 12)[:, None]).astype(float)
    np.testing.assert_array_equal(shown_to_be_better(scores)[0], [False] + [True] * 12)
