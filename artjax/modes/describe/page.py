"""The page of `--mode describe`: what was counted and drawn, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from artjax import pages
from artjax.data.reports import NearDuplicateRow
from artjax.data.splits import SPLITS
from artjax.data.works import Split
from artjax.modes.describe.seen import SeenWork, augmentations_in_words
from artjax.pages.pictures import Picture

MOST_NEAR_DUPLICATES = 100
_MOST_REASONS = 30

# Name, link or "", lengths by colour, number, and a note; see `bars` in pages/parts.html.
Bar = tuple[str, str, list[tuple[str, int]], int, str]


def render(
    summary: Mapping[str, Any],
    sheets: Mapping[str, Mapping[str, Sequence[str]]],
    near_duplicates: Sequence[NearDuplicateRow],
    splits: Mapping[str, Split],
    pictures: Mapping[str, Picture],
    class_names: Mapping[str, Sequence[str]],
    config: ConfigDict,
    seen: Sequence[SeenWork],
) -> str:
    """The page `index.html`. It needs no server and no network, only the folder in which it lies.

    Args:
      summary: what `summary.json` holds.
      sheets: for each task and class, the file names of its contact sheet.
      near_duplicates: all pairs, in the order in which they are shown.
      splits: all splits.
      pictures: the small copies, by file name.
      class_names: of each task, in the order of the labels.
      config: the configuration.
      seen: the works as the network sees them.
    """
    shown = near_duplicates[:MOST_NEAR_DUPLICATES]
    named = {name for row in shown for name in (row.file_name, row.near_duplicate)}
    named |= {name for work in seen for name in (work.file_name, work.partner)}
    return pages.render(
        "modes/describe/page.html",
        summary=summary,
        class_bars={
            task: _class_bars(number, row["classes"])
            for number, (task, row) in enumerate(summary["tasks"].items(), start=1)
        },
        aspect_bars=_plain_bars(summary["aspects"]),
        short_side_bars=_plain_bars(summary["short_sides_px"]),
        source_tables={
            task: _source_table(row["source_facts"])
            for task, row in summary["tasks"].items()
            if row["source_facts"]
        },
        skipped=[
            (row["reason"], row["works"], ", ".join(row["examples"]))
            for row in summary["skipped"]["reasons"][:_MOST_REASONS]
        ],
        doubles=[
            (row["label"], row["name"], row["works"], row["use"], row["why"])
            for row in summary["likely_doubles"]
        ],
        sheets=sheets,
        near_duplicates=shown,
        labels=_labels(named, splits, class_names),
        pictures=pictures,
        splits=SPLITS,
        split_keys=[(name, name) for name in SPLITS],
        config=config,
        seen=seen,
        augmentations=augmentations_in_words(config.augment),
    )


def _class_bars(task_number: int, classes: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """A bar for each class, divided by split; its name leads to its contact sheet."""
    return [
        (
            of["name"],
            f"#sheet-{task_number}-{number}",
            [(name, of[name]) for name in SPLITS],
            of["train"],
            f"+ {of['validation']:,} + {of['test']:,}",
        )
        for number, of in enumerate(classes, start=1)
    ]


def _source_table(source: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    """The columns and rows of `parts.table`: a row for each fact, a column for each class."""
    columns = [("Fact", "text"), ("Alone, on test", "percent"), ("Tells", "%s")]
    columns += [(name, "%s") for name in source["classes"]]
    rows = [
        [of["name"], of["alone"], "yes" if of["tells"] else "", *of["by_class"]]
        for of in source["facts"]
    ]
    return columns, rows


def _plain_bars(rows: Sequence[tuple[str, int]]) -> list[Bar]:
    """A bar for each name and number, with its share of all."""
    total = max(1, sum(number for _, number in rows))
    return [
        (name, "", [("train", number)], number, f"{number / total:.1%}") for name, number in rows
    ]


def _labels(
    named: set[str], splits: Mapping[str, Split], class_names: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The labels of the works with these file names, in words."""
    return {
        str(name): ", ".join(
            names[split.labels[task][i]] if split.labels[task][i] >= 0 else "unknown"
            for task, names in class_names.items()
        )
        for split in splits.values()
        for i, name in enumerate(split.file_names)
        if name in named
    }
