"""Second scores: top-1 without the works of which the network may know more than it should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions

LEFT_OUT: Mapping[str, str] = {
    "without_near_duplicates": "have a near-duplicate in train",
    "unseen_by_weights": "the weights have learnt from",
}
"""By the name of a second score, which works it leaves out: "the 3 that …"."""


def second_scores(
    of_task: Predictions, left_out: Mapping[str, np.ndarray | None]
) -> dict[str, Any]:
    """What `metrics.json` has of them: `n_<name>`, the number of works left, and `top1_<name>`.

    Args:
      of_task: predictions of N works.
      left_out: by name, of `LEFT_OUT`, whether each work is left out, bool [N]; None where this cannot
        be known. A score that is not asked for is not in it.

    Returns:
      Both are None where it is not known; the top-1, in [0, 1], also where no work is left.
    """
    row: dict[str, Any] = {}
    for name, out in left_out.items():
        left = None if out is None else np.flatnonzero(~out).tolist()
        row[f"n_{name}"] = None if left is None else len(left)
        row[f"top1_{name}"] = metrics.top1(of_task.only(left)) if left else None
    return row


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The second scores of several parts together, from what `metrics.json` has of each.

    A score that a part lacks is left out. One that is not known of a part is not known of all.
    """
    result: dict[str, Any] = {}
    for name in LEFT_OUT:
        if not all(f"n_{name}" in row for row in rows):
            continue
        counts = [row[f"n_{name}"] for row in rows]
        left = None if None in counts else sum(counts)
        parts = zip(counts, rows, strict=True)
        right = sum(n * row[f"top1_{name}"] for n, row in parts if n) if left else 0.0
        result |= {f"n_{name}": left, f"top1_{name}": right / left if left else None}
    return result


def in_words(row: Mapping[str, Any]) -> str:
    """The second scores of a task as they follow its score in a report; empty if there is none."""
    said = ""
    for name, words in LEFT_OUT.items():
        left, top1 = row.get(f"n_{name}", row["n"]), row.get(f"top1_{name}")
        if left is None:
            said += f"; it cannot be known which of them {words}"
        elif left < row["n"]:
            score = "of nothing" if top1 is None else f"{top1:.1%}"
            said += f"; without the {row['n'] - left:,} that {words}, top-1 {score}"
    return said
