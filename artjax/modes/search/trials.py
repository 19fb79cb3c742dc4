"""A search among trainings: each trial is a run of its own, and Optuna keeps the account of them."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax import config as config_lib
from artjax.errors import ConfigError, TrainingError
from artjax.evaluation.metrics import Predictions
from artjax.modes.search import combining, page
from artjax.modes.search.combining import Scored
from artjax.modes.search.results import Result, ranked, rungs
from artjax.modes.search.space import OWN, Hyperparameters, Space, rounded, with_hyperparameters
from artjax.places import Places
from artjax.runs import open_run
from artjax.setup import Setup
from artjax.train import Outcome, train
from artjax.training.logs import read_rows

if TYPE_CHECKING:
    import jax
    import optuna
    from ml_collections import ConfigDict

JOURNAL = "optuna.log"
_ROUNDING = 1e-3
_SEEDS = 100_003  # searches with other seeds share no seed of a trial


class TrialSearch:
    """The trials of one search, in the folder of the search.

    A process that is killed loses nothing: its trial is resumed from the last checkpoint, with the same
    hyperparameters.
    """

    def __init__(
        self,
        setup: Setup,
        config: ConfigDict,
        space: Space,
        folder: Path,
        devices: Sequence[jax.Device] | None,
    ) -> None:
        """Opens the journal of the search, or begins one.

        Args:
          setup: what a run with this configuration would start from.
          config: as the user gave it; each trial changes a few fields.
          space: what a trial draws.
          folder: the search's own.
          devices: as for `train`.

        Raises:
          ConfigError: if Optuna is not installed.
        """
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise ConfigError(
                "--mode search without cached features needs Optuna: pip install 'artjax[search]', or "
                "search among the heads of a frozen trunk, as with configs/probe.py"
            ) from error
        optuna.logging.set_verbosity(logging.ERROR)
        self._config, self._space, self._folder = config, space, folder
        self._devices, self._console, self._steps = devices, setup.console, setup.training.steps
        self._places: Places = setup.places
        every = setup.training.eval_every
        ends = rungs(self._steps, config.search.halving)
        # A trial is judged where it is validated.
        self._rungs = sorted(
            {*(max(every, round(end / every) * every) for end in ends[:-1]), self._steps}
        )
        self._rungs = [end for end in self._rungs if end <= self._steps]
        backend = JournalFileBackend(str(folder / JOURNAL))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=self._pruner(config.search.halving),
        )
        self.results: list[Result] = []

    def _pruner(self, halving: int) -> optuna.pruners.BasePruner:
        import optuna

        if halving == 1 or len(self._rungs) == 1:
            return optuna.pruners.NopPruner()
        # Its unit is such that the rungs are 1, halving, halving², …
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=halving)

    def run(self) -> int | None:
        """Runs all trials that are not done. Returns the signal that stopped it, or None."""
        from optuna.trial import TrialState

        total = self._config.search.trials
        done = self._numbers(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        if done:
            self._console.say(f"{len(done):,} of {total:,} trials are done already")
        while True:
            # One that a killed process has left is resumed, and not counted twice.
            left = self._numbers(TrialState.RUNNING)
            if not left and len(self._study.trials) - len(self._waiting()) >= total:
                break
            trial = self._opened(left[0]) if left else self._new()
            stopped = self._run_trial(trial)
            if stopped is not None:
                return stopped
        waiting = self._waiting()
        self.results = [
            self._result(trial) for trial in self._study.trials if trial.number not in waiting
        ]
        if not any(result.finished for result in self.results):
            raise TrainingError(
                f"none of the {len(self.results)} trials was trained to its end with a finite loss; "
                "lower the range --config.search.peak_lr, in a new --workdir"
            )
        return None

    def finalists(self) -> dict[int, Mapping[str, Predictions]]:
        """What each trial that was trained to the end says of the validation works, by its number."""
        return {
            result.number: self._predictions(result) for result in self.results if result.finished
        }

    def combined(self, members: int, of_trials: Mapping[int, Any]) -> list[Scored]:
        """Scores on validation of the best trial, and of ensembles of the best ones.

        Args:
          members: the largest number of trials in an ensemble.
          of_trials: what `finalists` gave.
        """
        best = ranked([result for result in self.results if result.finished])[:members]
        predictions = [of_trials[result.number] for result in best]
        found = [combining.scored("single", best[:1], predictions[0], [best[0].folder])]
        for count in range(2, len(best) + 1):
            folders = [result.folder for result in best[:count]]
            together = combining.mean_predictions(predictions[:count])
            found.append(combining.scored("ensemble", best[:count], together, folders))
        return found

    def _predictions(self, result: Result) -> dict[str, Predictions]:
        """What the best checkpoint of a trial says of the validation works."""
        folder = self._folder / result.folder
        opened = open_run(folder, "best", self._places.data_dir, self._places.canvas_dir)
        labels = config_lib.label_features(opened.run.config)
        split = opened.data.split("validation", labels)
        return combining.predictions(opened.run.network, opened.run.variables, split)

    def _numbers(self, *states: optuna.trial.TrialState) -> list[int]:
        return [trial.number for trial in self._study.trials if trial.state in states]

    def _waiting(self) -> list[int]:
        from optuna.trial import TrialState

        return self._numbers(TrialState.WAITING)

    def _opened(self, number: int) -> optuna.Trial:
        import optuna

        return optuna.Trial(self._study, self._study.trials[number]._trial_id)

    def _new(self) -> optuna.Trial:
        """A new trial with its hyperparameters, which are in the journal from here on."""
        import optuna

        number, space = len(self._study.trials), self._space
        if number == OWN:
            # Its settings may lie outside of the ranges, so it is no trial of them for Optuna.
            return self._study.ask()
        if self._config.search.sampler == "tpe":
            # A new seed for each trial, so that a process that resumes draws as the first one would.
            sampler = optuna.samplers.TPESampler(seed=_SEEDS * space.seed + number)
            self._study.sampler = sampler
        elif not self._waiting():  # else a process was killed between these two lines
            drawn = space.draw(number)  # as in a search among heads
            values = drawn.__dict__ | {"layers": json.dumps(drawn.layers)}
            self._study.enqueue_trial(values)
        return self._study.ask(_distributions(space))

    def _run_trial(self, trial: optuna.Trial) -> int | None:
        """Trains a trial until it is judged for the last time; returns the signal that stopped it."""
        from optuna.trial import TrialState

        drawn = self._drawn(trial)
        workdir = self._folder / _folder_of(trial.number)
        config = with_hyperparameters(self._config, drawn)
        halving, say = self._config.search.halving, self._console.say
        say(f"trial {trial.number}: {page.in_words(drawn, self._space)}")
        for k, end in enumerate(self._rungs):
            resource = halving**k
            if resource in self._study.trials[trial.number].intermediate_values:
                continue
            try:
                outcome = self._train(config, workdir, end)
            except TrainingError as error:
                self._study.tell(trial, state=TrialState.FAIL)
                say(f"trial {trial.number}: failed: {str(error).splitlines()[0]}")
                return None
            if outcome.signal is not None:
                return outcome.signal
            if outcome.finished:
                break
            top1 = _validations(workdir)[-1]["validation/top1"]
            trial.report(top1, resource)
            if trial.should_prune():
                self._study.tell(trial, state=TrialState.PRUNED)
                say(f"trial {trial.number}: stopped at step {end:,}, validation top-1 {top1:.1%}")
                return None
        top1 = _finished(workdir)[0]
        self._study.tell(trial, top1)
        say(f"trial {trial.number}: trained to the end, validation top-1 {top1:.1%}")
        return None

    def _drawn(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> Hyperparameters:
        return self._space.own if trial.number == OWN else _drawn(trial.params)

    def _train(self, config: ConfigDict, workdir: Path, end: int) -> Outcome:
        """Trains up to a step. What training prints goes to a file of the trial."""
        workdir.mkdir(parents=True, exist_ok=True)
        with (workdir / "log.txt").open("a") as log, contextlib.redirect_stdout(log):
            return train(
                config,
                self._places.with_workdir(workdir),
                devices=self._devices,
                stop_after_steps=end,
                evaluated=("validation",),
            )

    def _result(self, trial: optuna.trial.FrozenTrial) -> Result:
        from optuna.trial import TrialState

        drawn, folder = self._drawn(trial), _folder_of(trial.number)
        workdir = self._folder / folder
        if trial.state == TrialState.COMPLETE:
            top1, loss, error = _finished(workdir)
            return Result(trial.number, drawn, self._steps, top1, loss, error, True, folder)
        if trial.state == TrialState.PRUNED:
            row = _validations(workdir)[-1]
            top1, loss = row["validation/top1"], row["validation/loss"]
            return Result(trial.number, drawn, int(row["step"]), top1, loss, 0.0, False, folder)
        return Result(trial.number, drawn, 0, 0.0, math.inf, 0.0, False, folder)


def _folder_of(number: int) -> str:
    return f"trial{number:03}"


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    def between(limits: tuple[float, float], log: bool) -> FloatDistribution:
        # What is drawn is rounded to four digits, and may lie just outside the limits.
        low, high = limits[0] * (1 - _ROUNDING), limits[1] * (1 + _ROUNDING)
        return FloatDistribution(low, high, log=log and low > 0)

    return {
        "peak_lr": between(space.peak_lr, True),
        "weight_decay": between(space.weight_decay, True),
        "label_smoothing": between(space.label_smoothing, False),
        "dropout": CategoricalDistribution(space.dropout),
        "layers": CategoricalDistribution([json.dumps(layers) for layers in space.layers]),
    }


def _drawn(params: Mapping[str, Any]) -> Hyperparameters:
    return Hyperparameters(
        rounded(params["peak_lr"]),
        rounded(params["weight_decay"]),
        rounded(params["label_smoothing"]),
        params["dropout"],
        tuple(json.loads(params["layers"])),
    )


def _validations(workdir: Path) -> list[dict[str, float]]:
    return [row for row in read_rows(workdir) if "validation/top1" in row]


def _finished(workdir: Path) -> tuple[float, float, float]:
    """Top-1, loss and standard error of the best checkpoint of a finished trial, over its tasks.

    The error is that of the validation during training, which has one view of each work.
    """
    text = (workdir / "evaluation" / "validation" / "metrics.json").read_text()
    result = json.loads(text)
    top1 = statistics.mean(row["top1"] for row in result["tasks"].values())
    loss = sum(row["loss"] for row in result["tasks"].values())
    of_step = {row["step"]: row for row in _validations(workdir)}
    return top1, loss, of_step[result["checkpoint_step"]]["validation/top1_standard_error"]
