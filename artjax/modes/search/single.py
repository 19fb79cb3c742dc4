"""One search, on one train and one validation split."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from artjax import config as config_lib
from artjax.config.fields import FIELDS
from artjax.errors import WorkdirError
from artjax.files import json_text, write_results
from artjax.modes.search import combining, heads, page, trials
from artjax.modes.search.combining import Scored
from artjax.modes.search.comparing import Comparison, compare
from artjax.modes.search.results import Result, ranked
from artjax.modes.search.space import Space, space_of
from artjax.places import Places
from artjax.runs import claim
from artjax.runtime import locks
from artjax.setup import open_setup

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_BEST = "best.json"


@dataclass
class Found:
    """What a search found.

    Attributes:
      best: what `search/best.json` holds, or `search/folds.json` of a search with folds; empty if the
        search was stopped.
      signal: number of the signal that stopped it, or None.
      next: the command to type next; empty if there is none.
    """

    best: dict[str, Any]
    signal: int | None = None
    next: str = ""


@dataclass(frozen=True)
class Typed:
    """What the user types.

    Attributes:
      program: for artjax.
      next: the words that follow it in the command to type after the search: the training of the winner,
        to which its hyperparameters are added; of a search with folds, the search without them. Empty if
        there is none.
    """

    program: str = "python launch.py"
    next: Sequence[str] = ()

    def command(self, more: Sequence[str] = ()) -> str:
        """The command `next` as one types it, with further words; empty if there is none."""
        words = [*shlex.split(self.program), *self.next, *more]
        return shlex.join(words) if self.next else ""


def claim_search(folder: Path, config: ConfigDict) -> None:
    """Assigns the folder of a search to its configuration; the number of trials may grow."""
    claim(folder, config_lib.changed(config, {"search.trials": FIELDS["search.trials"].default}))


def search_split(
    config: ConfigDict, places: Places, typed: Typed, devices: Sequence[jax.Device] | None = None
) -> Found:
    """Runs or resumes the search of a workdir, and writes `search/`.

    Only train and validation are looked at, of the collection or of the fold that is set.

    Args:
      config: the configuration, with its learning rate; of a fold, with its number.
      places: the folders; the workdir holds `search/`.
      typed: for the commands on the page.
      devices: as for `train`.

    Raises:
      ArtjaxError: for an error that the user can fix.
    """
    space = space_of(config)
    folder = places.workdir / "search"
    with locks.only_process(folder, "searching"):
        claim_search(folder, config)
        setup = open_setup(config, places, mode="search", devices=devices)
        setup.console.say(_introduction(setup.config, space, setup.training.steps))
        with setup.within_memory():
            found: heads.HeadSearch | trials.TrialSearch
            if config.features.views:
                found = heads.HeadSearch(setup, space, folder)
            else:
                found = trials.TrialSearch(setup, config, space, folder, devices)
            stopped = found.run()
            if stopped is not None:
                setup.console.say(
                    f"stopped by {signal.Signals(stopped).name}; the same command resumes the search"
                )
                return Found({}, stopped)
            of_trials = found.finalists()
            combined = found.combined(config.search.members, of_trials)
        chosen = _chosen(combined)
        compared = compare(chosen.row, chosen.predicted, of_trials)
        report = _Report(folder, space, setup.config, typed)
        best = report.write(
            found.results, [of_one.row for of_one in combined], chosen.row, compared
        )
    for line in page.lines(best):
        setup.console.say(line)
    return Found(best, next=best["train"])


def finished(folder: Path, trials: int) -> dict[str, Any] | None:
    """What a search with so many trials has written, if it is finished; else None."""
    file = folder / _BEST
    if not file.is_file():
        return None
    try:
        best: dict[str, Any] = json.loads(file.read_text())
        return best if best["trials"] == trials else None
    except (ValueError, KeyError, TypeError) as error:
        raise WorkdirError(f"{file} is damaged ({error}); remove it and search again") from error


def _chosen(combined: Sequence[Scored]) -> Scored:
    row = combining.choose([of_one.row for of_one in combined])
    return next(of_one for of_one in combined if of_one.row is row)


def _introduction(config: ConfigDict, space: Space, steps: int) -> str:
    ranges = "; ".join(page.range_in_words(space, name) for name in space.searched)
    how = (
        "all heads at once on features"
        if config.features.views
        else "each a run of its own, one after the other"
    )
    return (
        f"search: {config.search.trials:,} trials of {steps:,} steps, {how}; {ranges or 'nothing'}"
    )


@dataclass(frozen=True)
class _Report:
    """Writes what a search found, and how to go on."""

    folder: Path
    space: Space
    config: ConfigDict
    typed: Typed

    def write(
        self,
        results: Sequence[Result],
        combined: Sequence[dict[str, Any]],
        chosen: dict[str, Any],
        compared: Comparison,
    ) -> dict[str, Any]:
        """Writes `trials.csv`, `best.json` and `index.html`; returns the contents of `best.json`."""
        best = ranked(results)[0]
        workdirs = [
            word for name in chosen["workdirs"] for word in ("--workdir", str(self.folder / name))
        ]
        evaluate = shlex.join([*shlex.split(self.typed.program), "--mode", "evaluate", *workdirs])
        row = {
            "trial": best.number,
            "validation_top1": best.top1,
            "validation_loss": best.loss,
            "standard_error": best.standard_error,
            "hyperparameters": best.drawn.fields(),
            "train": self.typed.command(best.drawn.flags(self.config)),
            "hints": page.hints(self.space, best.drawn),
            "chosen": chosen,
            "compared": list(combined),
            "comparison": compared.to_json(),
            "evaluate": evaluate if workdirs else "",
            "trials": len(results),
            "folder": str(self.folder),
        }
        write_results(
            self.folder,
            {
                "trials.csv": page.table(results),
                "index.html": page.render(row, self.space, results, self.config),
                _BEST: json_text(row),
            },
        )
        return row
