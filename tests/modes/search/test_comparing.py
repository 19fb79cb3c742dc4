"""What a search says of its winner beside the other trials."""

import numpy as np
import pytest

from artjax.evaluation.metrics import Predictions
from artjax.modes.search import combining
from artjax.modes.search.comparing import compare
from artjax.modes.search.results import Result
from artjax.modes.search.space import Hyperparameters

WORKS = 64
_ANY = Hyperparameters(0.1, 0.0, 0.0, 0.0, ())


def predicted(wrong):
    """Predictions of 64 works, of which some are wrong; None = a network that has diverged."""
    if wrong is None:
        return {"artist": Predictions(np.zeros(WORKS, int), np.full((WORKS, 2), np.nan))}
    right = ~np.isin(np.arange(WORKS), list(wrong))
    shares = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    return {"artist": Predictions(np.zeros(WORKS, int), np.log(shares))}


def said(trials, best, kind="single", of_best=None):
    """The comparison of a choice with trials that are wrong on some works, by number."""
    of_trials = {number: predicted(wrong) for number, wrong in trials.items()}
    members = [Result(number, _ANY, 1, 0.5, 1.0, 0.1, True) for number in best]
    chosen = combining.scored(kind, members, of_best or of_trials[best[0]])
    return compare(chosen.row, chosen.predicted, of_trials)


def test_equal_finalists_are_no_reason_to_leave_the_own_settings():
    tie = said({number: range(number, number + 15) for number in range(13)}, [5])
    assert (tie.others, tie.worse, tie.better_than_own) == (12, (), False)
    everything, own = tie.in_words()
    assert everything == (
        "no setting is shown to be better than another: the best trial is not shown to be better than "
        "any of the 12 other trials that were trained to the end (paired on the 64 validation works, "
        "exact sign tests of all pairs, Holm, 5 %)"
    )
    assert (
        own
        == "the configuration's own settings (trial 0) have 76.6%, and are not shown to be worse"
    )
    assert tie.to_json()["in_words"] == [everything, own]


def test_those_that_are_worse_are_counted_and_the_own_settings_may_be_among_them():
    found = said({0: range(30), 3: range(2), 4: range(3), 7: range(40)}, [3])
    assert (found.worse, found.better_than_own) == ((0, 7), True)
    everything, own = found.in_words()
    assert everything.startswith(
        "the best trial is shown to be better than 2 of the 3 other trials that were trained to the "
        "end, and not than the other 1 ("
    )
    assert own.endswith("(trial 0) have 53.1%, and are shown to be worse")
    found = said({0: range(30), 3: range(2)}, [3])
    assert found.in_words()[0].startswith(
        "the best trial is shown to be better than the other trial that was trained to the end"
    )


def test_an_ensemble_is_compared_with_every_trial():
    found = said({0: range(9), 1: range(8)}, [1, 0], "ensemble", predicted(range(6)))
    assert (found.others, found.worse, found.own_is_chosen) == (2, (), False)
    assert "the ensemble is not shown to be better than any of the 2 other" in found.in_words()[0]


def test_other_pairs_may_differ_though_the_best_stands_out_from_none():
    # The fewest errors are those of trial 1, but trial 0 has its errors elsewhere.
    found = said({1: range(14), 0: range(20, 35), 2: range(20, 46)}, [1])
    assert (found.worse, found.any_better) == ((), True)
    assert found.in_words()[0].startswith(
        "the best trial is not shown to be better than any of the 2"
    )


@pytest.mark.parametrize(
    ("trials", "best", "words"),
    [
        ({0: range(9), 1: range(9)}, [0], "the best trial has the configuration's own settings"),
        ({1: range(9), 2: range(9)}, [1], "own settings (trial 0) have diverged"),
        ({0: None, 1: range(9)}, [1], "(trial 0) have 0.0%, and are shown to be worse"),
    ],
)
def test_what_is_said_of_the_own_settings(trials, best, words):
    assert words in said(trials, best).in_words()[1]


def test_one_trial_has_nothing_beside_it():
    assert said({0: range(3)}, [0]).in_words() == [
        "only one trial was trained to the end: there is nothing to compare it with",
        "the best trial has the configuration's own settings (trial 0)",
    ]
