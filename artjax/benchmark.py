"""How fast this machine trains, and what limits it: step, data and whole loop, each by itself."""

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
from artjax.workdir import write_atomically

# Of each of the three, after one that does not count; a minute in all, beside compiling.
SECONDS = 15.0
_FEWEST_STEPS = 3
_MOST_STEPS = 500
# A source that is this much faster than the step is waited for now and then, but limits nothing.
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
    """Measures images per second, and writes `benchmark.json` into the workdir and nothing else.

    Args:
      config: the configuration, with its collection.
      workdir: of the run that is asked about; it need not be there.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.
      seconds: spent on each of the three measurements.
      say: takes each line.

    Returns:
      What was written: `step` (one batch that stays on the devices), `data` (batches put on the devices
      and used for nothing), `loop` (training, logs included), in images per second; `limits`, `step`,
      `data` or `loop`; and the devices.

    Raises:
      ConfigError: if the configuration cannot be meant, or no batch size fits where it is left open.
    """
    check_config(config)
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
    if config.batch_size == 0:
        config = memory.with_batch_size_found(config, workdir, classes, len(split), mesh, say)
    experiment = Experiment(config, classes, len(split), mesh)
    say(
        f"{config.model.name} at {config.image_size} px, {config.batch_size} works a step, "
        f"{mesh_lib.describe(mesh)}, activations in {experiment.dtype.name}"
    )
    source = sources.open_source(config, data, split, mesh, experiment.crop_boxes)
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
    say(f"data: {data_rate:,.0f} images/s put on the devices, and used for nothing")
    steps = min(max(round(step_rate * seconds / config.batch_size), _FEWEST_STEPS), _MOST_STEPS)
    loop_rate = _loop_rate(experiment, data_dir, canvas_dir, steps)
    say(f"loop: {loop_rate:,.0f} images/s in training, logs included")
    limits, verdict = judge(step_rate, data_rate, loop_rate)
    say(verdict)
    result = {
        "step": step_rate,
        "data": data_rate,
        "loop": loop_rate,
        "limits": limits,
        "verdict": verdict,
        "devices": mesh_lib.describe(mesh),
        "config": config.to_dict(),
    }
    write_atomically(workdir / "benchmark.json", json.dumps(result, indent=2) + "\n")
    say(f"written to {workdir / 'benchmark.json'}")
    return result


def judge(step: float, data: float, loop: float) -> tuple[str, str]:
    """What limits the loop (`step`, `data` or `loop` itself), and the verdict in words."""
    if data < _CLEARLY_FASTER * step:
        return "data", (
            f"the data limits: it comes at {data / step:.2f} times the speed of the step; keep the "
            "canvases on a faster disk or in memory, or take a larger network"
        )
    if loop < step / _CLEARLY_FASTER:
        return "loop", (
            f"the loop limits: it reaches {loop / step:.0%} of the bare step though data comes "
            f"{data / step:.1f} times as fast; a larger batch, or a larger --config.log_every, helps"
        )
    return "step", (
        f"the step limits: data comes {data / step:.1f} times as fast, and the loop reaches "
        f"{loop / step:.0%} of the bare step; only a faster device or a smaller network helps"
    )


def _step_rate(experiment: Experiment, source: Source, seconds: float) -> float:
    batch = source.batch(0)
    _, train_step = experiment.compile_from(source)
    state, metrics = train_step(experiment.initial_state(), batch)
    jax.block_until_ready(metrics)
    start, steps = time.perf_counter(), 0
    while steps < _FEWEST_STEPS or time.perf_counter() - start < seconds:
        previous = metrics
        state, metrics = train_step(state, batch)
        jax.block_until_ready(previous)  # a step ahead, no more: the clock would stop too late
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
        if steps >= _FEWEST_STEPS and time.perf_counter() - start > seconds:
            break
    feed.close()
    return steps * batch_size / (time.perf_counter() - start)


def _loop_rate(
    experiment: Experiment, data_dir: Path, canvas_dir: Path | None, steps: int
) -> float:
    """Trains in a folder that is thrown away; as the run would, but without validations."""
    config = config_lib.with_batch_size(experiment.config, experiment.config.batch_size)
    # The schedule stays the run's own, and with it the program, which is compiled already.
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
    # Rows are of equally many steps, so that their times add up.
    return len(rates) / sum(1 / rate for rate in rates) if rates else 0.0
