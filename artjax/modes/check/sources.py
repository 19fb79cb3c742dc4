"""Whether what is no painting tells the labels: then a network may learn nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.evaluation.source_facts import kept_source_baseline, on_split
from artjax.modes.check.verdicts import OK, WARNING, Verdict
from artjax.prepare.source_baseline import SEE


def source(task: str, data: Canvases, splits: Mapping[str, Split]) -> Verdict | None:
    """Compares trees on the facts of the files with the best constant answer, on test.

    None where the facts are not known: the trees are no part of what a set-up needs.

    Args:
      task: its name.
      data: the collection.
      splits: its splits.
    """
    name = f"source of {task}"
    baseline = kept_source_baseline(data, splits, task)
    if baseline is None:
        return None
    found = on_split(baseline, splits["test"], task)
    numbers = {"top1": found.top1, "constant": found.constant, "alone": dict(found.alone)}
    if said := found.warning(task):
        return Verdict(name, WARNING, f"{said}; {SEE}", numbers)
    return Verdict(
        name,
        OK,
        f"what is no painting (size, sharpness, format …) names {found.top1:.1%} of {found.works} test "
        f"works, one answer for all {found.constant:.1%}",
        numbers,
    )
