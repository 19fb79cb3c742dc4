"""A search within each fold: the score of searching and training, on works that had no part in either.

A search in the whole collection, and folds with its winner after it, would test on works by which the
winner was chosen. Here each fold has a search of its own, on its train and validation works. Its test
works are looked at once, when all is chosen: nested cross-validation, Varma & Simon, Bias in Error
Estimation when Using Cross-Validation for Model Selection (2006).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from artjax import config as config_lib
from artjax.evaluation import looks, report
from artjax.evaluation.evaluate import folder_of
from artjax.files import json_text, write_results
from artjax.modes.folds import evaluate_folds
from artjax.modes.search import nested_page
from artjax.modes.search.single import Found, Typed, claim_search, finished, search_split
from artjax.modes.search.space import space_of
from artjax.places import Places
from artjax.runs import read_config, runs_in
from artjax.runtime import locks

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def search_folds(
    config: ConfigDict, places: Places, typed: Typed, devices: Sequence[jax.Device] | None = None
) -> Found:
    """Searches in each fold, then tests what each has chosen on its test works, and pools the answers.

    Folds whose search is finished are not searched again; one that was stopped is resumed.

    Args:
      config: the configuration, with its learning rate and `folds` of 2 or more.
      places: the folders; the workdir holds `fold0/search/` …, `search/` with a summary of them, and
        `evaluation/folds/`.
      typed: its `next` is the search without folds.
      devices: as for `train`.

    Raises:
      ArtjaxError: for an error that the user can fix.
    """
    workdir = places.workdir
    folder = workdir / "search"
    with locks.only_process(folder, "searching"):
        claim_search(folder, config)
        searches = []
        for fold in range(config.folds):
            print(f"fold {fold} of {config.folds}", flush=True)
            of_fold = places.with_workdir(workdir / f"fold{fold}")
            best = finished(of_fold.workdir / "search", config.search.trials)
            if best is None:
                # It has no command to type: its winner would be trained on works by which it is tested.
                alone = Typed(typed.program)
                found = search_split(
                    config_lib.changed(config, {"fold": fold}), of_fold, alone, devices
                )
                if found.signal:
                    return found
                best = json.loads(json_text(found.best))  # as it is when it is read
            searches.append(best)
        pooled = evaluate_folds(workdir, config.folds, places.data_dir, places.canvas_dir)
        summary = _summary(searches, pooled, typed.command())
        space = space_of(config)
        of_run = read_config(runs_in(workdir)[0])  # in which nothing is automatic any more
        assert of_run is not None
        write_results(
            folder,
            {
                "index.html": nested_page.render(summary, pooled, space, of_run),
                "folds.json": json_text(summary),
            },
        )
    lines = [*nested_page.lines(summary, space), *report.report_lines(pooled)]
    lines += looks.lines(folder_of(workdir, "folds"))
    lines += [nested_page.WHAT_IT_IS, f"written to {folder}/index.html"]
    print("\n".join(lines), flush=True)
    return Found(summary, next=summary["next"])


def _summary(
    searches: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any], following: str
) -> dict[str, Any]:
    """What `search/folds.json` holds: what each fold chose, and how that did on its test works."""
    return {
        "by_fold": [
            {
                "fold": fold,
                "trial": best["trial"],
                "hyperparameters": best["hyperparameters"],
                "chosen": best["chosen"],
                "validation_works": best["comparison"]["works"],
                "better_than_own": best["comparison"]["better_than_own"],
                "test": {task: row["by_fold"][fold] for task, row in pooled["tasks"].items()},
            }
            for fold, best in enumerate(searches)
        ],
        "trials": searches[0]["trials"],
        "next": following,
    }
