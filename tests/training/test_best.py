"""Which validation is the best: within one standard error the loss decides."""

import json

import numpy as np
import pytest

from artjax.training.best import BestSoFar, Validation, standard_error


def chosen(*validations, warmup_steps=0):
    best = BestSoFar(warmup_steps)
    flags = [best.consider(Validation(*row)) for row in validations]
    return best.best and best.best.step, flags


def test_within_one_standard_error_the_lower_loss_decides():
    assert chosen((1, 0.50, 1.2, 0.04), (2, 0.53, 1.3, 0.04))[0] == 1
    assert chosen((1, 0.50, 1.2, 0.04), (2, 0.53, 1.1, 0.04))[0] == 2
    assert chosen((1, 0.53, 1.2, 0.04), (2, 0.50, 1.1, 0.04))[0] == 2


def test_a_clearly_higher_top1_wins_whatever_its_loss():
    assert chosen((1, 0.50, 0.5, 0.04), (2, 0.60, 9.0, 0.04))[0] == 2


def test_falling_losses_never_lead_down_by_more_than_one_standard_error():
    rows = [(step, 0.9 - 0.03 * step, 2.0 - 0.1 * step, 0.04) for step in range(1, 9)]
    assert chosen(*rows)[0] == 2


def test_validations_during_the_warmup_do_not_count():
    untrained, trained = (3, 0.2, 0.1, 0.1), (6, 0.2, 1.5, 0.1)
    assert chosen(untrained, trained, warmup_steps=3) == (6, [False, True])
    assert chosen(untrained, warmup_steps=3) == (None, [False])


def test_equals_keep_the_first():
    assert chosen((1, 0.5, 1.0, 0.1), (2, 0.5, 1.0, 0.1)) == (1, [True, False])


def test_validations_after_the_best_one_are_counted():
    best, counted = BestSoFar(2), []
    for step, top1 in enumerate((0.1, 0.9, 0.5, 0.4, 0.7, 0.6, 0.6, 0.8), start=1):
        best.consider(Validation(step, top1, 1.0, 0.01))
        counted.append(best.since_best)
    assert counted == [0, 0, 0, 1, 0, 1, 2, 0]  # nothing counts during the warm-up


@pytest.mark.parametrize("seen", range(6))
def test_a_resumed_run_chooses_as_an_uninterrupted_one(seen):
    rng = np.random.default_rng(1)
    rows = [Validation(s, *rng.uniform(size=2).tolist(), 0.2) for s in range(6)]
    whole, first = BestSoFar(1), BestSoFar(1)
    flags = [whole.consider(row) for row in rows]
    for row in rows[:seen]:
        first.consider(row)
    again = BestSoFar.from_json(json.loads(json.dumps(first.to_json())))
    assert again == first
    assert [again.consider(row) for row in rows[seen:]] == flags[seen:]
    assert again == whole


def test_the_reason_names_what_decided():
    best = BestSoFar(0)
    assert best.reason() == "no validation after the warm-up"
    best.consider(Validation(1, 0.5, 1.0, 0.05))
    assert best.reason() == "top-1 50.0%, the highest, loss 1.000"
    best.consider(Validation(2, 0.48, 0.8, 0.05))
    assert "lowest loss of those within one standard error (5.0 points)" in best.reason()
    assert "of the highest top-1, 50.0%" in best.reason()


def test_standard_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)
    shares = rng.binomial(400, 0.7, 20_000) / 400
    assert standard_error({"a": (0.7, 400)}) == pytest.approx(shares.std(), rel=0.02)
    means = (shares + rng.binomial(100, 0.4, 20_000) / 100) / 2
    assert standard_error({"a": (0.7, 400), "b": (0.4, 100)}) == pytest.approx(
        means.std(), rel=0.02
    )


def test_two_of_two_right_answers_are_not_certain():
    assert standard_error({"a": (1.0, 2)}) > 0.25
