"""What a rebuild changed: works that are new, left or labelled anew, and what that means for runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from artjax.data.splits import named
from artjax.prepare.catalogue import Work
from artjax.prepare.previous import PreviousSet
from artjax.prepare.selection import Selection


def growth_lines(before: PreviousSet, selection: Selection) -> list[str]:
    """Lines for the user about what differs from the set that is replaced; none where there is none."""
    if not before.works:
        return []
    now = {
        work.file_name: (work, split)
        for split, works in selection.kept.items()
        for work, _ in works
    }
    both = before.works.keys() & now.keys()
    words = [
        f"{len(now) - len(both):,} new",
        _left(before.works.keys() - both, selection),
        *_relabelled({name: (before.works[name].labels, now[name][0]) for name in both}),
    ]
    moved = [name for name in both if before.works[name].split != now[name][1]]
    words.append(
        f"{len(moved):,} moved to another split (the first: {min(moved)})"
        if moved
        else "none moved to another split"
    )
    line = f"since the build before: {'; '.join(filter(None, words))}"
    return [line, *_class_lines(before, selection)]


def _left(gone: set[str], selection: Selection) -> str:
    if not gone:
        return "none left"
    skipped = {row.file_name for row in selection.skipped} & gone
    words = [f"{len(gone - skipped):,} no longer listed"] * bool(gone - skipped)
    words += [f"{len(skipped):,} skipped now"] * bool(skipped)
    return f"{len(gone):,} left ({', '.join(words)}; the first: {min(gone)})"


def _relabelled(both: Mapping[str, tuple[Mapping[str, str], Work]]) -> list[str]:
    changed = Counter(
        label
        for before, work in both.values()
        for label in before.keys() | work.labels.keys()
        if before.get(label) != work.labels.get(label)
    )
    return [f"{count:,} with another {label}" for label, count in sorted(changed.items())]


def _class_lines(before: PreviousSet, selection: Selection) -> list[str]:
    lines = []
    for label, names in selection.catalogue.class_names.items():
        known = before.class_names.get(label, ())
        new, gone = ([n for n in a if n not in b] for a, b in ((names, known), (known, names)))
        if not known or not (new or gone):
            continue
        words = [_classes(len(new), "new", new)] * bool(new)
        words += [_classes(len(gone), "fewer", gone)] * bool(gone)
        lines.append(
            f"{label} has {' and '.join(words)}; runs trained before know {len(known):,}: to go on from "
            "one, start a new run from its weights: --config.model.weights=WORKDIR"
        )
    return lines


def _classes(count: int, what: str, names: list[str]) -> str:
    return f"{count:,} {what} class{'es' * (count > 1)} ({named(names)})"
