"""Measures the training speed of this machine: step alone, data alone, and the whole loop."""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.sources import Source
from artjax.files import json_text, write_results
from artjax.modes.command import Command
from artjax.places import Places
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import throughput
from artjax.setup import Setup, open_setup
from artjax.train import train
from artjax.training.logs import read_rows
from artjax.training.stepping import Stepping

# For each of the three measurements, so that all take about a minute, plus compilation.
SECONDS = 15.0
_MIN_STEPS = 3
_MAX_STEPS = 500
# A source that is this much faster than the step makes it wait only now and then.
_CLEARLY_FASTER = 1.2


def run(command: Command) -> int:
    """`--mode benchmark`."""
    benchmark(*command.config_and_places())
    print(command.next("train"))
    return 0


def benchmark(
    config: ConfigDict,
    places: Places,
    *,
    seconds: float = SECONDS,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measures images per second. It writes only `benchmark.json` to the workdir.

    Args:
      config: the configuration, with its collection.
      places: the folders; the workdir need not exist.
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
    # Measured is a step that computes everything.
    config = config_lib.changed(config, {"features.views": 0})
    setup = open_setup(config, places, mode="benchmark", say=say)
    with setup.within_memory():
        return _measure(setup, seconds, say)


def _measure(setup: Setup, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    config, network, mesh = setup.config, setup.network, setup.network.mesh
    say(
        f"{config.model.name} at {config.image_size} px, batches of {config.batch_size}, "
        f"{mesh_lib.describe(mesh)}, activations in {network.dtype.name}"
    )
    source = setup.open_source()
    say(f"source: {source.name} ({source.why})")
    step_rate = _step_rate(setup, source, seconds)
    flops = setup.training.flops_per_image
    numbers = throughput.row(mesh, network.dtype.name, step_rate, flops)
    peak = throughput.peak_of(mesh.devices.flat[0].device_kind, network.dtype.name)
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
    loop_rate = _loop_rate(setup, steps)
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
    workdir = setup.places.workdir
    write_results(workdir, {"benchmark.json": json_text(result)})
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


def _step_rate(setup: Setup, source: Source, seconds: float) -> float:
    train_step = setup.compile(source, frozen := setup.initial_frozen())
    del frozen  # the compiled step holds it
    batch = source.batch(0)
    stepping = Stepping(train_step, setup.initial_state(), itertools.repeat(batch))
    steps = iter(stepping)
    jax.block_until_ready(previous := next(steps))
    start = time.perf_counter()
    for metrics in steps:
        jax.block_until_ready(previous)  # only one step ahead, or the clock would stop too late
        previous = metrics
        if stepping.step > _MIN_STEPS and time.perf_counter() - start >= seconds:
            break
    jax.block_until_ready(previous)
    return (stepping.step - 1) * setup.config.batch_size / (time.perf_counter() - start)


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


def _loop_rate(setup: Setup, steps: int) -> float:
    """Trains like the run, but without validations and in a temporary folder."""
    training = setup.training
    # The schedule is that of the whole run, so the program is already compiled.
    last = max(2, min(steps + 1, training.steps - 1))
    config = config_lib.changed(
        setup.config,
        {
            "eval_every": 2 * training.steps,
            "checkpoint_every": 2 * training.steps,
            "log_every": min(training.log_every, max(1, last // 2)),
        },
    )
    with (
        tempfile.TemporaryDirectory(prefix="artjax-benchmark-") as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        train(config, setup.places.with_workdir(Path(folder)), stop_after_steps=last)
        rows = [row for row in read_rows(Path(folder)) if "perf/images_per_second" in row]
    rates = [row["perf/images_per_second"] for row in rows if row["step"] > 1]
    # All rows have the same number of steps, so their mean speed is the harmonic mean.
    return len(rates) / sum(1 / rate for rate in rates) if rates else 0.0
