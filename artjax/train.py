"""Trains a run, from its first or next step to its evaluation.

This module connects data, step, checkpoints and metrics.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.sources import Source
from artjax.errors import TrainingError, WorkdirError
from artjax.evaluation import evaluate, judging, looks, reliability, report
from artjax.evaluation.during_training import EVALUATORS, Evaluated
from artjax.evaluation.establishing import establish
from artjax.places import Places
from artjax.report.writing import Evaluation, wants_report, write_report
from artjax.runs import OpenRun, Run, claim, seen, stands_alone, whole_of
from artjax.runs.run import read_record
from artjax.runtime import locks
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.compilation_cache import CompilationCounter
from artjax.setup import Setup, open_setup
from artjax.startup_report import initial_loss, introduce, lengthened, trunk_health
from artjax.training import frozen as frozen_lib
from artjax.training import history, memory, solving, switches
from artjax.training.best import BestSoFar, Validation
from artjax.training.checkpoint import Checkpoints
from artjax.training.features import Features
from artjax.training.logs import read_rows
from artjax.training.optim import is_solved, peak_lr
from artjax.training.progress import Progress
from artjax.training.state import TrainState
from artjax.training.stepping import Stepping
from artjax.training.stop_signal import StopSignal
from artjax.training.training import TrainStep

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


@dataclass
class Outcome:
    """The result of `train`.

    Attributes:
      step: number of steps done.
      finished: whether the run is complete and evaluated.
      signal: number of the signal that stopped it, or None.
      results: for a finished run, the contents of `metrics.json` for each split.
    """

    step: int
    finished: bool
    signal: int | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


def train(
    config: ConfigDict,
    places: Places,
    *,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
    evaluated: Sequence[str] = ("validation", "test"),
) -> Outcome:
    """Trains or resumes the run of a workdir, then evaluates its best checkpoint.

    Args:
      config: the configuration, with its collection.
      places: the folders; the workdir is created if it does not exist.
      devices: the devices to train on; default: all devices of all processes.
      stop_after_steps: save and return after this total number of steps, to try things out. Unlike
        `config.steps` it does not change the schedule.
      evaluated: the splits on which the best checkpoint of a finished run is evaluated; with `eval.test`
        as `never` test is left out.

    Raises:
      ArtjaxError: for an error that the user can fix, before anything in the workdir changes.
      TrainingError: if the loss is no longer finite (the last good checkpoint is kept), or a step does
        not fit in memory.
    """
    setup = open_setup(config, places, devices=devices)
    with ExitStack() as stack:
        with mesh_lib.first_process_first():
            if mesh_lib.is_first_process():
                stack.enter_context(locks.only_process(places.workdir, "training"))
            claim(places.workdir, setup.config, longer=True)
        checkpoints = stack.enter_context(closing(Checkpoints(places.workdir)))
        stack.enter_context(setup.within_memory())
        return _Run(setup, checkpoints, stop_after_steps, evaluated).run()


class _Run:
    """A run, from its first or next step to its evaluation."""

    def __init__(
        self,
        setup: Setup,
        checkpoints: Checkpoints,
        stop_after_steps: int | None,
        evaluated: Sequence[str],
    ) -> None:
        self.setup = setup
        self.evaluated = [s for s in evaluated if s != "test" or setup.config.eval.test != "never"]
        self.held_back = len(self.evaluated) < len(evaluated)
        self.training = setup.training
        self.say = setup.console.say
        self.checkpoints = checkpoints
        self.steps = self.training.steps
        self.last_step = min(self.steps, stop_after_steps or self.steps)
        self.best = BestSoFar(self.training.warmup_steps)
        self.compilations = CompilationCounter()
        self.ready_at = time.perf_counter()  # data and canvases are ready
        self.frozen: dict[str, Any] = {}
        self.features: Features | None = None
        self.solved: solving.Solved | None = None
        self.reported: Evaluation | None = None  # of test, or of validation if that is held back

    def run(self) -> Outcome:
        setup, workdir = self.setup, self.setup.places.workdir
        introduce(setup, self.say)
        latest, record = self._newest(lambda step: read_record(self.checkpoints, workdir, step))
        if latest is not None:
            record.check_same_data(workdir, setup.data.prepared)
            self.setup = replace(setup, record=replace(setup.record, pretrained=record.pretrained))
        self._keep_learnt_from(new=latest is None)
        self._open_frozen(new=latest is None)
        self.best = self.checkpoints.best_so_far(self.training.warmup_steps)
        if latest is not None and self._is_complete(latest):
            why = self._why_stopped_early(latest)
            self.say(f"this run is finished: {why or self._done(latest)}")
            results = self._earlier_results() or self._evaluate_best()
            self._conclude(results)
            return Outcome(latest, finished=True, results=results)
        with_images = self.setup
        self.setup, self.features = with_images.with_features(self.frozen)
        source = self.setup.open_source()
        self._note(history.STARTED if latest is None else history.RESUMED, latest or 0)
        with self.compilations:
            train_step = self._compile(source)
            stepping, progress = self._resume_or_start(train_step, source, with_images)
            signal_number = self._loop(stepping, progress)
        step = stepping.step
        if not self._is_complete(step):
            why = f"stopped by {signal.Signals(signal_number).name}" if signal_number else "stopped"
            self._note(history.STOPPED, step, why)
            self.say(
                f"{why} at step {step:,} of {self.steps:,}, and saved a checkpoint; the same command "
                "resumes from it"
            )
            return Outcome(step, finished=False, signal=signal_number)
        del stepping  # and with it the state
        if why := self._why_stopped_early(step):
            self.say(why)
            self._note(history.STOPPED, step, why)
        results = self._evaluate_best()
        self._conclude(results)
        return Outcome(step, finished=True, results=results)

    def _note(self, what: str, step: int, text: str = "") -> None:
        """Writes an event to the history of the run, after the warnings since the last one."""
        if not mesh_lib.is_first_process():
            return
        workdir, warnings = self.setup.places.workdir, self.setup.console.take_warnings()
        try:
            for warning in warnings:
                history.note(workdir, history.WARNED, step, warning)
            history.note(workdir, what, step, text)
        except OSError as error:  # it is not worth a training
            self.say(f"note: {workdir / history.FILE} cannot be written: {error.strerror}")

    def _is_complete(self, step: int) -> bool:
        return step == self.steps or self._is_stale()

    def _is_stale(self) -> bool:
        """Whether early stopping ends the run: no validation has been better for too long."""
        return 0 < self.setup.config.early_stop_patience <= self.best.since_better

    def _why_stopped_early(self, step: int) -> str:
        """The reason in words; empty if the run went to its end."""
        if step == self.steps or self.best.best is None:
            return ""
        return (
            f"stopped early at step {step:,} of {self.steps:,}: neither a better checkpoint nor a lower "
            f"loss in {self.best.since_better} validations"
        )

    def _done(self, step: int) -> str:
        """How far a run is that went to its end."""
        config = self.setup.config
        if is_solved(config):
            return "its heads are solved"
        length = "steps" if config.steps else "epochs"
        return f"{step:,} of {self.steps:,} steps done; a higher --config.{length} trains it longer"

    def _keep_learnt_from(self, new: bool) -> None:
        """Writes which works the run learns from; also if the file of a run that is resumed is lost."""
        workdir = self.setup.places.workdir
        with mesh_lib.first_process_first():
            if mesh_lib.is_first_process() and (new or not seen.is_there(workdir)):
                self.setup.save_learnt_from(workdir)

    def _open_frozen(self, new: bool) -> None:
        """Puts the frozen variables on the devices; a new run writes them to its workdir."""
        network, workdir = self.setup.network, self.setup.places.workdir
        if not network.abstract_frozen:
            return
        if new:
            frozen_lib.save(workdir, self.setup.initial_frozen())
        self.frozen = frozen_lib.load(workdir, network)

    def _compile(self, source: Source) -> TrainStep:
        """Compiles the step before the state is allocated, to report early that it is too large."""
        setup = self.setup
        if is_solved(setup.config):
            return self._solve
        free = memory.free_bytes(setup.network.mesh)
        self.say(memory.describe_estimate(self.training, setup.choice, free))
        return setup.compile(source, self.frozen)

    def _solve(self, state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Any]]:
        """The one step of a run whose heads are solved; it looks at all of train, not at a batch."""
        setup = self.setup
        # Not `setup.train`: the rows of features are no longer those of the pictures.
        train = setup.data.split("train", config_lib.label_features(setup.config))
        groups = np.tile(setup.data.groups(train, setup.data.split_by), setup.config.features.views)
        self.solved = solving.solve(self.training, state, setup.train, groups)
        return self.solved.state, dict(self.solved.metrics)

    def _report_solved(self, step: int, progress: Progress) -> None:
        if self.solved is not None:
            for row in self.solved.rows:
                progress.write(step, row)
            for line in self.solved.lines:
                self.say(line)

    def _newest(self, read: Callable[[int], Any]) -> tuple[int | None, Any]:
        """The newest checkpoint that can be read, and what was read; (None, None) if there is none.

        A damaged one is set aside if an older one can take its place.
        """
        while (step := self.checkpoints.latest_step) is not None:
            try:
                return step, read(step)
            except WorkdirError as error:
                if len(self.checkpoints.steps) == 1:
                    raise
                aside = self.checkpoints.set_aside(step)
                self.say(
                    f"{error}\nit is kept as {aside}; the run continues from the checkpoint of step "
                    f"{self.checkpoints.latest_step:,}"
                )
        return None, None

    def _resume_or_start(
        self, train_step: TrainStep, source: Source, with_images: Setup
    ) -> tuple[Stepping[TrainState], Progress]:
        setup, training = self.setup, self.training
        latest, state = self._newest(
            lambda step: self.checkpoints.restore(step, training.abstract_state)
        )
        if latest is None:
            state, saved_window = setup.initial_state(), None
            if setup.config.optim.head_solved:
                state, lines = setup.with_solved_heads(state, self.frozen)
                for line in lines:
                    self.say(f"before the first step: {line}")
            variables = self._whole(state)
            self.say(initial_loss(setup, variables))
            if setup.pretrained is not None:
                for line in trunk_health(with_images, variables):
                    self.say(line)
        else:
            self.say(f"resuming from the checkpoint of step {latest:,}")
            record = read_record(self.checkpoints, setup.places.workdir, latest)
            for line in lengthened(training, record.config, latest):
                self.say(line)
            saved_window = dict(record.log)
        self.best = self.checkpoints.best_so_far(training.warmup_steps)
        step = latest or 0
        feed = batches.Timed(batches.prefetch(source.batch, step, self.last_step))
        stepping = Stepping(train_step, state, feed, step=step)
        workdir, console = setup.places.workdir, setup.console
        return stepping, Progress(training, workdir, console, step, saved_window, feed)

    def _whole(self, state: TrainState) -> dict[str, Any]:
        """What evaluation uses of a state."""
        return self.setup.network.whole(state.variables, self.frozen)

    def _loop(self, stepping: Stepping[TrainState], progress: Progress) -> int | None:
        """Trains to the end, or to a signal, whose number it returns."""
        training = self.training
        first_step = stepping.step
        try:
            with StopSignal() as stop:
                for metrics in stepping:
                    step = stepping.step
                    progress.add(step, metrics)
                    self._report_solved(step, progress)
                    if step == first_step + 1:
                        jax.block_until_ready(metrics)
                        progress.start_clock(step)
                        self._report_first_step()
                    stopping = step == self.last_step
                    if jax.process_count() == 1 or step % training.log_every == 0:
                        stopping |= mesh_lib.any_process(stop.signal is not None)
                    is_best = False
                    for evaluated in self._evaluate(stepping, progress):
                        is_best = self.best.consider(evaluated)
                        stepping.state = self._after_validation(stepping.state, evaluated)
                        stopping |= self._is_stale()  # the same in all processes, as the scores are
                    if is_best or stopping or step % training.checkpoint_every == 0:
                        self._save(stepping, progress)
                    if stopping:
                        break
                self.checkpoints.wait()
        except TrainingError as error:
            self.checkpoints.wait()
            raise self._with_advice(error) from error
        finally:
            progress.close()
        return None if self._is_complete(stepping.step) else stop.signal

    def _report_first_step(self) -> None:
        seconds = time.perf_counter() - self.ready_at
        what = "first step" if self.solved is None else "solved"
        self.say(f"{what} after {seconds:.1f} s: {self.compilations.describe()}")

    def _evaluate(self, stepping: Stepping[TrainState], progress: Progress) -> list[Validation]:
        """Runs the evaluators that are due; returns the validations that choose the checkpoint."""
        step, setup = stepping.step, self.setup
        due = [
            evaluator
            for evaluator in EVALUATORS
            if step % evaluator.every(self.training) == 0 or step == self.steps
        ]
        if not due:
            return []
        progress.settle(step)
        progress.pause()
        variables = self._whole(stepping.state)
        chosen = []
        for evaluator in due:
            evaluated: Evaluated = evaluator.evaluate(
                setup.network, variables, setup.splits, setup.data.prepared
            )
            progress.write(step, evaluated.row)
            self.say(f"step {step}: {evaluated.line}")
            if evaluated.chooses is not None:
                chosen.append(Validation(step, *evaluated.chooses))
        progress.resume()
        return chosen

    def _after_validation(self, state: TrainState, validation: Validation) -> TrainState:
        """Tells the schedule `plateau` of a validation, unless it is one of the warm-up."""
        training = self.training
        if validation.step <= training.warmup_steps:
            return state
        before = training.learning_rate_scale(state)
        state = training.after_validation(state, validation.loss)
        now = training.learning_rate_scale(state)
        if now != before:
            optim = self.setup.config.optim
            waited = optim.plateau_patience
            self.say(
                f"step {validation.step}: the learning rate falls to {now * peak_lr(optim):.3g}, after "
                f"{waited} validation{'s' if waited > 1 else ''} without a lower loss"
            )
        return state

    def _save(self, stepping: Stepping[TrainState], progress: Progress) -> None:
        # So that a state that is no longer finite never replaces a good one.
        progress.settle(stepping.step)
        progress.pause()
        record = self.setup.record.with_log(progress.window())
        self.checkpoints.save(stepping.step, stepping.state, record.to_json(), self.best)
        progress.resume()

    def _evaluate_best(self) -> dict[str, dict[str, Any]]:
        best = self.checkpoints.best_step
        assert best is not None  # `_loop` always saves the last step
        setup, network = self.setup, self.setup.network
        variables = self.checkpoints.restore_variables(
            best, network.abstract_variables, ema=setup.config.ema_decay > 0
        )
        whole = network.whole(variables, self.frozen)
        run = Run(setup.places.workdir, network, whole, best, setup.record)
        opened = OpenRun(run, setup.data, setup.places)
        # Before the evaluations, which take the temperature from it.
        for line in judging.said_of([judging.Judge(establish(opened), setup.config.eval.views)]):
            self.say(line)
        workdir, results = setup.places.workdir, {}
        for name in self.evaluated:
            found = evaluate.predict_and_evaluate(opened, name)
            results[name] = found.result
            self.reported = Evaluation(
                workdir, name, found.result, [found], [workdir], opened=opened
            )
        return results

    def _with_advice(self, error: TrainingError) -> TrainingError:
        latest = self.checkpoints.latest_step
        checkpoint = (
            f"the checkpoint of step {latest:,} is kept" if latest else "there is no checkpoint yet"
        )
        optim = self.setup.config.optim
        clip = f"{optim.clip_norm:g}" if optim.clip_norm else "off"
        return TrainingError(
            f"{error}; {checkpoint} in {self.setup.places.workdir}\n"
            f"try a lower --config.optim.peak_lr (now {peak_lr(optim):g}), a longer warm-up, "
            f"or a lower --config.optim.clip_norm (now {clip}), in a new --workdir"
        )

    def _earlier_results(self) -> dict[str, dict[str, Any]]:
        """What was written before; {} if that is of another checkpoint, incomplete, or not there."""
        results: dict[str, dict[str, Any]] = {}
        if reliability.kept_step(self.setup.places.workdir) != self.checkpoints.best_step:
            return results  # the probabilities of later pictures would not be calibrated
        for name in self.evaluated:
            path = evaluate.folder_of(self.setup.places.workdir, name) / "metrics.json"
            try:
                result = json.loads(path.read_text())
                same_step = result["checkpoint_step"] == self.checkpoints.best_step
                own = self.setup.config.eval
                asked = {"views": own.views, "cluster_by": own.cluster_by}
                if not same_step or {name: result[name] for name in asked} != asked:
                    return {}
                report.report_lines(result)
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                return {}  # of another version of artjax, or damaged
            results[name] = result
        return results

    def _conclude(self, results: dict[str, dict[str, Any]]) -> None:
        step, workdir = self.checkpoints.best_step, self.setup.places.workdir
        if brief := switches.in_brief(self.setup.config):
            self.say(brief)
        if not is_solved(self.setup.config):  # there is one checkpoint, which nothing had to choose
            self.say(
                f"best checkpoint by validation: step {step:,} of {self.steps:,} ({self.best.reason()})"
            )
        for name, result in results.items():
            said = looks.lines(evaluate.folder_of(workdir, name))
            for line in [*report.report_lines(result), *said]:
                self.say(line)
        rows = [row for row in read_rows(workdir) if "train/top1" in row]
        pretrained = bool(self.setup.config.model.weights)
        for line in report.cautions(results, rows[-1] if rows else {}, pretrained):
            self.say(line)
        if self.held_back and whole_of(workdir) == workdir:
            self.say(looks.not_looked_at(workdir, "--split test"))
        self.say(f"results: {workdir / 'evaluation'}, curves: {workdir}/metrics.jsonl")
        if self.reported is None:
            return  # it was evaluated before
        self._note(history.FINISHED, self.checkpoints.latest_step or 0)
        # The page of a part is about all parts; of the trials of a search there is none.
        if wants_report(self.setup.config) and stands_alone(workdir):
            write_report(self.reported, self.say)
