"""`--mode search`: draws hyperparameters, trains a trial with each, and names the best on validation."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from artjax import workdir as workdir_lib
from artjax.config.fields import FIELDS
from artjax.errors import ConfigError, WorkdirError
from artjax.modes.search import combining, heads, page, trials
from artjax.modes.search.results import Result, ranked
from artjax.modes.search.space import Space, space_of
from artjax.runtime import locks
from artjax.training.checks import check_config
from artjax.training.optim import with_peak_lr
from artjax.trial import open_trial
from artjax.workdir import write_atomically

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


def search(
    config: ConfigDict,
    workdir: Path,
    data_dir: Path,
    *,
    canvas_dir: Path | None = None,
    feature_dir: Path | None = None,
    devices: Sequence[jax.Device] | None = None,
    command: Sequence[str] = (),
) -> Found:
    """Runs or resumes the search of a workdir, and writes `search/`.

    With `features.views` all trials train at once on the cached features. Else each trial is a run
    of its own in `search/trial000` …, one after the other. Only the validation split is looked at.

    Args:
      config: the configuration, with its collection; its section `search` says what is drawn.
      workdir: holds `search/`.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.
      feature_dir: the folder for features; default `data_dir/features`.
      devices: the devices to train on; default: all.
      command: the words of the command that trains with this configuration. The winner's settings
        are added to them.

    Raises:
      ArtjaxError: for an error that the user can fix.
    """
    check_config(config)
    config = with_peak_lr(config)
    space = space_of(config)
    if config.folds:
        raise ConfigError(
            "--config.folds: a search needs one validation split; search without folds, then "
            "cross-validate the winner"
        )
    folder = workdir / "search"
    with locks.only_process(folder, "searching"):
        claimed = type(config)(config.to_dict())
        claimed.search.trials = FIELDS["search.trials"].default  # may grow
        workdir_lib.claim(folder, claimed)
        given = config
        where = workdir, data_dir, canvas_dir, feature_dir
        setup = open_trial(config, *where, mode="search", devices=devices)
        config = setup.experiment.config
        setup.console.say(_introduction(config, space, setup.experiment.steps))
        found: heads.HeadSearch | trials.TrialSearch
        if config.features.views:
            found = heads.HeadSearch(setup, space, folder)
        else:
            found = trials.TrialSearch(setup, given, space, folder, devices)
        stopped = found.run()
        if stopped is not None:
            setup.console.say(
                f"stopped by {signal.Signals(stopped).name}; the same command resumes the search"
            )
            return Found({}, stopped)
        combined = found.combined(config.search.members)
        best = _report(folder, space, found.results, combined, [*command], config)
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
    command: list[str],
    config: ConfigDict,
) -> dict[str, Any]:
    """Writes `trials.csv`, `best.json` and `index.html`; returns the contents of `best.json`."""
    best, chosen = ranked(results)[0], combining.choose(combined)
    launch = ["python", "launch.py"]
    workdirs = [flag for name in chosen["workdirs"] for flag in ("--workdir", str(folder / name))]
    row = {
        "trial": best.number,
        "validation_top1": best.top1,
        "validation_loss": best.loss,
        "standard_error": best.standard_error,
        "hyperparameters": best.drawn.fields(),
        "train": shlex.join([*launch, *command, *best.drawn.flags(config)]),
        "hints": page.hints(space, best.drawn),
        "chosen": chosen,
        "compared": list(combined),
        "evaluate": shlex.join([*launch, "--mode", "evaluate", *workdirs]) if workdirs else "",
        "trials": len(results),
        "folder": str(folder),
    }
    try:
        write_atomically(folder / "trials.csv", page.table(results))
        write_atomically(folder / "index.html", page.render(row, space, results, config))
        write_atomically(folder / "best.json", json.dumps(row, indent=2) + "\n")
    except OSError as error:
        raise WorkdirError(f"cannot write {folder}: {error.strerror or error}") from error
    return row
