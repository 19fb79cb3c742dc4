"""The scores of several tasks as one, and the standard error of their mean top-1."""

import numpy as np
import pytest

from artjax.evaluation.metrics import Predictions, top1
from artjax.evaluation.over_tasks import over_tasks, standard_error


def of_answers(right, work_ids=None):
    """Predictions of two classes that are right where `right` says so."""
    right = np.asarray(right, bool)
    shares = np.where(right[:, None], [0.75, 0.25], [0.25, 0.75])
    ids = None if work_ids is None else np.asarray(work_ids).astype(str)
    return Predictions(np.zeros(len(right), int), np.log(shares), ids)


def test_top1_is_the_mean_over_tasks_and_the_loss_the_sum():
    overall = over_tasks(
        {"a": of_answers([1, 0]), "b": of_answers([1, 1, 1]), "none": of_answers([])}
    )
    assert overall.top1 == pytest.approx((0.5 + 1) / 2)
    assert overall.probability == pytest.approx((0.5 + 0.75) / 2)
    assert overall.loss == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2 - np.log(0.75))


def spread_and_estimates(draw, repeats=800):
    """How far the mean top-1 spreads over repeated draws, and the root mean square of its estimates."""
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(repeats)]
    means = [np.mean([top1(of_task) for of_task in tasks]) for tasks in drawn]
    return np.std(means), np.sqrt(np.mean([standard_error(tasks) ** 2 for tasks in drawn]))


def test_the_error_is_that_of_repeated_draws_of_one_task():
    spread, estimate = spread_and_estimates(lambda rng: [of_answers(rng.uniform(size=200) < 0.7)])
    assert estimate == pytest.approx(spread, rel=0.08)


def test_independent_tasks_of_unequal_size():
    def draw(rng):
        return [
            of_answers(rng.uniform(size=200) < 0.7, range(200)),
            of_answers(rng.uniform(size=60) < 0.4, range(200, 260)),
        ]

    spread, estimate = spread_and_estimates(draw)
    assert estimate == pytest.approx(spread, rel=0.08)


def test_tasks_that_are_right_and_wrong_together_are_no_more_certain_than_one():
    def draw(rng):
        right = rng.uniform(size=200) < 0.7
        some = rng.permutation(200)[:150]  # not all have both labels, and the order differs
        return [of_answers(right, range(200)), of_answers(right[some], some)]

    spread, estimate = spread_and_estimates(draw)
    assert estimate == pytest.approx(spread, rel=0.08)


def test_images_of_one_work_count_as_one():
    def draw(rng):
        sizes = rng.integers(1, 6, 120)
        ids = np.repeat(np.arange(120), sizes)
        return [of_answers((rng.uniform(size=120) < 0.6)[ids], ids)]

    spread, estimate = spread_and_estimates(draw)
    assert estimate == pytest.approx(spread, rel=0.08)


def test_two_of_two_right_answers_are_not_certain():
    assert standard_error([of_answers([1, 1])]) >= 0.25
    assert standard_error([of_answers([1] * 30, ["one"] * 30)]) >= 0.25


def test_an_output_that_is_not_finite_has_no_probability_and_no_loss():
    of_task = Predictions(np.zeros(2, int), np.log([[0.5, 0.5], [np.nan, np.nan]]))
    overall = over_tasks({"a": of_task})
    assert (overall.top1, overall.probability) == (0.5, 0.25)
    assert np.isnan(overall.loss)
