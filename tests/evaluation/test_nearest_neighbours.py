"""Nearest neighbours in the features of a run, beside scikit-learn's, and by hand."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from artjax.evaluation.embeddings import unit
from artjax.evaluation.nearest_neighbours import COUNTS, TEMPERATURE, Works, right_works, voted


def at(*degrees):
    """Embeddings at these angles."""
    angles = np.deg2rad(np.asarray(degrees, float))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_votes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    train = Works(unit(rng.normal(1, 1, (80, 6))), rng.integers(0, 4, 80))
    queries = unit(rng.normal(1, 1, (50, 6)))
    found = voted(queries, train, 4)
    for answers, count in zip(found, COUNTS, strict=True):
        oracle = KNeighborsClassifier(
            count, metric="cosine", weights=lambda far: np.exp((1 - far) / TEMPERATURE)
        ).fit(train.embeddings, train.labels)
        np.testing.assert_array_equal(answers, oracle.predict(queries))
    assert len({answers.tobytes() for answers in found}) == len(COUNTS)


def test_a_near_work_outvotes_several_that_are_farther():
    train = Works(at(0, 50, 52, -50, -52), np.asarray([1, 0, 0, 0, 0]))
    assert voted(at(1), train, 2)[:, 0].tolist() == [1, 1, 1, 1]
    # Where all are as near, the most win.
    train = Works(at(10, 12, 13, 14, 15), np.asarray([1, 0, 0, 0, 0]))
    assert voted(at(9), train, 2)[:, 0].tolist() == [1, 0, 0, 0]


def test_validation_chooses_how_many_neighbours_and_not_what_is_asked():
    # The work nearest to 9 degrees is of class 1, those around it of class 0.
    train = Works(at(10, 12, 13, 14, 15), np.asarray([1, 0, 0, 0, 0]))
    nearest_is_right, most_are_right = (Works(at(9), np.asarray([label])) for label in (1, 0))
    right, count = right_works(train, nearest_is_right, most_are_right, 2)
    assert (right.tolist(), count) == ([False], 1)
    right, count = right_works(train, most_are_right, nearest_is_right, 2)
    assert (right.tolist(), count) == ([False], 5)
    assert right_works(train, most_are_right, most_are_right, 2)[0].tolist() == [True]


def test_works_without_a_label_neither_vote_nor_count():
    train = Works(at(0, 10, 90), np.asarray([-1, 1, 0]))
    asked = Works(at(0, 89, 1), np.asarray([1, -1, 1]))
    right, count = right_works(train, Works(at(1, 88), np.asarray([1, -1])), asked, 2)
    assert (right.tolist(), count) == ([True, True], 1)
    none = Works(at(0), np.asarray([-1]))
    assert right_works(train, none, asked, 2) is None
    assert right_works(none, asked, asked, 2) is None


@pytest.mark.parametrize("works", [0, 3])
def test_few_works_are_enough(works):
    train = Works(at(0, 90), np.asarray([0, 1]))
    asked = Works(at(*range(works)).reshape(works, 2), np.zeros(works, int))
    right, _ = right_works(train, Works(at(80), np.asarray([1])), asked, 2)
    assert right.tolist() == [True] * works
