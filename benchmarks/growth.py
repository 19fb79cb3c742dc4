"""How cost grows with the batch, the size of the pictures, the devices and the works.

    python benchmarks/growth.py --json growth.json
    python benchmarks/growth.py --batches 32 64 --sizes 64 --devices 1 --works 1000

On a GPU the defaults are vgg16_bn at 224 px and batches of 256, on CPU vgg_small at 64 px and batches of
64. The step is the whole training step, on canvases that are on the devices already. Points of a table
take turns, and the median of the rounds counts. On CPU the devices are threads of the same cores, each
number of them in a process of its own.
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
from ml_collections import ConfigDict
from timed_step import TimedStep, config_of

from artjax.config import canvas_size
from artjax.data import batches
from artjax.data.canvases import Split
from artjax.runtime.mesh import batch_sharding, create_mesh, describe
from artjax.training.memory import is_out_of_memory

_FETCHED = 30  # batches; all but the last of them are likely of the same epoch


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


def serve(model: str, image_size: str, batch_size: str) -> None:
    """Says how many bytes a step needs on each device; then does one for each line: its seconds."""
    timed = TimedStep(config_of(model, int(image_size), int(batch_size)))
    print(json.dumps(timed.needed_bytes), flush=True)
    for _ in sys.stdin:
        timed.step()
        print(json.dumps([timed.seconds[-1], timed.cpu_seconds[-1]]), flush=True)


def steps_grown(
    points: Mapping[int, tuple[Callable[[], Any], int]], rounds: int
) -> dict[int, dict[str, Any]]:
    """Times the steps of all points in turns.

    Args:
      points: what makes the step, and how many images it sees, by what grows.
      rounds: in which each does a step.

    Returns:
      A row for each point, empty where the devices have not enough memory.
    """
    steps, rows = {}, {}
    for point, (create, _) in points.items():
        try:
            steps[point] = create()
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
    for _ in range(rounds):
        for step in steps.values():
            step.step()
    for point, (_, images) in points.items():
        rows[point] = {}
        if point in steps:
            seconds = statistics.median(steps[point].seconds)
            rows[point] = {
                "step_s": seconds,
                "cpu_s": statistics.median(steps[point].cpu_seconds),
                "images_per_second": images / seconds,
                "needed_bytes_per_device": steps[point].needed_bytes,
            }
    return rows


def data_grown(works: list[int], config: ConfigDict, rounds: int) -> dict[int, dict[str, float]]:
    """Times the batches of the source `host`, and the order of an epoch, for numbers of works.

    The canvases are files with holes, as a million of them would fill the disk. Batches are fetched once
    before the clock starts, so that their pages are in memory: what a disk adds is its own.
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
                batches.order(turn, 0, count)  # another seed each time, as the last ones are kept
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
            said = "unknown" if value is None else f"{value * scale:,.4g} {unit}".strip()
            cells.append(f"{name.removesuffix('_s').replace('_', ' ')} {said}")
        print(f"  {point:>9,}  {';  '.join(cells) or 'not enough memory'}", flush=True)


def main() -> None:
    """Prints a table for each thing that grows; with --json also writes them."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    on_cpu = jax.devices()[0].platform == "cpu"
    local = len(jax.local_devices())
    several = [1, 2, 4, 8] if on_cpu else [n for n in (1, 2, 4, 8) if n <= local]
    parser = common.create_parser(__doc__)

    def numbers(name: str, default: list[int]) -> None:
        text = " ".join(map(str, default))
        parser.add_argument(name, nargs="*", type=int, default=default, help=f"(default: {text})")

    numbers("--batches", [8, 16, 32, 64, 128] if on_cpu else [32, 64, 128, 256, 512])
    numbers("--sizes", [32, 64, 96, 128] if on_cpu else [64, 128, 224, 320, 384])
    numbers("--devices", several)
    numbers("--works", [1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--model", default="vgg_small" if on_cpu else "vgg16_bn")
    parser.add_argument("--batch_size", type=int, default=64 if on_cpu else 256)
    parser.add_argument("--image_size", type=int, default=64 if on_cpu else 224)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    tables = measure(args, on_cpu)
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    kind = "" if on_cpu else describe(create_mesh())
    result = common.heading(kind, jax, flax, np) | {"settings": settings, "tables": tables}
    common.write(args.json, result)
    print(f"\n{result['date']}, {result['machine']}, {result['versions']}")


def measure(args: argparse.Namespace, on_cpu: bool) -> dict[str, Any]:
    """All tables, each printed as soon as it is there."""
    model, size, batch = args.model, args.image_size, args.batch_size

    def one(size: int, batch: int) -> Callable[[], TimedStep]:
        return lambda: TimedStep(config_of(model, size, batch), jax.devices()[:1])

    def several(devices: int) -> Callable[[], Any]:
        if on_cpu:
            return lambda: StepsElsewhere(devices, model, size, batch)
        return lambda: TimedStep(config_of(model, size, batch), jax.devices()[:devices])

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
    main()
