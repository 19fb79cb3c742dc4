"""What `--mode predict` shows of its rows: all of a few pictures, of many a summary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from artjax.data.splits import named
from artjax.modes.predict.forms import Row
from artjax.modes.predict.request import Request
from artjax.modes.predict.rows import Layout, unsure_of
from artjax.modes.predict.table import FEW
from artjax.prepare.readers.filename_repair import readable_name

_SHOWN = 5  # files that are named, of many that are not usable


class Summary:
    """Counts rows, and remembers what is shown of them.

    Attributes:
      usable: number of pictures that were predicted.
      unusable: number of those that could not be.
      named_unusable: whether one of those was typed by the user.
      first_unusable: (path, reason) of some of them.
    """

    def __init__(self, layout: Layout, request: Request) -> None:
        self.usable = self.unusable = 0
        self.named_unusable = False
        self.first_unusable: list[tuple[str, str]] = []
        self._layout = layout
        self._request = request
        self._rows: list[Row] = []
        self._labels: dict[str, Counter[str]] = {task: Counter() for task in layout.classes}
        self._doubts: dict[str, Counter[str]] = {"unsure": Counter(), "unlike_train": Counter()}

    @property
    def few(self) -> bool:
        """Whether everything is shown."""
        return len(self._request.pictures) <= FEW

    def add(self, row: Row) -> None:
        """Takes a row of a picture that is asked for."""
        picture = self._request.pictures[row["file"]]
        if row["error"]:
            self.unusable += 1
            self.named_unusable |= picture.named
            if self.few or len(self.first_unusable) < _SHOWN:
                self.first_unusable.append((shown_path(picture.file), row["error"]))
            return
        self.usable += 1
        if self.few:
            self._rows.append(row)
        for task, labels in self._labels.items():
            labels[row[self._layout.of_label(task, 1)[0]]] += 1
            self._doubts["unsure"][unsure_of(task, row)] += 1
        self._doubts["unlike_train"][row.get("unlike_train", "")] += 1

    def answers(self) -> list[str]:
        """The labels of each picture where there are few, else how often each label was named."""
        if self.few:
            return [line for row in self._rows for line in self._of_picture(row)]
        return [
            f"{task}: {named([f'{label} {n:,}' for label, n in labels.most_common()])}"
            for task, labels in self._labels.items()
            if labels
        ]

    def doubts(self) -> list[str]:
        """How many answers are unsure, and how many pictures foreign, if there are several pictures."""
        if self.usable < 2:
            return []
        said = []
        for name, what, words in (
            ("unsure", "answers", "are unsure"),
            ("unlike_train", "pictures", "are unlike anything in train"),
        ):
            counts = self._doubts[name]
            if counts[""] == 0:
                said.append(f"{counts['yes']:,} of {counts.total():,} {what} {words}")
        return ["; ".join(said)] if said else []

    def problems(self) -> list[str]:
        """The files that are not usable: all of them where there are few, else the first."""
        lines = [f"{path}: not a usable image: {reason}" for path, reason in self.first_unusable]
        if more := self.unusable - len(lines):
            lines.append(f"{more:,} more are not usable: the column 'error' says why")
        return lines

    def _of_picture(self, row: Row) -> list[str]:
        path = shown_path(self._request.pictures[row["file"]].file)
        lines = []
        for task in self._layout.classes:
            lines.append(f"{path}: {task}{_doubts(task, row)}")
            for rank in range(1, self._layout.labels(task) + 1):
                label, share = self._layout.of_label(task, rank)
                lines.append(f"  {float(row[share]):6.1%}  {row[label]}")
        return lines


def shown_path(path: Path) -> str:
    """A path as text that every screen takes."""
    return readable_name(str(path))


def _doubts(task: str, row: Row) -> str:
    """What is to be said against an answer, as it follows the name of its task."""
    said = [
        words
        for words, holds in (
            ("unsure", unsure_of(task, row)),
            ("unlike anything in train", row.get("unlike_train")),
        )
        if holds == "yes"
    ]
    return f" ({', '.join(said)})" if said else ""
