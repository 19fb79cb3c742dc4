"""Facts of the files by class, for the page: does what is no painting tell the classes apart?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.data.reports import SourceFacts
from artjax.data.works import Split
from artjax.evaluation.source_facts import kept_source_baseline, on_split
from artjax.prepare import source_baseline

MOST_CLASSES = 12  # the largest, in the columns of the table


class Shown(NamedTuple):
    """A number of a work that the page shows: its name, the fact it is of, and how it is written."""

    name: str
    fact: str
    form: str
    column: int = 0


SHOWN = (
    Shown("shorter side, px", "shorter side", "{:.0f}"),
    Shown("longer side, px", "longer side", "{:.0f}"),
    Shown("width : height", "width : height", "{:.2f}"),
    Shown("bytes per pixel", "bytes per pixel", "{:.2f}"),
    Shown("JPEG tables, mean step of luminance", "JPEG tables", "{:.1f}"),
    Shown("JPEG tables, of chrominance", "JPEG tables", "{:.1f}", 1),
    Shown("sharpness", "sharpness", "{:.2f}"),
    Shown("sharpness at half size", "sharpness", "{:.2f}", 1),
    Shown("sharpness at a quarter", "sharpness", "{:.2f}", 2),
    Shown("border, share of the area", "border", "{:.1%}"),
)


def sources_of(
    data: Canvases, splits: Mapping[str, Split], task: str, names: Sequence[str]
) -> dict[str, Any] | None:
    """The facts of a task by class, and how far trees get by them.

    Args:
      data: the collection.
      splits: its splits.
      task: its name.
      names: of all classes, in the order of the labels.

    Returns:
      `test_top1`, `constant`, `warning` (a sentence, or empty), `classes`, and `facts`: of each its
      `name`; `alone`, its top-1 on test, None where it is the same for all; `tells`, whether that is
      shown to be above a constant answer; and `by_class`, for each of the classes its median or most
      frequent word. None where the facts are not known.
    """
    facts = reports.read_source_facts(data.reports)
    baseline = kept_source_baseline(data, splits, task)
    if baseline is None or facts is None:
        return None
    told = on_split(baseline, splits["test"], task)
    labels = np.concatenate([split.labels[task] for split in splits.values()])
    files = np.concatenate([split.file_names for split in splits.values()])[labels >= 0].tolist()
    labels = labels[labels >= 0]
    rows = [facts[name] for name in files]
    columns = source_baseline.columns_of(rows, files)
    largest = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[:MOST_CLASSES]
    of_class = [np.flatnonzero(labels == c) for c in largest]
    telling = told.facts_that_tell()

    def row(name: str, fact: str, values: list[str]) -> dict[str, Any]:
        alone = told.alone.get(fact)
        return {"name": name, "alone": alone, "tells": fact in telling, "by_class": values}

    shown = [
        row(
            of.name,
            of.fact,
            [_median(columns[of.fact][own, of.column], of.form) for own in of_class],
        )
        for of in SHOWN
    ]
    shown += [
        row(fact, fact, [_most_frequent([of_works[i] for i in own]) for own in of_class])
        for fact, of_works in _words_of(rows, files).items()
    ]
    return {
        "test_top1": told.top1,
        "constant": told.constant,
        "warning": told.warning(task),
        "classes": [names[c] for c in largest],
        "facts": sorted(shown, key=lambda of: (not of["tells"], -(of["alone"] or 0.0))),
    }


def _words_of(rows: Sequence[SourceFacts], file_names: Sequence[str]) -> dict[str, list[str]]:
    return {
        "format": [row.format for row in rows],
        "colour profile": ["yes" if row.profile else "no" for row in rows],
        "date in the file": [row.date[:4] or "none" for row in rows],
        "form of the name": [source_baseline.form_of(name) for name in file_names],
    }


def _median(values: np.ndarray, form: str) -> str:
    return form.format(float(np.median(values))) if len(values) else ""


def _most_frequent(words: Sequence[str]) -> str:
    """The most frequent word, with its share where it is not that of all."""
    if not words:
        return ""
    word, count = Counter(words).most_common(1)[0]
    return word if count == len(words) else f"{word} ({count / len(words):.0%})"
