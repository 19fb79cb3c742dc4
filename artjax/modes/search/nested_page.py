"""A search within each fold as a person reads it: lines for the console, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artjax import pages
from artjax.modes.search import page
from artjax.modes.search.space import Space

if TYPE_CHECKING:
    from ml_collections import ConfigDict

WHAT_IT_IS = (
    "this is the score of searching and training together: each work was tested by what was chosen "
    "without it. No single network has it; for one to use, search without folds"
)


def lines(summary: Mapping[str, Any], space: Space) -> list[str]:
    """What each fold chose, and whether they agree; `space` is that of the search."""
    found = []
    for row in summary["by_fold"]:
        chosen = row["chosen"]
        tested = ", ".join(
            f"{task} {of_task['top1']:.1%} of its {of_task['n']:,} test works"
            for task, of_task in row["test"].items()
        )
        found.append(
            f"fold {row['fold']}: {page.kind_of(chosen)}, trial {row['trial']} the best: "
            f"{page.fields_in_words(row['hyperparameters'], space)}; "
            f"top-1 {chosen['top1']:.1%} of the {row['validation_works']:,} validation works by which "
            f"it was chosen; {tested}"
        )
    return [*found, *agreement(summary["by_fold"], space)]


def agreement(rows: Sequence[Mapping[str, Any]], space: Space) -> list[str]:
    """Whether the folds chose the same hyperparameters, and whether any choice is shown to be better."""
    settings = [page.fields_in_words(row["hyperparameters"], space) for row in rows]
    folds, different = len(rows), len(set(settings))
    if different == 1:
        found = [f"all {folds} folds chose the same hyperparameters: {settings[0]}"]
    else:
        spread = "; ".join(page.spread_in_words([r["hyperparameters"] for r in rows], space))
        found = [f"the {folds} folds chose {different} different settings: {spread}"]
    better = sum(row["better_than_own"] for row in rows)
    return [
        *found,
        f"in {better} of {folds} folds the choice is shown to be better on its validation works than "
        "the configuration's own settings",
    ]


def render(
    summary: Mapping[str, Any], pooled: Mapping[str, Any], space: Space, config: ConfigDict
) -> str:
    """The page `index.html`. It needs no server and no network.

    Args:
      summary: what `folds.json` holds.
      pooled: what `evaluation/folds/metrics.json` holds.
      space: of the search.
      config: of one of the runs.
    """
    tasks = list(pooled["tasks"])
    rows = summary["by_fold"]
    return pages.render(
        "modes/search/nested.html",
        summary=summary,
        pooled=pooled["tasks"],
        config=config,
        ranges=[page.range_in_words(space, name) for name in space.searched],
        what_it_is=WHAT_IT_IS,
        agreement=agreement(rows, space),
        columns=[
            ("fold", "%d"),
            ("chosen (trials)", "text"),
            *((title, "text") for title in page.titles(space)),
            ("validation works", "count"),
            ("top-1, chosen by them", "percent"),
            *((f"{task}: test works", "count") for task in tasks),
            *((f"{task}: top-1", "percent") for task in tasks),
        ],
        rows=[
            (
                row["fold"],
                f"{page.kind_of(row['chosen'])} ({', '.join(map(str, row['chosen']['trials']))})",
                *page.shown_fields(row["hyperparameters"], space),
                row["validation_works"],
                row["chosen"]["top1"],
                *(row["test"][task]["n"] for task in tasks),
                *(row["test"][task]["top1"] for task in tasks),
            )
            for row in rows
        ],
    )
