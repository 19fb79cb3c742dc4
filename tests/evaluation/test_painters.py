"""Which label says who made a work, and what is said where train has the same painters."""

from types import SimpleNamespace

import pytest

from artjax.evaluation import painters


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        (("style", "creator", "painter"), "painter"),
        (("author", "artist"), "artist"),
        (("style",), ""),
    ],
)
def test_the_label_that_says_who_made_a_work(labels, label):
    assert painters.label_of(SimpleNamespace(labels=dict.fromkeys(labels, ("a", "b")))) == label


def row(in_train, official=None):
    artists = {"label": "painter", "in_train": in_train, "unknown": 1}
    return {"n": 10, "official_n": official, "artists": artists}


def test_a_line_says_what_a_task_may_be_told_by_and_what_to_do():
    said = "  of these 10, 7 are by a painter of train, which may be what tells the style"
    advice = "; --config.split_by=painter keeps each in one split"
    assert painters.advice("style", row(7)) == [said + advice]
    assert painters.advice("style", row(7, official=12)) == [said]
    assert painters.advice("style", row(0)) == []
    assert painters.advice("style", {"n": 10, "official_n": None}) == []


def test_folds_are_pooled_where_all_say_it():
    assert painters.pooled([row(3), row(4)])["artists"] == {
        "label": "painter",
        "in_train": 7,
        "unknown": 2,
    }
    assert painters.pooled([row(3), {"n": 10}]) == {}
