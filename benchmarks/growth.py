"""How cost grows with the batch size, the picture size, the devices and the works.

    python benchmarks/growth.py --json growth.json
    python benchmarks/growth.py --batches 32 64 --sizes 64 --devices 1 --works 1000

The step is the whole training step, on canvases that are already on the devices. The points of a table
take turns, and the median of the rounds counts. On a CPU the devices are threads of the same cores,
and each number of devices has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import common
import flax
import jax
import numpy as np
from timed_step import TimedStep, config_of

from artjax.config import canvas_size
from artjax.data import batches
from artjax.data.works import Split
from artjax.runtime.mesh import batch_sharding, create_mesh, describe

_FETCHED = 30  # batches; nearly all of them are of the same epoch


class StepsElsewhere(common.Worker):
    """A `TimedStep` on a number of CPU devices, in a process of its own."""

    def __init__(self, devices: int, model: str, image_size: int, batch_size: int) -> None:
        count = f"--xla_force_host_platform_device_count={devices}"
        flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {count}"}
        job = [model, str(image_size), str(batch_size)]
        super().__init__(
            [sys.executable, __file__, "--serve", *job], flags | {"JAX_PLATFORMS": "cpu"}
        )
        self.needed_bytes = json.loads(self.greeting)
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def step(self) -> None:
        """Times one more step."""
        seconds, cpu_seconds = json.loads(self.ask("step"))
        self.seconds.append(seconds)
        self.cpu_seconds.append(cpu_seconds)


def start_steps(model: str, image_size: str, batch_size: str) -> tuple[str, Callable[[str], str]]:
    """The process of `StepsElsewhere`: greets with the bytes that a step needs on each device."""
    timed = TimedStep(config_of(model, int(image_size), int(batch_size)))

    def step(_: str) -> str:
        timed.step()
        return json.dumps([timed.seconds[-1], timed.cpu_seconds[-1]])

    return json.dumps(timed.needed_bytes), step


def steps_grown(
    points: Mapping[int, tuple[Callable[[], Any], int]], rounds: int
) -> dict[int, dict[str, Any]]:
    """Times the steps of all points in turns.

    Args:
      points: by the number that grows: the function that makes the step, and the images in a batch.
      rounds: number of rounds; in each round every point does one step.

    Returns:
      A row for each point; the reason alone where the point cannot run.
    """
    steps: dict[int, Any] = {}
    rows: dict[int, dict[str, Any]] = {}
    for point, (create, _) in points.items():
        try:
            steps[point] = create()
        except Exception as error:
            reason = common.reason_it_cannot_run(error)
            if reason is None:
                raise
            rows[point] = {"cannot_run": reason}
    for _ in range(rounds):
        for step in steps.values():
            step.step()
    for point, step in steps.items():
        seconds = statistics.median(step.seconds)
        rows[point] = {
            "step_s": seconds,
            "cpu_s": statistics.median(step.cpu_seconds),
            "images_per_second": points[point][1] / seconds,
            "needed_bytes_per_device": step.needed_bytes,
        }
    return {point: rows[point] for point in points}


def data_grown(works: list[int], config: Any, rounds: int) -> dict[int, dict[str, float]]:
    """Times the batches of the source `host`, and the order of an epoch, for numbers of works.

    The canvases are sparse files, since a million of them would fill the disk. Each batch is fetched
    once before the clock starts, so its pages are in memory: the time of the disk is not measured.
    """
    sharding = batch_sharding(create_mesh(devices=jax.devices()[:1]))
    side, batch_size = canvas_size(config), config.batch_size
    with tempfile.TemporaryDirectory() as folder:
        splits = {}
        for count in works:
            path = Path(folder) / f"{count}.npy"
            shape = (count, side, side, 3)
            np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
            labels = {"artist": np.zeros(count, np.int32)}
            splits[count] = Split(
                name="train",
                images=np.load(path, mmap_mode="r"),
                rows=np.arange(count),
                aspect=np.ones(count, np.float32),
                labels=labels,
                file_names=np.empty(0, str),
            )
        batch_s: dict[int, list[float]] = {count: [] for count in works}
        order_s: dict[int, list[float]] = {count: [] for count in works}
        for turn in range(rounds + 1):
            for count, split in splits.items():
                start = time.perf_counter()
                batches.order(
                    turn, 0, count
                )  # a new seed each time, since recent orders are cached
                order_s[count].append(time.perf_counter() - start)
                batches.order(0, 0, count)
                start = time.perf_counter()
                for step in range(_FETCHED):
                    indices = batches.batch_indices(0, step, batch_size, count)
                    jax.block_until_ready(batches.put(split, indices, sharding))
                batch_s[count].append((time.perf_counter() - start) / _FETCHED)
    return {
        count: {
            "batch_s": statistics.median(batch_s[count][1:]),
            "order_s": statistics.median(order_s[count][1:]),
            "canvas_bytes": splits[count].images.nbytes,
        }
        for count in works
    }


def show(title: str, rows: Mapping[int, Mapping[str, Any]]) -> None:
    """Prints a table of milliseconds, rates and megabytes."""
    units = {"_s": ("ms", 1e3), "bytes": ("MB", 1e-6), "bytes_per_device": ("MB", 1e-6)}
    print(f"\n{title}")
    for point, row in rows.items():
        cells = []
        for name, value in row.items():
            unit, scale = next(
                (found for ending, found in units.items() if name.endswith(ending)), ("", 1)
            )
            known = isinstance(value, int | float)
            shown = f"{value * scale:,.4g} {unit}".strip() if known else str(value or "unknown")
            cells.append(f"{name.removesuffix('_s').replace('_', ' ')} {shown}")
        print(f"  {point:>9,}  {';  '.join(cells)}", flush=True)


def main() -> None:
    """Prints a table for each number that grows."""
    if sys.argv[1:2] == ["--serve"]:
        common.serve(lambda: start_steps(*sys.argv[2:]))
        return
    platform = jax.devices()[0].platform
    args = common.create_parser(__doc__, "growth", platform).parse_args()
    print(common.describe_sizes("growth", platform, args), flush=True)
    tables = measure(args, platform == "cpu")
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    kind = "" if platform == "cpu" else describe(create_mesh())
    result = common.heading(kind, jax, flax, np) | {"settings": settings, "tables": tables}
    common.write(args.json, result)
    print(f"\n{result['date']}, {result['machine']}, {result['versions']}")


def measure(args: argparse.Namespace, on_cpu: bool) -> dict[str, Any]:
    """All tables; each is printed as soon as it is complete."""
    model, size, batch = args.model, args.image_size, args.batch_size

    def one(size: int, batch: int) -> Callable[[], TimedStep]:
        return lambda: TimedStep(config_of(model, size, batch), jax.devices()[:1])

    def several(devices: int) -> Callable[[], Any]:
        if on_cpu:
            return lambda: StepsElsewhere(devices, model, size, batch)
        return lambda: on_devices(devices)

    def on_devices(devices: int) -> TimedStep:
        there = jax.local_devices()
        if devices > len(there):
            raise common.CannotRunError(f"this machine has {len(there)} of them")
        return TimedStep(config_of(model, size, batch), there[:devices])

    tables: dict[str, Any] = {}
    tables["batch"] = steps_grown({n: (one(size, n), n) for n in args.batches}, args.rounds)
    show(f"{model}, {size} px, one device, by batch size", tables["batch"])
    tables["size"] = steps_grown({px: (one(px, batch), batch) for px in args.sizes}, args.rounds)
    show(f"{model}, batch {batch}, one device, by side in pixels", tables["size"])
    tables["devices"] = steps_grown({n: (several(n), batch) for n in args.devices}, args.rounds)
    show(f"{model}, {size} px, global batch {batch}, by devices", tables["devices"])
    config = config_of(model, size, batch)
    tables["works"] = data_grown(args.works, config, args.rounds)
    show(
        f"source host, canvases of {canvas_size(config)} px, batch {batch}, by works",
        tables["works"],
    )
    return tables


if __name__ == "__main__":
    sys.exit(common.run(main))
