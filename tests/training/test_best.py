"""Which validation is the best: that with the highest probability of the true class."""

import json
import math
import re

import numpy as np
import pytest

from artjax.training.best import BestSoFar, Validation


def chosen(*validations, warmup_steps=0):
    best = BestSoFar(warmup_steps)
    flags = [best.consider(Validation(*row)) for row in validations]
    return best.best and best.best.step, flags


def test_the_highest_probability_wins_whatever_top1_and_loss_are():
    assert chosen((1, 0.9, 0.50, 0.1), (2, 0.5, 0.51, 9.0), (3, 0.9, 0.49, 0.1))[0] == 2
    assert chosen((1, 0.5, 0.50, 1.0), (2, 0.5, 0.51, math.nan))[0] == 2


def test_equals_keep_the_first():
    assert chosen((1, 0.5, 0.5, 1.0), (2, 0.6, 0.5, 0.9)) == (1, [True, False])


def test_validations_during_the_warmup_do_not_count():
    untrained, trained = (3, 0.3, 0.3, 0.1), (6, 0.2, 0.2, 1.5)
    assert chosen(untrained, trained, warmup_steps=3) == (6, [False, True])
    assert chosen(untrained, warmup_steps=3) == (None, [False])


CURVES = {
    "top-1 and loss rise together": lambda rng, n: (
        np.linspace(0.3, 0.8, n) + rng.normal(0, 0.05, n),
        np.linspace(1, 3, n) + rng.normal(0, 0.1, n),
    ),
    "the loss falls while top-1 falls": lambda rng, n: (
        np.linspace(0.8, 0.3, n) + rng.normal(0, 0.05, n),
        np.linspace(3, 1, n),
    ),
    "a plateau with few different values": lambda rng, n: (
        rng.integers(3, 5, n) / 8,
        rng.integers(1, 4, n) / 4,
    ),
    "always the same": lambda rng, n: (np.full(n, 0.5), np.full(n, 1.0)),
    "losses that are not numbers": lambda rng, n: (
        rng.integers(0, 3, n) / 4,
        np.where(rng.uniform(size=n) < 0.5, np.nan, rng.uniform(size=n)),
    ),
}


def of_curve(kind, rng):
    """The validations of a random curve, of which the first may be in the warm-up, and its length."""
    count = int(rng.integers(1, 30))
    top1, loss = CURVES[kind](rng, count)
    top1 = np.clip(np.round(top1 * 40) / 40, 0, 1)  # those of 40 works
    probability = top1 if rng.uniform() < 0.5 else np.round(rng.uniform(size=count), 2)
    columns = (top1, probability, loss)
    rows = zip(range(1, count + 1), *(column.tolist() for column in columns), strict=True)
    return [Validation(*row) for row in rows], int(rng.integers(0, 4))


CLAIM = re.compile(
    r"top-1 (?P<top1>[\d.]+)%; probability of the true class (?P<probability>[\d.]+)%, "
    r"(?:the only validation|the highest of (?P<count>\d+) validations)(?P<warmup> after the warm-up)?"
)


def check_claim(best, history):
    """Compares what is printed with all validations so far that count."""
    counted = [row for row in history if row.step > best.warmup_steps]
    if not counted:
        assert best.reason() == "no validation after the warm-up"
        return
    claim = CLAIM.fullmatch(best.reason())
    first = max(counted, key=lambda row: row.probability)
    assert best.best.step == first.step
    assert claim["probability"] == f"{100 * first.probability:.1f}"
    assert claim["top1"] == f"{100 * first.top1:.1f}"
    assert int(claim["count"] or 1) == len(counted)
    assert bool(claim["warmup"]) == (best.warmup_steps > 0)


@pytest.mark.parametrize("kind", CURVES)
def test_what_is_printed_is_true_of_the_whole_history_after_every_validation(kind):
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows, warmup_steps = of_curve(kind, rng)
        best = BestSoFar(warmup_steps)
        kept = None  # the step on the disk: only what is chosen at its own validation can be
        for i, row in enumerate(rows):
            if best.consider(row):
                kept = row.step
            assert kept == (best.best and best.best.step)
            check_claim(best, rows[: i + 1])


@pytest.mark.parametrize("kind", CURVES)
def test_a_resumed_run_chooses_as_an_uninterrupted_one(kind):
    rng = np.random.default_rng(1)
    for _ in range(20):
        rows, warmup_steps = of_curve(kind, rng)
        whole, again = BestSoFar(warmup_steps), BestSoFar(warmup_steps)
        for row in rows:
            flag = whole.consider(row)
            assert again.consider(row) == flag
            again = BestSoFar.from_json(json.loads(json.dumps(again.to_json())))
            assert repr(again) == repr(whole)  # nan is not equal to itself


def patience_used(*scores, warmup_steps=0):
    best, counted = BestSoFar(warmup_steps), []
    for step, (top1, loss) in enumerate(scores, start=1):
        best.consider(Validation(step, top1, top1, loss))
        counted.append(best.since_better)
    return counted


def test_validations_with_neither_a_better_checkpoint_nor_a_lower_loss_are_counted():
    constant = [(top1, 1.0) for top1 in (0.1, 0.9, 0.5, 0.4, 0.7, 0.6, 0.6, 0.8)]
    assert patience_used(*constant, warmup_steps=2) == [0, 0, 0, 1, 0, 1, 2, 0]
    falling = [(0.6, 1.0), (0.5, 0.9), (0.5, 0.95), (0.5, 0.9), (0.5, 0.8), (0.7, 0.9)]
    assert patience_used(*falling) == [0, 0, 1, 2, 0, 0]  # the last one is the best checkpoint
    rising = [(0.5, 1.0), (0.6, 2.0), (0.6, 3.0), (0.6, math.nan), (0.7, math.nan)]
    assert patience_used(*rising) == [0, 0, 1, 2, 0]
