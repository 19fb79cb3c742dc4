"""`--mode search`: draws hyperparameters, trains a trial with each, and names the best on validation."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from artjax import config as config_lib
from artjax.config.fields import FIELDS
from artjax.errors import ConfigError
from artjax.files import json_text, write_results
from artjax.modes.command import Command
from artjax.modes.search import combining, heads, page, trials
from artjax.modes.search.results import Result, ranked
from artjax.modes.search.space import Space, space_of
from artjax.places import Places
from artjax.runs import claim
from artjax.runtime import locks
from artjax.setup import open_setup
from artjax.training.checks import check_config
from artjax.training.optim import peak_lr

if TYPE_CHECKING:
    from ml_collections import ConfigDict


@dataclass
class Found:
    """What a search found.

    Attributes:
      best: what `search/best.json` holds; empty if the search was stopped.
      signal: number of the signal that stopped it, or None.
    """

    best: dict[str, Any]
    signal: int | None = None


def run(command: Command) -> int:
    """`--mode search`: exit status 128 + signal if it was stopped."""
    if not command.config_file:
        raise ConfigError(
            "--mode search needs a recipe, such as --config configs/probe.py:collection"
        )
    config, places = command.config_and_places(ending="-search")
    winner = f"{places.workdir}-winner"
    typed = command.words(workdir=winner, leave_out=("search.",), collection=config.collection)
    found = search(config, places, program=command.program, command=typed)
    if found.signal:
        return 128 + found.signal
    print(f"next: {found.best['train']}")
    return 0


def search(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    program: str = "python launch.py",
    command: Sequence[str] = (),
) -> Found:
    """Runs or resumes the search of a workdir, and writes `search/`.

    With `features.views` all trials train at once on the cached features. Else each trial is a run
    of its own in `search/trial000` …, one after the other. Only the validation split is looked at.

    Args:
      config: the configuration, with its collection; its section `search` says what is drawn.
      places: the folders; the workdir holds `search/`.
      devices: the devices to train on; default: all.
      program: what the user types for artjax.
      command: the words of the command that trains with this configuration, to which those of the winner
        are added.

    Raises:
      ArtjaxError: for an error that the user can fix.
    """
    check_config(config)
    config = config_lib.changed(config, {"optim.peak_lr": peak_lr(config.optim)})
    space = space_of(config)
    if config.seeds:
        raise ConfigError(
            "--config.seeds: a search draws with one seed; search without seeds, then train the winner "
            "with them"
        )
    if config.folds:
        raise ConfigError(
            "--config.folds: a search needs one validation split; search without folds, then "
            "cross-validate the winner"
        )
    folder = places.workdir / "search"
    with locks.only_process(folder, "searching"):
        # Their number may grow.
        trials_of_default = {"search.trials": FIELDS["search.trials"].default}
        claim(folder, config_lib.changed(config, trials_of_default))
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
            combined = found.combined(config.search.members)
        launch = [*shlex.split(program), *command]
        best = _report(folder, space, found.results, combined, launch, program, setup.config)
    for line in page.lines(best):
        setup.console.say(line)
    return Found(best)


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


def _report(
    folder: Path,
    space: Space,
    results: Sequence[Result],
    combined: Sequence[dict[str, Any]],
    train: list[str],
    program: str,
    config: ConfigDict,
) -> dict[str, Any]:
    """Writes `trials.csv`, `best.json` and `index.html`; returns the contents of `best.json`."""
    best, chosen = ranked(results)[0], combining.choose(combined)
    workdirs = [flag for name in chosen["workdirs"] for flag in ("--workdir", str(folder / name))]
    evaluate = shlex.join([*shlex.split(program), "--mode", "evaluate", *workdirs])
    row = {
        "trial": best.number,
        "validation_top1": best.top1,
        "validation_loss": best.loss,
        "standard_error": best.standard_error,
        "hyperparameters": best.drawn.fields(),
        "train": shlex.join([*train, *best.drawn.flags(config)]),
        "hints": page.hints(space, best.drawn),
        "chosen": chosen,
        "compared": list(combined),
        "evaluate": evaluate if workdirs else "",
        "trials": len(results),
        "folder": str(folder),
    }
    write_results(
        folder,
        {
            "trials.csv": page.table(results),
            "index.html": page.render(row, space, results, config),
            "best.json": json_text(row),
        },
    )
    return row
