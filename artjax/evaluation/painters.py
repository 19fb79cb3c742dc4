"""Whether painters of the works to test are in train: then a style may be told by its painters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from artjax.data.canvases import Canvases
from artjax.data.prepared import Prepared
from artjax.data.works import Split
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.second_scores import second_scores

LABELS = ("artist", "painter", "author", "creator")
"""What the label may be called that says who made a work; the first that a set has is taken."""


def label_of(prepared: Prepared) -> str:
    """The label that says who made a work; empty if a set has none."""
    return next((label for label in LABELS if label in prepared.labels), "")


@dataclass(frozen=True)
class Painters:
    """Who made the works of a split.

    Attributes:
      label: the name of the label that says so.
      numbers: of each work its class, int [N]; -1 = unknown.
      in_train: whether train has a work of the same one, bool [N].
    """

    label: str
    numbers: np.ndarray
    in_train: np.ndarray

    def is_task(self, labels: np.ndarray) -> bool:
        """Whether labels, int [N], are these numbers: then the painter is what is to be told."""
        return np.array_equal(labels, self.numbers)

    def score(self, of_task: Predictions, known: np.ndarray) -> dict[str, Any]:
        """What `metrics.json` has of a task: the score on works of painters that train does not have.

        A work whose painter is unknown is left out as well, since train may have him.

        Args:
          of_task: predictions of M works.
          known: which of the works of the split these are, int [M].
        """
        in_train, unknown = self.in_train[known], self.numbers[known] < 0
        return second_scores(of_task, {"unseen_artists": in_train | unknown}) | {
            "artists": {
                "label": self.label,
                "in_train": int(in_train.sum()),
                "unknown": int(unknown.sum()),
            }
        }


def painters_of(data: Canvases, split: Split, train: Split) -> Painters | None:
    """Who made the works of a split, and whether train has them; None if the set does not say."""
    label = label_of(data.prepared)
    if not label:
        return None
    numbers, of_train = (data.values(of, f"label/{label}") for of in (split, train))
    return Painters(label, numbers, np.isin(numbers, of_train[of_train >= 0]))


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`artists` of several parts together; nothing where a part has none."""
    parts = [row["artists"] for row in rows if "artists" in row]
    if len(parts) < len(rows) or not parts:
        return {}
    counts = {key: sum(part[key] for part in parts) for key in ("in_train", "unknown")}
    return {"artists": {"label": parts[0]["label"], **counts}}


def advice(task: str, row: Mapping[str, Any]) -> list[str]:
    """A line where a task may be told by painters that train has, and what to do; see `in_words`."""
    artists = row.get("artists")
    if not artists or not artists["in_train"]:
        return []
    said = in_words(artists["label"], artists["in_train"], task, official=bool(row["official_n"]))
    return [f"  of these {row['n']:,}, {said}"]


def in_words(label: str, works: int, task: str, official: bool) -> str:
    """That so many works are by painters of train, and what to do.

    Args:
      label: the one that says who made a work.
      works: how many are by painters of train.
      task: what is to be told.
      official: whether an official list decides what is tested.
    """
    article = "an" if label[0] in "aeiou" else "a"
    apart = "" if official else f"; --config.split_by={label} keeps each in one split"
    return f"{works:,} are by {article} {label} of train, which may be what tells the {task}{apart}"
