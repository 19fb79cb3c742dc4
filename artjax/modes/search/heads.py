"""A search among heads on cached features: all trials are trained at once, in one compiled program."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from artjax.data import batches, sources
from artjax.errors import ConfigError, TrainingError, WorkdirError
from artjax.evaluation.establishing import establish
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.over_tasks import over_tasks
from artjax.files import replacing
from artjax.modes.search import combining
from artjax.modes.search.combining import Scored
from artjax.modes.search.group import Group, put
from artjax.modes.search.results import Result, ranked, rungs, survivors
from artjax.modes.search.space import OWN, Space, with_hyperparameters
from artjax.runs import OpenRun, Run, claim
from artjax.runtime import mesh as mesh_lib
from artjax.setup import Setup
from artjax.training import frozen as frozen_lib
from artjax.training.best import BestSoFar, Validation
from artjax.training.checkpoint import Checkpoints
from artjax.training.stepping import Stepping
from artjax.training.stop_signal import StopSignal

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_SAVE_SECONDS = 20.0
_FILE = "heads.safetensors"


class HeadSearch:
    """The trials of one search, from their first step to their last."""

    def __init__(self, setup: Setup, space: Space, folder: Path) -> None:
        """Computes the features that are missing, and draws the trials.

        Args:
          setup: of a run with `features.views`.
          space: what a trial draws.
          folder: the search's own; it holds the states of the trials while they are trained.

        Raises:
          ConfigError: if the configuration asks for what heads that share their steps cannot do.
          DataError: if the features cannot be computed or written.
        """
        config = setup.config
        _check_shared(config)
        self._folder, self._say = folder, setup.console.say
        self._frozen = setup.initial_frozen()
        self._setup, features = setup.with_features(self._frozen, seen=("validation",))
        assert features is not None
        self.validation = self._setup.splits["validation"]
        self._halving, self._members = config.search.halving, config.search.members
        self.drawn = [space.draw(trial) for trial in range(config.search.trials)]
        self._results: dict[int, Result] = {}
        forms: dict[tuple[float, tuple[int, ...]], list[int]] = {}
        for trial, drawn in enumerate(self.drawn):
            forms.setdefault((drawn.dropout, drawn.layers), []).append(trial)
        self._groups = [self._group(trials) for trials in forms.values()]
        self._step = 0

    def _group(self, trials: list[int]) -> Group:
        config = with_hyperparameters(self._setup.config, self.drawn[trials[0]])
        return Group(self._setup.training.with_config(config), self._frozen, trials)

    @property
    def results(self) -> list[Result]:
        """The last validation of each trial."""
        return list(self._results.values())

    @property
    def steps(self) -> int:
        """Steps of a trial that is trained to the end."""
        return self._setup.training.steps

    def run(self) -> int | None:
        """Trains all trials. Returns the number of the signal that stopped it, or None."""
        first = self._resume()
        if first == self.steps:
            return None
        # All heads see the same batches: the canvases or features are put in place once.
        source = self._setup.open_source()
        with StopSignal() as stop:
            for end in rungs(self.steps, self._halving):
                if end <= first:
                    continue
                for group in self._groups:
                    if not self._train_group(group, source, end, stop):
                        self._save()
                        return stop.signal
                self._step = end
                self._compare(end)
                self._save()
        return None

    def _train_group(
        self, group: Group, source: sources.Source, end: int, stop: StopSignal
    ) -> bool:
        """Trains a group up to a step; returns whether it got there."""
        done = int(group.state.step)
        if not group.trials or done >= end:
            return True
        step = group.compile(self.drawn, source)
        saved_at = time.monotonic()
        feed = batches.prefetch(source.batch, done, end)
        bar = tqdm(
            total=end,
            initial=done,
            unit="step",
            desc=f"{len(group.trials)} heads",
            delay=2,
            disable=None if mesh_lib.is_first_process() else True,
        )
        stepping = Stepping(step, group.state, feed, step=done)
        with closing(feed), bar:
            for numbers in stepping:
                group.state = stepping.state
                jax.block_until_ready(numbers)
                bar.update()
                if stop.signal is not None:
                    return False
                if time.monotonic() - saved_at > _SAVE_SECONDS:
                    self._save()
                    saved_at = time.monotonic()
        return True

    def _compare(self, step: int) -> None:
        """Validates every trial, and lets the best ones go on."""
        for group in self._groups:
            for trial in group.trials:
                predicted = self._predictions_of(group, group.of(trial).variables)
                scores = combining.scores(predicted)
                finished = step == self.steps
                self._results[trial] = Result(trial, self.drawn[trial], step, *scores, finished)
        there = [self._results[trial] for group in self._groups for trial in group.trials]
        best = ranked(there)
        self._say(
            f"step {step:,} of {self.steps:,}: {len(best)} trials, the best with validation top-1 "
            f"{best[0].top1:.1%}, the median {np.median([r.top1 for r in best]):.1%}"
        )
        if not np.isfinite(best[0].loss):
            raise TrainingError(
                f"all {len(best)} trials have diverged by step {step:,}; lower the range "
                "--config.search.peak_lr, in a new --workdir"
            )
        if step == self.steps:
            return
        kept = {r.number for r in best[: survivors(len(best), self._halving, self._members)]}
        kept.add(OWN)  # the others are compared with it at the end
        for group in self._groups:
            group.keep([trial for trial in group.trials if trial in kept])

    def finalists(self) -> dict[int, Mapping[str, Predictions]]:
        """What each trial that was trained to the end says of the validation works, by its number."""
        return {
            trial: self._predictions_of(group, group.of(trial).variables)
            for group in self._groups
            for trial in group.trials
        }

    def combined(self, members: int, of_trials: Mapping[int, Any]) -> list[Scored]:
        """Scores of the best trial, of ensembles and of soups; writes the highest one as runs.

        Args:
          members: the largest number of trials in a combination.
          of_trials: what `finalists` gave.
        """
        best = ranked([result for result in self.results if result.finished])[:members]
        numbers = [result.number for result in best]
        predictions = [of_trials[number] for number in numbers]
        found = [combining.scored("single", best[:1], predictions[0])]
        soups: dict[int, Any] = {}
        for count in range(2, len(best) + 1):
            together = combining.mean_predictions(predictions[:count])
            found.append(combining.scored("ensemble", best[:count], together))
            soup = self.soup(numbers[:count])
            if soup is not None:
                soups[count] = soup
                of_soup = self._predictions_of(self.group_of(numbers[0]), soup)
                found.append(combining.scored("soup", best[:count], of_soup))
        chosen = combining.choose([of_one.row for of_one in found])
        if chosen["kind"] == "ensemble":
            chosen["workdirs"] = [f"member{i}" for i in range(len(chosen["trials"]))]
            for name, number in zip(chosen["workdirs"], chosen["trials"], strict=True):
                self.write_run(self._folder / name, number)
        else:
            chosen["workdirs"] = ["best"]
            mixed = soups[len(chosen["trials"])] if chosen["kind"] == "soup" else None
            self.write_run(self._folder / "best", numbers[0], mixed)
        return found

    def group_of(self, trial: int) -> Group:
        """The group that holds a trial; it must have been trained to the end."""
        return next(group for group in self._groups if trial in group.trials)

    def _predictions_of(
        self, group: Group, variables: Mapping[str, Any]
    ) -> Mapping[str, Predictions]:
        network = group.training.network
        whole = network.whole(variables, self._frozen)
        return combining.predictions(network, whole, self.validation)

    def _save(self) -> None:
        """Writes the states and results, atomically."""
        arrays = {
            f"{g}/{i}": np.asarray(leaf)
            for g, group in enumerate(self._groups)
            for i, leaf in enumerate(jax.tree.leaves(group.state))
        }
        progress = {
            "trials": len(self.drawn),
            "step": self._step,
            "groups": [group.trials for group in self._groups],
            "results": [result.to_json() for result in self._results.values()],
        }
        path = self._folder / _FILE
        try:
            with replacing(path, sync=False) as partial:
                save_file(arrays, partial, {"progress": json.dumps(progress)})
        except (OSError, SafetensorError) as error:
            raise WorkdirError(f"cannot write {path}: {error}") from error

    def _resume(self) -> int:
        """Reads what `_save` wrote; returns the step of the last rung that all trials have reached."""
        path = self._folder / _FILE
        if not path.is_file():
            return 0
        try:
            with safe_open(path, "numpy") as file:
                progress = json.loads(file.metadata()["progress"])
                names = file.keys()  # such a file is no mapping, and cannot be iterated over
                arrays = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            self._say(f"{path} cannot be read ({error}); the search begins anew")
            return 0
        if progress["trials"] != len(self.drawn):
            self._say(
                f"the search had {progress['trials']} trials, and has {len(self.drawn)} now; all "
                "compete, so it begins anew"
            )
            return 0
        for g, (group, trials) in enumerate(zip(self._groups, progress["groups"], strict=True)):
            group.keep(trials)
            leaves, form = jax.tree.flatten(group.state)
            saved = [arrays[f"{g}/{i}"] for i in range(len(leaves))]
            group.state = put(group.training, jax.tree.unflatten(form, saved))
        self._results = {r.number: r for r in map(Result.from_json, progress["results"])}
        self._step = progress["step"]
        step = max(int(group.state.step) for group in self._groups)
        self._say(f"resuming from step {step:,} of {self.steps:,}")
        return self._step

    def soup(self, trials: Sequence[int]) -> dict[str, Any] | None:
        """The mean of the variables of several trials; None if their networks differ in form.

        Wortsman et al., Model soups (2022), section 2: a uniform soup.
        """
        variables = [self.group_of(trial).of(trial).variables for trial in trials]
        if len({str(jax.tree.map(jnp.shape, of_trial)) for of_trial in variables}) > 1:
            return None
        return jax.tree.map(lambda *leaves: jnp.stack(leaves).mean(0), *variables)

    def write_run(self, folder: Path, trial: int, soup: Mapping[str, Any] | None = None) -> None:
        """Writes a trial as the workdir of a finished run, which `--mode evaluate` and predict take.

        Args:
          folder: replaced if it exists.
          trial: its configuration is written, and its state.
          soup: variables in place of its own.
        """
        setup, group, result = self._setup, self.group_of(trial), self._results[trial]
        config = with_hyperparameters(setup.config, self.drawn[trial])
        state = group.of(trial)
        if soup is not None:
            statistics = {name: value for name, value in soup.items() if name != "params"}
            ema = None if state.ema is None else dict(soup)
            state = state.replace(params=soup["params"], model_state=statistics, ema=ema)
        shutil.rmtree(folder, ignore_errors=True)
        claim(folder, config)
        setup.save_learnt_from(folder)
        _link_or_save(self._folder, folder, self._frozen)
        overall = over_tasks(self._predictions_of(group, state.variables))
        best = BestSoFar(group.training.warmup_steps)
        best.consider(Validation(result.step, overall.top1, overall.probability, overall.loss))
        record = replace(setup.record, config=config)
        with closing(Checkpoints(folder)) as checkpoints:
            checkpoints.save(result.step, state, record.to_json(), best)
        network = group.training.network
        whole = network.whole(state.variables, self._frozen)
        run = Run(folder, network, whole, result.step, record)
        establish(OpenRun(run, setup.data, setup.places.with_workdir(folder)))


def _check_shared(config: ConfigDict) -> None:
    """Refuses what depends on the validations of each trial: all trials take the same steps."""
    if config.optim.schedule == "plateau":
        raise ConfigError(
            "--config.optim.schedule=plateau: the heads of a search share their steps and are rarely "
            "validated; use another schedule"
        )
    if config.early_stop_patience:
        raise ConfigError(
            f"--config.early_stop_patience={config.early_stop_patience}: successive halving stops the "
            "trials of a search; set it to 0 (--config.search.halving says how many go on)"
        )


def _link_or_save(search: Path, folder: Path, frozen: dict[str, Any]) -> None:
    """Gives a run the frozen parameters: one file on the disk for all runs, where links are possible."""
    shared = search / frozen_lib.FILE
    if not shared.is_file():
        frozen_lib.save(search, frozen)
    try:
        os.link(shared, folder / frozen_lib.FILE)
    except OSError:  # another file system, or one without links
        shutil.copyfile(shared, folder / frozen_lib.FILE)
