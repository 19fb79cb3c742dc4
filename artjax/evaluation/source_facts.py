"""What the facts of the files say of a run's splits: fitted once, and kept beside the canvases."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.files import write_atomically
from artjax.prepare import source_baseline
from artjax.prepare.source_baseline import columns_of

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
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        kept = {}
    if key not in kept:
        try:
            kept[key] = source_baseline.source_baseline(
                columns_of(rows, names), dict(zip(known, numbers, strict=True)), labels
            )
        except ModuleNotFoundError:
            return None
        # Only a cache: where the folder cannot be written, the next run computes it again.
        with contextlib.suppress(OSError):
            write_atomically(file, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    result: dict[str, Any] | None = kept[key]
    return result


def _digest(
    files: Mapping[str, Sequence[str]], rows: Sequence[reports.SourceFacts], labels: np.ndarray
) -> str:
    """Of everything that decides the numbers."""
    method = [source_baseline.MOST_TRAIN_WORKS, source_baseline.TREES, source_baseline.LEAST_LEAF]
    content = [method, sorted(files.items()), [list(row) for row in rows], labels.tolist()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def of_split(baseline: Mapping[str, Any] | None, name: str, works: int) -> dict[str, Any] | None:
    """What a row of `metrics.json` holds beside the top-1: works, and top-1 of each fact alone."""
    return None if baseline is None else {"works": works, "alone": baseline[f"{name}_alone"]}


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`of_split` of all folds together: each fact's top-1 weighted by works.

    A fact that is the same for all training works of a fold counts as a constant answer there.

    Args:
      rows: of the folds, of one task.
    """
    found = [row.get("source_facts") for row in rows]
    if not all(found):
        return None
    constants = [row["baselines"]["best_constant"] for row in rows]
    sizes = [row["n"] for row in rows]
    facts = dict.fromkeys(fact for of in found if of for fact in of["alone"])
    return {
        "works": sum(of["works"] for of in found if of),
        "alone": {
            fact: float(
                np.average(
                    [
                        of["alone"].get(fact, constant)
                        for of, constant in zip(found, constants, strict=True)
                        if of
                    ],
                    weights=sizes,
                )
            )
            for fact in facts
        },
    }


def warning(task: str, split: str, row: Mapping[str, Any]) -> list[str]:
    """A line if the facts alone tell the task better than a constant answer does, else nothing.

    Args:
      task: its name.
      split: its name.
      row: of the task, as in `metrics.json`.
    """
    top1, facts = row["baselines"].get("source_facts"), row.get("source_facts")
    if top1 is None or facts is None:
        return []
    constant = row["baselines"]["best_constant"]
    words = "tested" if split == "folds" else split
    return source_baseline.warning(task, words, facts["works"], top1, facts["alone"], constant)
