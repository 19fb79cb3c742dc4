"""Trains a run, from its first or next step to its evaluation.

This module connects data, step, checkpoints and metrics.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh

from artjax import config as config_lib
from artjax import pretrained as pretrained_lib
from artjax import workdir as workdir_lib
from artjax.data import batches, canvases, sources
from artjax.data.canvases import Canvases, Split
from artjax.data.folds import fold_of
from artjax.data.sources import Choice, Source
from artjax.data.splits import SPLITS
from artjax.errors import TrainingError, WorkdirError
from artjax.evaluation import evaluate, report
from artjax.prepare.picture_decoding import SHORT_SIDE_PX
from artjax.pretrained import Pretrained
from artjax.runtime import locks
from artjax.runtime import mesh as mesh_lib
from artjax.runtime.compilation_cache import CompilationCounter
from artjax.runtime.resources import format_bytes
from artjax.startup_report import initial_loss, introduce, trunk_health
from artjax.training import frozen as frozen_lib
from artjax.training import memory, switches
from artjax.training.best import BestSoFar, Validation, standard_error
from artjax.training.checkpoint import Checkpoints, library_versions
from artjax.training.checks import check_config
from artjax.training.experiment import Experiment, TrainStep, bytes_on_each_device
from artjax.training.logs import Console, read_rows
from artjax.training.losses import class_counts
from artjax.training.optim import peak_lr, with_peak_lr
from artjax.training.progress import Progress
from artjax.training.state import TrainState, variables_of
from artjax.training.stop_signal import StopSignal

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
    workdir: Path,
    data_dir: Path,
    *,
    canvas_dir: Path | None = None,
    feature_dir: Path | None = None,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
    evaluated: Sequence[str] = ("validation", "test"),
) -> Outcome:
    """Trains or resumes the run of a workdir, then evaluates its best checkpoint.

    Args:
      config: the configuration, with its collection.
      workdir: the run's folder; it is created if it does not exist.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.
      feature_dir: the folder for features; default `data_dir/features`.
      devices: the devices to train on; default: all devices of all processes.
      stop_after_steps: save and return after this total number of steps, to try things out. Unlike
        `config.steps` it does not change the schedule.
      evaluated: the splits on which the best checkpoint of a finished run is evaluated.

    Raises:
      ArtjaxError: for an error that the user can fix, before anything in the workdir changes.
      TrainingError: if the loss is no longer finite (the last good checkpoint is kept), or a step does
        not fit in memory.
    """
    check_config(config)
    config = with_peak_lr(config)
    mesh = mesh_lib.create_mesh(config.fsdp, devices)
    mesh_lib.check_batch_size(config.batch_size, mesh, config.accumulate)
    console = Console(enabled=mesh_lib.is_first_process())
    setup = set_up(config, workdir, data_dir, canvas_dir, feature_dir, mesh, console)
    with ExitStack() as stack:
        with mesh_lib.first_process_first():
            if mesh_lib.is_first_process():
                stack.enter_context(locks.only_process(workdir, "training"))
            workdir_lib.claim(workdir, setup.experiment.config, evaluate.recorded_config(workdir))
        checkpoints = stack.enter_context(closing(Checkpoints(workdir)))
        return _Run(setup, checkpoints, stop_after_steps, evaluated).run()


@dataclass(frozen=True)
class Setup:
    """The components of a run.

    Attributes:
      experiment: model, optimizer and compiled steps.
      workdir: the run's folder.
      data: the collection.
      splits: its splits, by name.
      choice: the source of the training batches, and what it takes.
      record: the record of each checkpoint, plain JSON.
      console: prints lines and the progress bar.
      pretrained: the weights that a new run starts from; None for one from scratch, or resumed.
    """

    experiment: Experiment
    workdir: Path
    data: Canvases
    splits: dict[str, Split]
    choice: Choice
    record: dict[str, Any]
    console: Console
    pretrained: Pretrained | None = None

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The pretrained weights by path; empty for a run from scratch."""
        return self.pretrained.arrays if self.pretrained else {}

    def initial_state(self) -> TrainState:
        """The state of a new run at step 0, with its pretrained weights."""
        state, arrays = self.experiment.initial_state(), self.arrays
        if not arrays:
            return state
        variables = self.experiment.with_arrays(
            variables_of(state.params, state.model_state), arrays
        )
        params = variables.pop("params")
        ema = None if state.ema is None else self.experiment.with_arrays(state.ema, arrays)
        return state.replace(params=params, model_state=variables, ema=ema)

    def initial_frozen(self) -> dict[str, Any]:
        """The frozen variables of a new run; `{}` if it trains everything."""
        if not self.experiment.abstract_frozen:
            return {}
        return self.experiment.with_arrays(self.experiment.initial_frozen(), self.arrays)

    def open_source(self) -> tuple[Source, dict[str, Split], Choice]:
        """Opens the source of the batches. With `features.views` they hold features, computed here.

        Returns:
          The source, the splits as evaluation reads them, and what was chosen.
        """
        experiment, splits, choice = self.experiment, self.splits, self.choice
        config, train = experiment.config, splits["train"]
        if config.features.views:
            features = evaluate.features_of(experiment, self.record, self.data)
            assert features is not None
            splits = {name: features.seen(split) for name, split in splits.items()}
            train = features.views(train, config.features.views)
            choice = sources.choose_for(config, self.data, train, experiment.mesh)
            self.console.say(
                f"features: {format_bytes(train.images.nbytes)} for {config.features.views} views of "
                f"train, computed once up to {experiment.boundary}, in {features.directory}"
            )
        source = sources.open_source(config, train, experiment.mesh, experiment.crop_boxes, choice)
        return source, splits, choice


def set_up(
    config: ConfigDict,
    workdir: Path,
    data_dir: Path,
    canvas_dir: Path | None,
    feature_dir: Path | None,
    mesh: Mesh,
    console: Console,
) -> Setup:
    """Opens the data and builds the experiment. Does not change the workdir."""
    weights = pretrained_lib.open_source(config, workdir)
    config = pretrained_lib.with_model_found(config, weights, workdir)
    check_config(config)
    if weights is not None:
        weights.check(config)
    request = canvases.Request(**config_lib.collection_settings(config))
    data = canvases.open_collection(request, data_dir, canvas_dir)
    if data.why_streamed:
        # Streamed pixels differ from those of canvases, so a streamed run must stay streamed.
        config = config.copy_and_resolve_references()
        config.source = "stream"
    if config.folds:
        data = fold_of(data, config.folds, config.fold)
    features = request.label_features
    splits = {name: data.split(name, features) for name in SPLITS}
    classes = {task: data.prepared.labels[feature] for task, feature in features.items()}
    numbers = {task: len(names) for task, names in classes.items()}
    train_works = len(splits["train"])
    counts = class_counts(splits["train"].labels, numbers)
    choice = sources.choose_for(config, data, splits["train"], mesh)
    if config.batch_size == 0:
        config = memory.with_batch_size_found(
            config, workdir, numbers, train_works, mesh, choice, console.say, counts
        )
    config, warnings = pretrained_lib.with_preprocessing(config, weights, workdir)
    experiment = Experiment(config, numbers, train_works, mesh, counts)
    pretrained = weights.for_run(experiment, classes) if weights else None
    lines = [pretrained_lib.describe(pretrained)] if pretrained else []
    for line in (*lines, *warnings):
        console.say(line)
    record = {
        "config": config.to_dict(),
        "classes": {task: list(names) for task, names in classes.items()},
        "collection": data.prepared.name,
        "version": data.prepared.version,
        "fingerprint": data.prepared.fingerprint,
        "data_dir": str(data_dir.absolute()),
        "canvas_dir": str(canvas_dir.absolute()) if canvas_dir else "",
        "feature_dir": str(feature_dir.absolute()) if feature_dir else "",
        "train_works": train_works,
        # `predict` scales images to the same size as the builder did.
        "short_side_px": data.prepared.metadata.get("short_side_px", SHORT_SIDE_PX),
        "versions": library_versions(),
        "pretrained": pretrained.origin if pretrained else {},
    }
    return Setup(experiment, workdir, data, splits, choice, record, console, pretrained)


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
        self.evaluated = evaluated
        self.experiment = setup.experiment
        self.say = setup.console.say
        self.checkpoints = checkpoints
        self.steps = self.experiment.steps
        self.last_step = min(self.steps, stop_after_steps or self.steps)
        self.best = BestSoFar(self.experiment.warmup_steps)
        self.compilations = CompilationCounter()
        self.ready_at = time.perf_counter()  # data and canvases are ready
        self.free_bytes: int | None = None
        self.splits = setup.splits
        self.choice = setup.choice
        self.source: Source | None = None

    def run(self) -> Outcome:
        setup = self.setup
        introduce(self.experiment, setup.data, setup.splits, setup.choice, setup.workdir, self.say)
        latest, record = self._newest(self.checkpoints.record)
        if latest is not None:
            evaluate.check_same_data(setup.workdir, record, setup.data.prepared)
            setup.record["pretrained"] = record.get("pretrained", {})
        self._set_frozen(new=latest is None)
        self.best = self.checkpoints.best_so_far(self.experiment.warmup_steps)
        if latest is not None and self._is_complete(latest):
            why = self._why_stopped_early(latest)
            done = f"{latest:,} of {self.steps:,} steps done"
            self.say(f"this run is finished: {why or done}")
            results = self._earlier_results() or self._evaluate_best()
            self._conclude(results)
            return Outcome(latest, finished=True, results=results)
        self.source, self.splits, self.choice = setup.open_source()
        try:
            with self.compilations:
                train_step = self._compile()
                step, state, progress = self._resume_or_start()
                step, signal_number = self._loop(train_step, step, state, progress)
        except jax.errors.JaxRuntimeError as error:
            if not memory.is_out_of_memory(error):
                raise
            raise memory.too_large(self.experiment, self.choice, self.free_bytes, None) from error
        if not self._is_complete(step):
            why = f"stopped by {signal.Signals(signal_number).name}" if signal_number else "stopped"
            self.say(
                f"{why} at step {step:,} of {self.steps:,}, and saved a checkpoint; the same command "
                "resumes from it"
            )
            return Outcome(step, finished=False, signal=signal_number)
        del state
        if why := self._why_stopped_early(step):
            self.say(why)
        results = self._evaluate_best()
        self._conclude(results)
        return Outcome(step, finished=True, results=results)

    def _is_complete(self, step: int) -> bool:
        return step == self.steps or self._is_stale()

    def _is_stale(self) -> bool:
        """Whether early stopping ends the run: the best checkpoint has not changed for too long."""
        return 0 < self.experiment.config.early_stop_patience <= self.best.since_best

    def _why_stopped_early(self, step: int) -> str:
        """The reason in words; empty if the run went to its end."""
        if step == self.steps or self.best.best is None:
            return ""
        return (
            f"stopped early at step {step:,} of {self.steps:,}: no better validation since step "
            f"{self.best.best.step:,}"
        )

    def _set_frozen(self, new: bool) -> None:
        """Puts the frozen variables on the devices; a new run writes them to its workdir."""
        experiment, workdir = self.experiment, self.setup.workdir
        if not experiment.abstract_frozen:
            return
        if new:
            frozen_lib.save(workdir, self.setup.initial_frozen())
        experiment.frozen = frozen_lib.load(workdir, experiment)

    def _compile(self) -> TrainStep:
        """Compiles the step before the state is allocated, to report early that it is too large."""
        experiment, choice = self.experiment, self.choice
        assert self.source is not None
        free = self.free_bytes = memory.free_bytes(experiment.mesh)
        self.say(memory.describe_estimate(experiment, choice, free))
        compiled, train_step = experiment.compile_from(self.source)
        needed = memory.needed_bytes(compiled)
        if needed is not None:
            # The canvases are arguments of the step, but no longer in the free memory.
            needed += memory.waiting_bytes(experiment, choice)
            needed -= bytes_on_each_device(self.source.works)
        if needed and free and needed > free:
            raise memory.too_large(experiment, choice, free, needed)
        return train_step

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

    def _resume_or_start(self) -> tuple[int, TrainState, Progress]:
        experiment, setup = self.experiment, self.setup
        latest, state = self._newest(
            lambda step: self.checkpoints.restore(step, experiment.abstract_state)
        )
        if latest is None:
            state, saved_window = self.setup.initial_state(), None
            self.say(initial_loss(experiment, state, self.splits["train"]))
            if setup.pretrained is not None:
                for line in trunk_health(experiment, state, setup.splits["train"]):
                    self.say(line)
        else:
            self.say(f"resuming from the checkpoint of step {latest:,}")
            saved_window = self.checkpoints.record(latest)["log"]
        self.best = self.checkpoints.best_so_far(experiment.warmup_steps)
        step = latest or 0
        return step, state, Progress(experiment, setup.workdir, setup.console, step, saved_window)

    def _loop(
        self, train_step: TrainStep, step: int, state: TrainState, progress: Progress
    ) -> tuple[int, int | None]:
        """Trains to the end, or to a signal. Returns the number of steps done, and the signal."""
        experiment, source = self.experiment, self.source
        assert source is not None
        first_step = step
        feed = batches.Timed(batches.prefetch(source.batch, step, self.last_step))
        try:
            with StopSignal() as stop:
                for batch in feed:
                    state, metrics = train_step(state, batch)
                    step += 1
                    progress.add(step, metrics, feed.take_seconds())
                    if step == first_step + 1:
                        jax.block_until_ready(metrics)
                        progress.start_clock(step)
                        self._report_first_step()
                    stopping = step == self.last_step
                    if jax.process_count() == 1 or step % experiment.log_every == 0:
                        stopping |= mesh_lib.any_process(stop.signal is not None)
                    is_best = False
                    if step % experiment.eval_every == 0 or step == self.steps:
                        validation = self._validate(step, state, progress)
                        is_best = self.best.consider(validation)
                        state = self._after_validation(state, validation)
                        stopping |= self._is_stale()  # the same in all processes, as the scores are
                    if is_best or stopping or step % experiment.checkpoint_every == 0:
                        self._save(step, state, progress)
                    if stopping:
                        break
                self.checkpoints.wait()
        except TrainingError as error:
            self.checkpoints.wait()
            raise self._with_advice(error) from error
        finally:
            feed.close()
            progress.close()
        return step, None if self._is_complete(step) else stop.signal

    def _report_first_step(self) -> None:
        seconds = time.perf_counter() - self.ready_at
        self.say(f"first step after {seconds:.1f} s: {self.compilations.describe()}")

    def _validate(self, step: int, state: TrainState, progress: Progress) -> Validation:
        progress.settle(step)
        progress.pause()
        split, train = self.splits["validation"], self.splits["train"]
        predictions = evaluate.predict_split(self.experiment, state.variables, split)
        tasks = evaluate.summarise(predictions, split, train, self.setup.data.prepared)
        row = {
            "validation/loss": sum(numbers["loss"] for numbers in tasks.values()),
            "validation/top1": sum(numbers["top1"] for numbers in tasks.values()) / len(tasks),
        }
        if len(tasks) > 1:
            row |= {f"validation/{task}/top1": numbers["top1"] for task, numbers in tasks.items()}
        progress.write(step, row)
        self.say(
            f"step {step}: validation loss {row['validation/loss']:.4f}, "
            f"top-1 {row['validation/top1']:.1%} on {len(split):,} works"
        )
        progress.resume()
        error = standard_error({task: (row["top1"], row["n"]) for task, row in tasks.items()})
        return Validation(step, row["validation/top1"], row["validation/loss"], error)

    def _after_validation(self, state: TrainState, validation: Validation) -> TrainState:
        """Tells the schedule `plateau` of a validation, unless it is one of the warm-up."""
        experiment = self.experiment
        if validation.step <= experiment.warmup_steps:
            return state
        before = experiment.learning_rate_scale(state)
        state = experiment.after_validation(state, validation.loss)
        now = experiment.learning_rate_scale(state)
        if now != before:
            optim = experiment.config.optim
            waited = optim.plateau_patience
            self.say(
                f"step {validation.step}: the learning rate falls to {now * peak_lr(optim):.3g}, after "
                f"{waited} validation{'s' if waited > 1 else ''} without a lower loss"
            )
        return state

    def _save(self, step: int, state: TrainState, progress: Progress) -> None:
        progress.settle(step)  # so that a state that is no longer finite never replaces a good one
        progress.pause()
        record = self.setup.record | {"log": progress.window()}
        self.checkpoints.save(step, state, record, self.best)
        progress.resume()

    def _evaluate_best(self) -> dict[str, dict[str, Any]]:
        best = self.checkpoints.best_step
        assert best is not None  # `_loop` always saves the last step
        variables = self.checkpoints.restore_variables(best, self.experiment.abstract_state)
        restored = evaluate.Restored(self.experiment, variables, best, self.setup.record)
        return {
            name: evaluate.evaluate_split(self.setup.workdir, restored, self.setup.data, name)
            for name in self.evaluated
        }

    def _with_advice(self, error: TrainingError) -> TrainingError:
        latest = self.checkpoints.latest_step
        checkpoint = (
            f"the checkpoint of step {latest:,} is kept" if latest else "there is no checkpoint yet"
        )
        optim = self.experiment.config.optim
        clip = f"{optim.clip_norm:g}" if optim.clip_norm else "off"
        return TrainingError(
            f"{error}; {checkpoint} in {self.setup.workdir}\n"
            f"try a lower --config.optim.peak_lr (now {peak_lr(optim):g}), a longer warm-up, "
            f"or a lower --config.optim.clip_norm (now {clip}), in a new --workdir"
        )

    def _earlier_results(self) -> dict[str, dict[str, Any]]:
        results = {}
        for name in self.evaluated:
            path = self.setup.workdir / "evaluation" / name / "metrics.json"
            result = json.loads(path.read_text()) if path.is_file() else {}
            same_step = result.get("checkpoint_step") == self.checkpoints.best_step
            if not same_step or result.get("views", 1) != self.experiment.config.eval.views:
                return {}  # of another checkpoint or other views, or not there
            results[name] = result
        return results

    def _conclude(self, results: dict[str, dict[str, Any]]) -> None:
        step = self.checkpoints.best_step
        if brief := switches.in_brief(self.experiment.config):
            self.say(brief)
        self.say(
            f"best checkpoint by validation: step {step:,} of {self.steps:,} ({self.best.reason()})"
        )
        for result in results.values():
            for line in report.report_lines(result):
                self.say(line)
        rows = [row for row in read_rows(self.setup.workdir) if "train/top1" in row]
        for line in report.cautions(results, rows[-1] if rows else {}):
            self.say(line)
        workdir = self.setup.workdir
        self.say(f"results: {workdir / 'evaluation'}, curves: {workdir}/metrics.jsonl")
