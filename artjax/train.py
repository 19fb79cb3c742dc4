"""The loop: the only place where data, step, checkpoint and metrics meet."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import jax
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax import workdir as workdir_lib
from artjax.data import batches, canvases, sources
from artjax.data.canvases import Canvases, Split
from artjax.data.sources import Source
from artjax.errors import TrainingError
from artjax.evaluation import evaluate
from artjax.prepare.picture_decoding import SHORT_SIDE_PX
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import throughput
from artjax.runtime.compilation_cache import Watch
from artjax.startup_report import initial_loss, introduce
from artjax.training import memory
from artjax.training.checkpoint import Checkpoints, library_versions, score
from artjax.training.experiment import Experiment
from artjax.training.logs import Clock, Console, MetricsLog, Window
from artjax.training.state import TrainState

# How many steps the host may run ahead of the device; each holds its batch in device memory.
_STEPS_IN_FLIGHT = 16


@dataclass
class Outcome:
    """How a call of `train` ended.

    Attributes:
      step: number of steps done.
      finished: whether the run is complete and evaluated.
      signal: the signal that stopped it, or None.
      results: what `metrics.json` holds, by split, of a finished run.
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
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
) -> Outcome:
    """Trains, or goes on with, the run of a workdir, then evaluates its best checkpoint.

    Args:
      config: the configuration, with its collection.
      workdir: the run's folder; made if it is not there.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.
      devices: to train on; default: all of all hosts.
      stop_after_steps: saves and returns when this many steps are done in all, for trying things out:
        unlike `config.steps` it does not shape the schedule.

    Raises:
      ArtjaxError: for everything that the user can mend, before anything in the workdir is changed;
        `TrainingError` if the loss is no longer finite (the last good checkpoint is kept).
    """
    config_lib.check(config)
    mesh = mesh_lib.create_mesh(config.fsdp, devices)
    mesh_lib.check_batch_size(config.batch_size, mesh, config.accumulate)
    console = Console(enabled=mesh_lib.is_first_host())
    data = canvases.open_collection(config, data_dir, canvas_dir)
    if data.why_streamed:
        # Its pixels are others than those of canvases, so a run that began so goes on so.
        config = config.copy_and_resolve_references()
        config.source = "stream"
    features = config_lib.label_features(config)
    splits = {name: data.split(name, features) for name in evaluate.SPLITS}
    classes = {task: data.prepared.labels[feature] for task, feature in features.items()}
    numbers = {task: len(names) for task, names in classes.items()}
    train_works = len(splits["train"])
    if config.batch_size == 0:
        config = memory.with_batch_size_found(
            config, workdir, numbers, train_works, mesh, console.say
        )
    experiment = Experiment(config, numbers, train_works, mesh)
    source = sources.open_source(config, data, splits["train"], mesh, experiment.crop_boxes)
    with mesh_lib.first_host_first():
        workdir_lib.claim(workdir, config)

    checkpoints = Checkpoints(workdir)
    record = {
        "config": config.to_dict(),
        "classes": {task: list(names) for task, names in classes.items()},
        "collection": data.prepared.name,
        "version": data.prepared.version,
        "fingerprint": data.prepared.fingerprint,
        "data_dir": str(data_dir.absolute()),
        "canvas_dir": str(canvas_dir.absolute()) if canvas_dir else "",
        "train_works": len(splits["train"]),
        # So that `predict` scales a picture as the builder did.
        "short_side_px": data.prepared.metadata.get("short_side_px", SHORT_SIDE_PX),
        "versions": library_versions(),
    }
    try:
        return _Run(
            experiment,
            workdir,
            data,
            splits,
            source,
            record,
            checkpoints,
            console,
            stop_after_steps,
        ).run()
    finally:
        checkpoints.close()


class _Run:
    """One run from its first or next step to its evaluation."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        data: Canvases,
        splits: dict[str, Split],
        source: Source,
        record: dict[str, Any],
        checkpoints: Checkpoints,
        console: Console,
        stop_after_steps: int | None,
    ) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self.workdir = workdir
        self.data = data
        self.splits = splits
        self.source = source
        self.record = record
        self.checkpoints = checkpoints
        self.console = console
        self.steps = experiment.steps
        self.last_step = min(self.steps, stop_after_steps or self.steps)
        self.clock = Clock()
        self.window = Window()
        self.watch = Watch()
        self.made_at = time.perf_counter()  # data and canvases are there
        self.free_bytes: int | None = None
        self.pending: list[tuple[int, dict[str, jax.Array]]] = []

    def run(self) -> Outcome:
        introduce(
            self.experiment, self.data, self.splits, self.source, self.workdir, self.console.say
        )
        latest = self.checkpoints.latest_step
        if latest is not None:
            evaluate.check_same_data(
                self.workdir, self.checkpoints.record(latest), self.data.prepared
            )
        if latest == self.steps and (results := self._results()):
            self.console.say(f"this run is finished: {self.steps:,} of {self.steps:,} steps done")
            self._conclude(results)
            return Outcome(self.steps, finished=True, results=results)
        try:
            with self.watch:
                self._compile()
                step, state = self._resume_or_start(latest)
                step, signal_number = self._loop(step, state)
        except jax.errors.JaxRuntimeError as error:
            if not memory.is_out_of_memory(error):
                raise
            raise memory.too_large(self.experiment, self.free_bytes, None) from error
        if signal_number is not None or step < self.steps:
            why = f"stopped by {signal.Signals(signal_number).name}" if signal_number else "stopped"
            self.console.say(
                f"{why} at step {step:,} of {self.steps:,}, which is saved; the same command goes on "
                "from there"
            )
            return Outcome(step, finished=False, signal=signal_number)
        del state
        best = self.checkpoints.best_step
        assert best is not None  # the last step is always saved
        state = self.checkpoints.restore(best, self.experiment.abstract_state)
        restored = evaluate.Restored(self.experiment, state, best, self.record)
        results = {
            name: evaluate.evaluate_split(self.workdir, restored, self.data, name)
            for name in ("validation", "test")
        }
        self._conclude(results)
        return Outcome(step, finished=True, results=results)

    def _compile(self) -> None:
        """Compiles the step before anything is on the devices, so that one too large is told at once."""
        self.free_bytes = memory.free_bytes(self.experiment.mesh)
        self.console.say(memory.describe_estimate(self.experiment, self.free_bytes))
        compiled, self.train_step = self.experiment.compile_from(self.source)
        needed = memory.needed_bytes(compiled)
        if needed and self.free_bytes and needed > self.free_bytes:
            raise memory.too_large(self.experiment, self.free_bytes, needed)

    def _resume_or_start(self, latest: int | None) -> tuple[int, TrainState]:
        if latest is None:
            state = self.experiment.initial_state()
            self.console.say(initial_loss(self.experiment, state, self.splits["train"]))
            return 0, state
        self.console.say(f"going on from the checkpoint of step {latest:,}")
        self.window = Window(self.checkpoints.record(latest)["log"])
        return latest, self.checkpoints.restore(latest, self.experiment.abstract_state)

    def _loop(self, step: int, state: TrainState) -> tuple[int, int | None]:
        """Steps to the end, or to a signal; returns the steps done and the signal."""
        self.log = MetricsLog(self.workdir, step, enabled=mesh_lib.is_first_host())
        self.console.start(step, self.steps)
        best_score = self.checkpoints.best_score
        first_step, self.mark = step, (step, 0.0)
        feed = self.feed = batches.Timed(batches.prefetch(self.source.batch, step, self.last_step))
        try:
            with _StopSignal() as stop:
                for batch in feed:
                    state, metrics = self.train_step(state, batch)
                    step += 1
                    self.pending.append((step, metrics))
                    if step == first_step + 1:  # it was compiled: that is not training time
                        jax.block_until_ready(metrics)
                        self.start_time = time.perf_counter()
                        self.start_step, self.mark = step, (step, 0.0)
                        self.clock.run()
                        feed.seconds = 0.0
                        self.console.say(
                            f"first step after {self.start_time - self.made_at:.1f} s: "
                            f"{self.watch.describe()}"
                        )
                    log_every = self.experiment.log_every
                    if (step - 1) % log_every == 0 or len(self.pending) > _STEPS_IN_FLIGHT:
                        self._settle(step - 1)  # a step late, so that the device never waits

                    stopping = step == self.last_step
                    if jax.process_count() == 1 or step % log_every == 0:
                        stopping |= mesh_lib.any_host(stop.signal is not None)
                    validation: dict[str, float] = {}
                    if step % self.experiment.eval_every == 0 or step == self.steps:
                        validation = self._validate(step, state)
                    better = bool(validation) and score(validation) > best_score
                    if better or stopping or step % self.experiment.checkpoint_every == 0:
                        self._save(step, state, validation)
                    if better:
                        best_score = score(validation)
                    if stopping:
                        break
                self.checkpoints.wait()
        except TrainingError as error:
            self.checkpoints.wait()
            raise self._with_advice(error) from error
        finally:
            feed.close()
            self.log.close()
            self.console.close()
        return step, stop.signal if step < self.steps else None

    def _settle(self, step: int) -> None:
        """Reads the metrics of all steps up to `step`, and writes the rows that are due."""
        due = [(s, m) for s, m in self.pending if s <= step]
        self.pending = [(s, m) for s, m in self.pending if s > step]
        for s, metrics in jax.device_get(due):
            self.window.add(s, {name: float(value) for name, value in metrics.items()})
            if s % self.experiment.log_every == 0 or s == self.steps:
                self._write_row(s, float(metrics["learning_rate"]))

    def _write_row(self, step: int, learning_rate: float) -> None:
        means = self.window.means() | {"learning_rate": learning_rate}
        since_step, since_seconds = self.mark
        seconds = self.clock.seconds
        self.mark = (step, seconds)
        trained = max(seconds - since_seconds, 1e-9)
        rate = (step - since_step) * self.config.batch_size / trained
        waited, self.feed.seconds = self.feed.seconds, 0.0
        row = {
            "epoch": step / self.experiment.steps_per_epoch,
            **{f"train/{name}": value for name, value in means.items()},
            "perf/images_per_second": rate,
            "perf/data_wait": min(1.0, waited / trained),
            **throughput.row(
                self.experiment.mesh,
                self.experiment.dtype.name,
                rate,
                self.experiment.flops_per_image,
            ),
        }
        self.log.write(step, row)
        elapsed = time.perf_counter() - self.start_time
        seconds_left = elapsed / max(1, step - self.start_step) * (self.steps - step)
        self.console.progress(step, self.steps, row, seconds_left)

    def _validate(self, step: int, state: TrainState) -> dict[str, float]:
        self._settle(step)
        self.clock.pause()
        split, train = self.splits["validation"], self.splits["train"]
        predictions = evaluate.predict_split(self.experiment, state, split)
        tasks = evaluate.summarise(predictions, split, train, self.data.prepared)
        row = {
            "validation/loss": sum(numbers["loss"] for numbers in tasks.values()),
            "validation/top1": sum(numbers["top1"] for numbers in tasks.values()) / len(tasks),
        }
        if len(tasks) > 1:
            row |= {f"validation/{task}/top1": numbers["top1"] for task, numbers in tasks.items()}
        self.log.write(step, row)
        self.console.say(
            f"step {step}: validation loss {row['validation/loss']:.4f}, "
            f"top-1 {row['validation/top1']:.1%} on {len(split):,} works"
        )
        self.clock.run()
        return row

    def _save(self, step: int, state: TrainState, validation: dict[str, float]) -> None:
        self._settle(step)  # so that a state that is no longer finite never replaces a good one
        self.clock.pause()
        record = self.record | {"log": self.window.to_json()}
        self.checkpoints.save(step, state, record, validation)
        self.clock.run()

    def _with_advice(self, error: TrainingError) -> TrainingError:
        latest = self.checkpoints.latest_step
        kept = (
            f"the checkpoint of step {latest:,} is kept" if latest else "no checkpoint was due yet"
        )
        clip = self.config.optim.clip_norm
        return TrainingError(
            f"{error}; {kept} in {self.workdir}\n"
            f"try a lower --config.optim.peak_lr (now {self.config.optim.peak_lr:g}), a longer warm-up, "
            f"or a lower --config.optim.clip_norm (now {f'{clip:g}' if clip else 'off'}), "
            "in a new --workdir"
        )

    def _results(self) -> dict[str, dict[str, Any]]:
        results = {}
        for name in ("validation", "test"):
            path = self.workdir / "evaluation" / name / "metrics.json"
            if not path.is_file():
                return {}
            results[name] = json.loads(path.read_text())
        return results

    def _conclude(self, results: dict[str, dict[str, Any]]) -> None:
        step = results["test"]["checkpoint_step"]
        self.console.say(f"best checkpoint by validation: step {step:,} of {self.steps:,}")
        for result in results.values():
            for line in evaluate.report_lines(result):
                self.console.say(line)
        self.console.say(
            f"results: {self.workdir / 'evaluation'}, curves: {self.workdir}/metrics.jsonl"
        )


class _StopSignal:
    """Notes SIGINT and SIGTERM, so that the loop ends after its step; a second one ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> _StopSignal:
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
