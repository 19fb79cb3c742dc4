"""`--mode search`: draws hyperparameters, trains a trial with each, and names the best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import jax

from artjax import config as config_lib
from artjax.errors import ConfigError
from artjax.modes.command import Command
from artjax.modes.search.nested import search_folds
from artjax.modes.search.single import Found, Typed, search_split
from artjax.modes.search.space import space_of
from artjax.places import Places
from artjax.runs import is_cross_validation
from artjax.training import solving
from artjax.training.checks import check_config
from artjax.training.optim import is_solved, peak_lr

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def run(command: Command) -> int:
    """`--mode search`: exit status 128 + signal if it was stopped."""
    if not command.config_file:
        raise ConfigError(
            "--mode search needs a recipe, such as --config configs/probe.py:collection"
        )
    config, places = command.config_and_places(ending="-search")
    typed = Typed(command.program, _next_words(command, config, places))
    found = search(config, places, typed=typed)
    if found.signal:
        return 128 + found.signal
    print(f"next: {found.next}")
    return 0


def _next_words(command: Command, config: ConfigDict, places: Places) -> list[str]:
    if is_cross_validation(config):
        words = command.words(
            workdir=f"{places.workdir}-one",
            leave_out=("folds",),
            collection=config.collection,
            mode="search",
        )
        return [*words, "--mode", "search"]
    return command.words(
        workdir=f"{places.workdir}-winner", leave_out=("search.",), collection=config.collection
    )


def search(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    typed: Typed | None = None,
) -> Found:
    """Runs or resumes the search of a workdir, and writes `search/`.

    With `features.views` all trials train at once on the cached features. Else each trial is a run
    of its own in `search/trial000` …, one after the other. Only the validation split is looked at. With
    `folds` there is a search in each fold, and what it chose is tested on the fold's test works.

    Args:
      config: the configuration, with its collection; its section `search` says what is drawn.
      places: the folders; the workdir holds `search/`.
      devices: the devices to train on; default: all.
      typed: for the commands that are printed.

    Raises:
      ArtjaxError: for an error that the user can fix.
    """
    check_config(config)
    if is_solved(config):
        print("search: trials take steps, in place of lbfgs with adamw")
        config = config_lib.changed(config, solving.IN_STEPS)
        flags = [f"--config.{name}={value}" for name, value in solving.IN_STEPS.items() if value]
        if typed is not None and typed.next:
            typed = replace(typed, next=[*typed.next, *flags])
    config = config_lib.changed(config, {"optim.peak_lr": peak_lr(config.optim)})
    if config.seeds:
        raise ConfigError(
            "--config.seeds: a search draws with one seed; search without seeds, then train the winner "
            "with them"
        )
    space_of(config)  # a range that makes no sense is said before anything is opened
    one_or_all = search_folds if is_cross_validation(config) else search_split
    return one_or_all(config, places, typed or Typed(), devices)
