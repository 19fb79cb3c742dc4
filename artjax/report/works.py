"""The works that were evaluated, and which of them the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from artjax.data.works import Split
from artjax.evaluation import metrics, selective
from artjax.evaluation.evaluate import Evaluated

MOST_ERRORS, MOST_UNSURE = 12, 12
"""Works of a task in the two lists of the page."""

_BARS = 5
_LEAST = 0.001  # of probabilities in words


class TaskWorks(NamedTuple):
    """What networks said of the works of a task: those of one split, or of all folds.

    Attributes:
      names: of the classes, in the order of the log-probabilities.
      predictions: of N works.
      part: from which of the parts each work is, int [N].
      place: its index in the split of that part, int [N].
      file_names: str [N].
    """

    names: Sequence[str]
    predictions: metrics.Predictions
    part: np.ndarray
    place: np.ndarray
    file_names: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether each work is named rightly, bool [N]."""
        right: np.ndarray = self.predictions.predicted == self.predictions.labels
        return right

    @property
    def probability(self) -> np.ndarray:
        """Of the class that each work is named, float64 [N]; 0 where there is no finite output."""
        return selective.most_probable(self.predictions.log_probabilities)

    def of_splits(self, splits: Sequence[Split], name: str) -> np.ndarray:
        """A field of the splits of all parts for each work, such as `aspect`, [N]."""
        result = np.empty(len(self.place), getattr(splits[0], name).dtype)
        for number, split in enumerate(splits):
            of_part = self.part == number
            result[of_part] = getattr(split, name)[self.place[of_part]]
        return result


def works_of(parts: Sequence[Evaluated]) -> dict[str, TaskWorks]:
    """The works of all parts together, by task; without tasks of which no work has a label."""
    found = {}
    for task, names in parts[0].classes.items():
        known = [part.predictions[task][0] for part in parts]
        if not sum(map(len, known)):
            continue
        found[task] = TaskWorks(
            names,
            metrics.joined([part.predictions[task][1] for part in parts]),
            np.repeat(np.arange(len(parts)), [len(of) for of in known]),
            np.concatenate(known),
            np.concatenate(
                [part.split.file_names[of] for part, of in zip(parts, known, strict=True)]
            ),
        )
    return found


class Chosen(NamedTuple):
    """The works of a task that are shown, by their numbers.

    Attributes:
      errors: the surest of the wrong answers, the surest first.
      unsure: the right answers that are least sure, the least sure first.
      best: of each class that has one, the right answer that is surest.
      worst: of each class that has one, the work whose class is least probable to the network.
      cells: for each label and each other class that a work of it was named: these works, the surest
        first. The cells with most works are first.
    """

    errors: list[int]
    unsure: list[int]
    best: Mapping[int, int]
    worst: Mapping[int, int]
    cells: Mapping[tuple[int, int], list[int]]

    @property
    def explained(self) -> list[int]:
        """The works that are shown with bars and heat maps, the most telling first."""
        per_class = [*self.worst.values(), *self.best.values()]
        return list(dict.fromkeys([*self.errors, *self.unsure, *per_class]))

    @property
    def all(self) -> list[int]:
        """All works that are shown, the most telling first, then one of each cell, a second of each …"""
        in_turn = [i for of_rank in zip_longest(*self.cells.values()) for i in of_rank]
        return list(dict.fromkeys([*self.explained, *(i for i in in_turn if i is not None)]))


def choose(works: TaskWorks) -> Chosen:
    """Chooses the works of a task that the report shows."""
    labels, predicted = works.predictions.labels, works.predictions.predicted
    finite, right, sure = works.predictions.finite, works.right, works.probability
    own = np.where(
        finite, works.predictions.log_probabilities[np.arange(len(labels)), labels], -np.inf
    )
    surest_first = np.argsort(-sure, kind="stable")
    wrong = [int(i) for i in surest_first if finite[i] and not right[i]]
    hits = [int(i) for i in surest_first if right[i]]
    best: dict[int, int] = {}
    for i in hits:
        best.setdefault(int(labels[i]), i)
    worst: dict[int, int] = {}
    for i in np.argsort(own, kind="stable").tolist():
        worst.setdefault(int(labels[i]), i)
    cells: dict[tuple[int, int], list[int]] = {}
    for i in wrong:
        cells.setdefault((int(labels[i]), int(predicted[i])), []).append(i)
    most_first = sorted(cells.items(), key=lambda cell: (-len(cell[1]), cell[0]))
    return Chosen(
        wrong[:MOST_ERRORS],
        hits[::-1][:MOST_UNSURE],
        dict(sorted(best.items())),
        # The only work of a class is not its worst where it is its best.
        {c: i for c, i in sorted(worst.items()) if best.get(c) != i},
        dict(most_first),
    )


class Bar(NamedTuple):
    """A class and its probability, in [0, 1]; `kind` is `label`, `named` (wrongly) or `other`."""

    name: str
    probability: float
    kind: str

    @property
    def text(self) -> str:
        """The probability; what is neither 0 nor 1 is not shown as either."""
        if 0 < self.probability < _LEAST:
            return f"<{_LEAST:.1%}"
        return (
            f">{1 - _LEAST:.1%}" if 1 - _LEAST < self.probability < 1 else f"{self.probability:.1%}"
        )


def bars_of(works: TaskWorks, i: int) -> list[Bar]:
    """The five most probable classes of a work, and its label if it is none of them."""
    logs, label = works.predictions.log_probabilities[i], int(works.predictions.labels[i])
    if not works.predictions.finite[i]:
        return []
    top = np.argsort(-logs, kind="stable")[:_BARS].tolist()
    shown = top if label in top else [*top, label]
    kinds = {top[0]: "named", label: "label"}
    return [Bar(works.names[c], float(np.exp(logs[c])), kinds.get(c, "other")) for c in shown]
