"""The rows of the table of `--mode predict`: one for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artjax.evaluation.predict import Answer, Spread, ranked
from artjax.modes.predict.forms import Columns, Row
from artjax.modes.predict.request import Picture, harmless

_YES_NO = {True: "yes", False: "no", None: ""}
_OTHERS = ("file", "work_id", "title", "unlike_train", "unlikeness", "error")


@dataclass(frozen=True)
class Layout:
    """The columns, and how answers fill them.

    Attributes:
      classes: of each task, the names in the order of the probabilities.
      top: how many labels of each task have a column; fewer where it has fewer.
      catalogue: whether there are columns for what a catalogue says.
      spread: whether there are columns for how far several answers are from each other.
      neighbours: how many nearest works of train have columns.
    """

    classes: Mapping[str, Sequence[str]]
    top: int
    catalogue: bool = False
    spread: bool = False
    neighbours: int = 0

    @property
    def columns(self) -> Columns:
        """All columns, in order."""
        names = ["file", *(("work_id", "title") if self.catalogue else ())]
        numbers, yes_no = {"unlikeness"}, {"unlike_train"}
        for task in self.classes:
            unsure = f"{_prefix(task)}_unsure"
            spread = [f"{_prefix(task)}_{what}" for what in Spread._fields if self.spread]
            names += [*self.of_label(task, 1), unsure, *spread]
            numbers |= {self.of_label(task, 1)[1], *spread}
            yes_no.add(unsure)
        names += ["unlike_train", "unlikeness"]
        for task in self.classes:
            for rank in range(2, self.labels(task) + 1):
                names += self.of_label(task, rank)
                numbers.add(self.of_label(task, rank)[1])
        for rank in range(1, self.neighbours + 1):
            names += self._of_neighbour(rank)
            numbers.add(self._of_neighbour(rank)[-1])
        return Columns([*names, "error"], frozenset(numbers), frozenset(yes_no))

    def labels(self, task: str) -> int:
        """How many labels of a task have columns."""
        return min(self.top, len(self.classes[task]))

    def of_label(self, task: str, rank: int) -> tuple[str, str]:
        """The columns of a label of a task and of its probability, from rank 1."""
        name = _prefix(task) if rank == 1 else f"{_prefix(task)}_{rank}"
        return name, f"{name}_probability"

    def _of_neighbour(self, rank: int) -> list[str]:
        """The columns of a nearest work of train: its file, its labels, and its similarity."""
        name = f"near_{rank}"
        return [name, *(f"{name}_{task}" for task in self.classes), f"{name}_similarity"]

    def row(self, picture: Picture, answer: Answer) -> Row:
        """The cells of a picture; those that it leaves out are empty."""
        row = {"file": picture.name, "error": harmless(answer.reason)}
        if self.catalogue:
            row |= {"work_id": picture.work_id, "title": picture.title}
        for task, probabilities in answer.probabilities.items():
            row |= self._of_task(task, probabilities)
            row[f"{_prefix(task)}_unsure"] = _YES_NO[answer.unsure[task]]
            if self.spread:
                for what, value in answer.spread[task]._asdict().items():
                    row[f"{_prefix(task)}_{what}"] = f"{value:.6f}"
        if answer.unlikeness is not None:
            row["unlike_train"] = _YES_NO[answer.unlikeness > 1]
            row["unlikeness"] = f"{answer.unlikeness:.4f}"
        for rank, near in enumerate(answer.near, start=1):
            labels = [harmless(near.labels.get(task, "")) for task in self.classes]
            cells = [harmless(near.file_name), *labels, f"{near.similarity:.4f}"]
            row |= dict(zip(self._of_neighbour(rank), cells, strict=True))
        return row

    def _of_task(self, task: str, probabilities: np.ndarray) -> Row:
        row: Row = {}
        for rank, c in enumerate(ranked(probabilities)[: self.labels(task)], start=1):
            name, share = self.of_label(task, rank)
            row |= {name: harmless(self.classes[task][c]), share: f"{probabilities[c]:.6f}"}
        return row


def unsure_of(task: str, row: Row) -> str:
    """Whether the answer to a task is unsure: yes, no, or nothing."""
    return row.get(f"{_prefix(task)}_unsure", "")


def _prefix(task: str) -> str:
    """How the columns of a task begin."""
    return f"label_{task}" if task in _OTHERS else task
