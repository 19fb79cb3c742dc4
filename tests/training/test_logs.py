"""Rows of metrics: what a window's mean counts."""

import json

import pytest

from artjax.training.logs import Window

STEP = {"gradient_norm": 1.0, "learning_rate": 0.1}


def two_tasks(artist, genre, genre_works):
    """A step whose works all have an artist, and of which `genre_works` have a genre."""
    return STEP | {
        "loss": artist + genre,
        "top1": (artist + genre) / 2,
        "artist/loss": artist,
        "artist/top1": artist,
        "genre/loss": genre,
        "genre/top1": genre,
        "weight/artist/loss": 4.0,
        "weight/artist/top1": 4.0,
        "weight/genre/loss": genre_works,
        "weight/genre/top1": genre_works,
    }


def test_a_batch_without_a_known_label_of_a_task_says_nothing_about_it():
    window = Window()
    window.add(1, two_tasks(0.5, 0.8, 4.0))
    window.add(2, two_tasks(0.7, 0.0, 0.0))
    means = window.means()
    assert means["genre/top1"] == means["genre/loss"] == 0.8
    assert means["artist/top1"] == pytest.approx(0.6)
    assert means["top1"] == pytest.approx(0.7)
    assert means["loss"] == pytest.approx(1.4)


def test_a_task_without_any_known_label_has_no_row():
    window = Window()
    window.add(1, two_tasks(0.5, 0.0, 0.0))
    means = window.means()
    assert "genre/top1" not in means
    assert means["top1"] == 0.5


def test_a_window_is_the_same_after_a_checkpoint():
    whole, first = Window(), Window()
    steps = [two_tasks(0.1 * s, 0.2 * s, float(s % 3)) for s in range(6)]
    for window in (whole, first):
        for s, metrics in enumerate(steps[:4]):
            window.add(s, metrics)
    again = Window(json.loads(json.dumps(first.to_json())))
    for window in (whole, again):
        for s, metrics in enumerate(steps[4:]):
            window.add(s, metrics)
    assert again.means() == whole.means()
