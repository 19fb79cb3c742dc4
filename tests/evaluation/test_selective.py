"""Does the promise of a threshold hold? Simulated: works are drawn, and a threshold is set on them."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import binom

from artjax.evaluation import selective
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.selective import Graded


def drawn(rng, works, right_at, images=1):
    """Graded that are right as often as `right_at` says of their probability."""
    probability = np.repeat(rng.uniform(0.5, 1, works), images)
    right = np.repeat(rng.random(works) < right_at(probability[::images]), images)
    return Graded(probability, right, np.repeat(np.arange(works), images))


def true_error(lowest, right_at):
    grid = np.linspace(lowest, 1, 200)
    return 1 - right_at(grid).mean()


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize(
    "right_at",
    [
        lambda p: 1 - 2 * (1 - p) ** 2,  # the surer, the more often right
        lambda p: 0.9 + 0 * p,  # of any probability as many are wrong as may be
        lambda p: 1.3 - 0.5 * p,  # the surer, the more often wrong
    ],
)
def test_more_are_wrong_than_promised_in_5_percent_of_all_draws_at_most(right_at, images):
    rng = np.random.default_rng(0)
    draws = 400 if images == 1 else 80  # the interval of works with several images takes long
    broken = set_at = 0
    for _ in range(draws):
        found = selective.threshold(drawn(rng, 160, right_at, images), 0.1)
        if found is not None:
            set_at += 1
            broken += true_error(found.probability, right_at) > 0.1 + 1e-9
    # Of so many draws with a chance of 5 %, more occur once in a hundred times.
    assert broken <= binom.ppf(0.99, draws, 0.05)
    if right_at(1.0) == 1:
        assert set_at > 0.15 * draws  # it is not kept by never promising anything


def test_the_lowest_threshold_that_holds_is_found():
    rng = np.random.default_rng(1)
    good = drawn(rng, 400, lambda p: (p > 0.75) + (p <= 0.75) * 0.5)
    found = selective.threshold(good, 0.1)
    assert 0.65 < found.probability < 0.8
    sure = good.probability >= found.probability
    assert (found.works, found.wrong) == (sure.sum(), (~good.right[sure]).sum())
    # All are right: every answer is sure, from the lowest probability of all on.
    all_right = good._replace(right=np.ones(400, bool))
    assert selective.threshold(all_right, 0.1).probability == good.probability.min()
    # Details of few works promise less than as many works.
    assert selective.threshold(all_right._replace(work=np.arange(400) // 20), 0.1) is None


def test_too_few_works_promise_nothing():
    answers = Graded(np.ones(40), np.ones(40, bool), np.arange(40))
    assert selective.threshold(answers, 0.1) is None
    assert selective.threshold(answers, 0.2).works == 40
    # All right: the error at which 40 right ones are as rare as the bound of a candidate allows.
    assert selective.least_rate(answers) == pytest.approx(1 - (0.05 / 8) ** (1 / 40))
    none = Graded(np.empty(0), np.empty(0, bool), np.empty(0, int))
    assert selective.threshold(none, 0.5) is None
    assert selective.least_rate(none) == 1
    wrong = answers._replace(right=np.zeros(40, bool))
    assert selective.threshold(wrong, 0.5) is None


def test_answers_are_what_a_network_says_and_survive_their_file():
    logs = log_softmax(3 * np.random.default_rng(0).normal(size=(6, 3)), axis=1)
    logs[2] = np.nan
    labels = np.nan_to_num(logs).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    ids = np.asarray(["b", "a", "b", "c", "c", "a"])
    given = selective.answers(Predictions(labels, logs, ids))
    assert given.right.tolist() == [False, True, False, True, True, True]
    assert given.work.tolist() == [1, 0, 1, 2, 2, 0]
    assert given.probability[2] == 0
    np.testing.assert_allclose(given.probability[3:], np.exp(logs[3:].max(axis=1)))
    read = Graded.from_json(given.to_json())
    for name in Graded._fields:
        np.testing.assert_array_equal(getattr(read, name), getattr(given, name))
