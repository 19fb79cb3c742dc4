"""What the facts of the files say of a run's splits: fitted once, and kept beside the canvases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.files import kept_in
from artjax.prepare import source_baseline
from artjax.prepare.source_baseline import Told, columns_of

_KEPT = "source_facts.json"


def kept_source_baseline(
    data: Canvases, splits: Mapping[str, Split], task: str
) -> dict[str, Any] | None:
    """What `source_baseline` gives, computed once and kept beside the canvases of all sizes.

    Returns:
      As `source_baseline`. None also where the facts of the works are not known, as of sets that artjax
      did not prepare and of pictures that it drew, and without scikit-learn.
    """
    facts = reports.read_source_facts(data.reports)
    if facts is None:
        return None
    known = {name: np.flatnonzero(split.labels[task] >= 0) for name, split in splits.items()}
    files = {name: splits[name].file_names[of].tolist() for name, of in known.items()}
    names = [name for of_split in files.values() for name in of_split]
    if not facts.keys() >= set(names):
        return None
    rows = [facts[name] for name in names]
    labels = np.concatenate([splits[name].labels[task][of] for name, of in known.items()])
    numbers = np.split(np.arange(len(names)), np.cumsum([len(of) for of in known.values()])[:-1])
    file = data.directory.parent / _KEPT
    key = f"{task} {_digest(files, rows, labels)}"
    of_splits = dict(zip(known, numbers, strict=True))

    def compute() -> dict[str, Any] | None:
        return source_baseline.source_baseline(columns_of(rows, names), of_splits, labels)

    try:
        result: dict[str, Any] | None = kept_in(file, key, compute)
    except ModuleNotFoundError:
        return None
    return result


def _digest(
    files: Mapping[str, Sequence[str]], rows: Sequence[reports.SourceFacts], labels: np.ndarray
) -> str:
    """Of everything that decides the numbers."""
    method = [source_baseline.MOST_TRAIN_WORKS, source_baseline.TREES, source_baseline.LEAST_LEAF]
    content = [method, sorted(files.items()), [list(row) for row in rows], labels.tolist()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def on_split(baseline: Mapping[str, Any], split: Split, task: str) -> Told:
    """What the facts tell on validation or test; `baseline` is as from `kept_source_baseline`."""
    known = split.labels[task] >= 0
    ids = split.work_ids[known].tolist() if len(split.work_ids) else []
    return source_baseline.told(baseline, split.name, split.labels[task][known], ids)


def in_row(baseline: Mapping[str, Any] | None, split: Split, task: str) -> dict[str, Any] | None:
    """What a task's row of `metrics.json` holds beside the top-1, as `source_facts`."""
    if baseline is None:
        return None
    told = on_split(baseline, split, task)
    return {"works": told.works, "alone": dict(told.alone)}


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`in_row` of all folds together: works in sum, and the top-1 of each fact weighted by images.

    A fact that is the same for all training works of a fold counts as a constant answer there.

    Args:
      rows: of the folds, of one task.
    """
    found = [row["source_facts"] for row in rows if row.get("source_facts")]
    if len(found) < len(rows):
        return None
    constants = [row["baselines"]["best_constant"] for row in rows]
    sizes = [row["n"] for row in rows]

    def mean(fact: str) -> float:
        values = [
            of["alone"].get(fact, constant) for of, constant in zip(found, constants, strict=True)
        ]
        return float(np.average(values, weights=sizes))

    facts = dict.fromkeys(fact for of in found for fact in of["alone"])
    return {"works": sum(of["works"] for of in found), "alone": {f: mean(f) for f in facts}}


def warning(task: str, split: str, row: Mapping[str, Any]) -> list[str]:
    """A line if the facts alone tell the task better than a constant answer does, else nothing.

    Args:
      task: its name.
      split: its name, or `folds`.
      row: of the task, as in `metrics.json`.
    """
    values, facts = row["baselines"], row.get("source_facts")
    if not facts:
        return []
    told = Told(
        "tested" if split == "folds" else split,
        facts["works"],
        values["source_facts"],
        values["best_constant"],
        facts["alone"],
    )
    said = told.warning(task)
    return [f"  warning: {said}; {source_baseline.SEE}"] if said else []
