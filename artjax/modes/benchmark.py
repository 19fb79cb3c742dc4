"""Measures the training speed of this machine: step alone, data alone, and the whole loop."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax.data import batches, canvases, sources
from artjax.data.sources import Source
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import throughput
from artjax.train import train
from artjax.training import memory
from artjax.training.checks import check_config
from artjax.training.experiment import Experiment
from artjax.training.logs import read_rows
from artjax.training.losses import class_counts
from artjax.workdir import write_atomically

# For each of the three measurements, so that all take about a minute, plus compilation.
SECONDS = 15.0
_MIN_STEPS = 3
_MAX_STEPS = 500
# A source that is this much faster than the step makes it wait only now and then.
_CLEARLY_FASTER = 1.2


def benchmark(
    config: ConfigDict,
    workdir: Path,
    data_dir: Path,
    canvas_dir: Path | None = None,
    *,
    seconds: float = SECONDS,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measures images per second. It writes only `benchmark.json` to the workdir.

    Args:
      config: the configuration, with its collection.
      workdir: the folder of the run; it need not exist.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.
      seconds: duration of each of the three measurements.
      say: prints a line.

    Returns:
      The contents of `benchmark.json`. In images per second: `step` (the same batch each time, already
      on the devices), `data` (batches put on the devices, without training) and `loop` (training with
      logs). `bound`: the bottleneck, `compute`, `input` or `loop`. Also the verdict, the devices and the
      configuration.

    Raises:
      ConfigError: if the configuration is invalid, or an automatic batch size does not fit.
    """
    check_config(config)
    config = config.copy_and_resolve_references()
    config.features.views = 0  # measured is a step that computes everything
    mesh = mesh_lib.create_mesh(config.fsdp)
    mesh_lib.check_batch_size(config.batch_size, mesh, config.accumulate)
    data = canvases.open_collection(
        canvases.Request(**config_lib.collection_settings(config)), data_dir, canvas_dir
    )
    split = data.split("train", config_lib.label_features(config))
    classes = {
        task: len(data.prepared.labels[feature])
        for task, feature in config_lib.label_features(config).items()
    }
    counts = class_counts(split.labels, classes)
    choice = sources.choose_for(config, data, split, mesh)
    if config.batch_size == 0:
        config = memory.with_batch_size_found(
            config, workdir, classes, len(split), mesh, choice, say, counts
        )
    experiment = Experiment(config, classes, len(split), mesh, counts)
    experiment.frozen = experiment.initial_frozen() if experiment.abstract_frozen else {}
    say(
        f"{config.model.name} at {config.image_size} px, batches of {config.batch_size}, "
        f"{mesh_lib.describe(mesh)}, activations in {experiment.dtype.name}"
    )
    source = sources.open_source(config, split, mesh, experiment.crop_boxes, choice)
    say(f"source: {source.name} ({source.why})")
    step_rate = _step_rate(experiment, source, seconds)
    numbers = throughput.row(mesh, experiment.dtype.name, step_rate, experiment.flops_per_image)
    peak = throughput.peak_of(mesh.devices.flat[0].device_kind, experiment.dtype.name)
    mfu = (
        f", {numbers['perf/mfu']:.0%} of the peak of {peak.tflops_per_second:g} ({peak.source})"
        if peak
        else ""
    )
    say(
        f"step: {step_rate:,.0f} images/s ({numbers['perf/tflops_per_second']:.3g} TFLOP/s{mfu}), "
        "with one batch that stays on the devices"
    )
    data_rate = _data_rate(source.batch, config.batch_size, seconds)
    say(f"data: {data_rate:,.0f} images/s put on the devices, without training")
    steps = min(max(round(step_rate * seconds / config.batch_size), _MIN_STEPS), _MAX_STEPS)
    loop_rate = _loop_rate(experiment, data_dir, canvas_dir, steps)
    say(f"loop: {loop_rate:,.0f} images/s in training, with logs")
    bound, verdict = judge(step_rate, data_rate, loop_rate)
    say(verdict)
    result = {
        "step": step_rate,
        "data": data_rate,
        "loop": loop_rate,
        "bound": bound,
        "verdict": verdict,
        "devices": mesh_lib.describe(mesh),
        "config": config.to_dict(),
    }
    write_atomically(workdir / "benchmark.json", json.dumps(result, indent=2) + "\n")
    say(f"written to {workdir / 'benchmark.json'}")
    return result


def judge(step: float, data: float, loop: float) -> tuple[str, str]:
    """Returns the bottleneck (`compute`, `input` or `loop`) and a sentence that explains it.

    Args:
      step: images per second of the step alone.
      data: images per second of the data alone.
      loop: images per second of the whole loop.
    """
    if data < _CLEARLY_FASTER * step:
        return "input", (
            f"the run is input-bound: the data is {data / step:.2f} times as fast as the step; keep "
            "the canvases on a faster disk or in memory, or train a larger network"
        )
    if loop < step / _CLEARLY_FASTER:
        return "loop", (
            f"the run is bound by the loop: it has {loop / step:.0%} of the speed of the step, although "
            f"the data is {data / step:.1f} times as fast; use a larger batch or a larger "
            "--config.log_every"
        )
    return "compute", (
        f"the run is compute-bound: the data is {data / step:.1f} times as fast as the step, and the "
        f"loop has {loop / step:.0%} of its speed; only a faster device or a smaller network helps"
    )


def _step_rate(experiment: Experiment, source: Source, seconds: float) -> float:
    batch = source.batch(0)
    _, train_step = experiment.compile_from(source)
    state, metrics = train_step(experiment.initial_state(), batch)
    jax.block_until_ready(metrics)
    start, steps = time.perf_counter(), 0
    while steps < _MIN_STEPS or time.perf_counter() - start < seconds:
        previous = metrics
        state, metrics = train_step(state, batch)
        jax.block_until_ready(previous)  # only one step ahead, or the clock would stop too late
        steps += 1
    jax.block_until_ready(metrics)
    return steps * experiment.config.batch_size / (time.perf_counter() - start)


def _data_rate(
    batch: Callable[[int], dict[str, jax.Array]], batch_size: int, seconds: float
) -> float:
    feed = batches.prefetch(batch, 0, 10**9)
    jax.block_until_ready(next(feed))
    start, steps = time.perf_counter(), 0
    for arrays in feed:
        jax.block_until_ready(arrays)
        steps += 1
        if steps >= _MIN_STEPS and time.perf_counter() - start > seconds:
            break
    feed.close()
    return steps * batch_size / (time.perf_counter() - start)


def _loop_rate(
    experiment: Experiment, data_dir: Path, canvas_dir: Path | None, steps: int
) -> float:
    """Trains like the run, but without validations and in a temporary folder."""
    config = config_lib.with_batch_size(experiment.config, experiment.config.batch_size)
    # The schedule is that of the whole run, so the program is already compiled.
    last = max(2, min(steps + 1, experiment.steps - 1))
    config.eval_every = config.checkpoint_every = 2 * experiment.steps
    config.log_every = min(experiment.log_every, max(1, last // 2))
    with (
        tempfile.TemporaryDirectory(prefix="artjax-benchmark-") as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        train(config, Path(folder), data_dir, canvas_dir=canvas_dir, stop_after_steps=last)
        rows = [row for row in read_rows(Path(folder)) if "perf/images_per_second" in row]
    rates = [row["perf/images_per_second"] for row in rows if row["step"] > 1]
    # All rows have the same number of steps, so their mean speed is the harmonic mean.
    return len(rates) / sum(1 / rate for rate in rates) if rates else 0.0
