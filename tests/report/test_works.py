"""Which works a report shows."""

import numpy as np

from artjax.evaluation.metrics import Predictions
from artjax.report.works import TaskWorks, bars_of, choose


def works(labels, probabilities):
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(probabilities))
    count = len(labels)
    names = [f"class {c}" for c in range(logs.shape[1])]
    files = np.asarray([f"{i}.jpg" for i in range(count)])
    return TaskWorks(
        names, Predictions(np.asarray(labels), logs), np.zeros(count, int), np.arange(count), files
    )


NAN = [np.nan] * 3
EXAMPLE = works(
    [0, 0, 1, 1, 2, 2, 0],
    [
        [0.9, 0.1, 0.0],  # right
        [0.2, 0.8, 0.0],  # wrong
        [0.0, 0.6, 0.4],  # right, not sure
        [0.05, 0.0, 0.95],  # wrong, surer
        [0.3, 0.3, 0.4],  # right, hardly sure
        NAN,
        [0.45, 0.55, 0.0],  # wrong, as work 1
    ],
)


def test_errors_are_surest_first_and_hits_least_sure_first():
    chosen = choose(EXAMPLE)
    assert chosen.errors == [3, 1, 6]
    assert chosen.unsure == [4, 2, 0]


def test_each_class_has_its_best_and_its_worst():
    chosen = choose(EXAMPLE)
    assert chosen.best == {0: 0, 1: 2, 2: 4}
    assert chosen.worst == {0: 1, 1: 3, 2: 5}
    alone = choose(works([0, 1], [[0.9, 0.1], [0.8, 0.2]]))
    assert (alone.best, alone.worst) == ({0: 0}, {1: 1})


def test_cells_have_every_wrong_answer_and_the_largest_is_first():
    chosen = choose(EXAMPLE)
    assert list(chosen.cells.items()) == [((0, 1), [1, 6]), ((1, 2), [3])]
    assert chosen.explained == [3, 1, 6, 4, 2, 0, 5]
    assert chosen.all == chosen.explained
    crowded = choose(works([0] * 40 + [1], [[0.2, 0.5, 0.3]] * 30 + [[0.2, 0.3, 0.5]] * 11))
    assert len(crowded.all) == 41
    assert crowded.all[len(crowded.explained) :][:2] == [30, 31]  # of the smaller cell, in turn


def test_bars_are_the_most_probable_classes_and_the_label():
    seven = works([6], [[0.3, 0.25, 0.2, 0.12, 0.1, 0.0296, 0.0004]])
    bars = bars_of(seven, 0)
    assert [bar.name for bar in bars] == [f"class {c}" for c in (0, 1, 2, 3, 4, 6)]
    assert [bar.kind for bar in bars] == ["named", *["other"] * 4, "label"]
    assert (bars[0].text, bars[-1].text) == ("30.0%", "<0.1%")
    assert bars_of(EXAMPLE, 5) == []
    assert [bar.kind for bar in bars_of(EXAMPLE, 0)] == ["label", "other", "other"]
