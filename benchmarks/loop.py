"""The whole training loop with each source, as a share of the bare step on one batch.

    python benchmarks/loop.py --json loop.json

The loop is `artjax.train.train` itself, with its input, logs and metrics. The rate that it reports is
that of training: compilation, validation and checkpoints are not in it. The works are made by code.
The bare step and the sources take turns; other programs disturb the fastest round least. The source
`stream` reads TFRecords, so it is left out where TensorFlow or TFDS is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import jax
import made_works
from timed_step import compile_step

from artjax.config import canvas_size, collection_settings
from artjax.data import batches
from artjax.data.canvases import Request, open_collection
from artjax.places import Places
from artjax.runtime.mesh import create_mesh, describe
from artjax.train import train
from artjax.training.logs import read_rows
from artjax.training.training import create_training


def bare_rate(config: Any, folder: Path) -> float:
    """Works per second of the compiled step alone, on the same batch again and again."""
    mesh = create_mesh()
    data = open_collection(Request(**collection_settings(config)), folder, None)
    split = data.split("train", {"artist": "artist"})
    training = create_training(config, {"artist": 2}, len(split), mesh)
    indices = batches.batch_indices(0, 0, config.batch_size, len(split))
    batch = batches.put(split, indices, training.network.batch_sharding)
    step = compile_step(training)
    state, metrics = step(training.initial_state(), batch)
    jax.block_until_ready((state, metrics))
    start = time.perf_counter()
    for _ in range(config.steps - 1):
        state, metrics = step(state, batch)
    jax.block_until_ready((state, metrics))
    return (config.steps - 1) * config.batch_size / (time.perf_counter() - start)


def loop_rate(config: Any, folder: Path) -> float:
    """Works per second as the loop reports them, without its first rows, which fill the queues."""
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stdout(io.StringIO()):
        train(config, Places(Path(workdir), folder), stop_after_steps=config.steps - 1)
        rows = [row for row in read_rows(Path(workdir)) if "perf/images_per_second" in row]
    seconds = works = 0.0
    for before, row in itertools.pairwise(rows):
        here = (row["step"] - before["step"]) * config.batch_size
        works += here
        seconds += here / row["perf/images_per_second"]
    return works / seconds


def create_config(args: argparse.Namespace) -> Any:
    """The default configuration with the sizes of the command line, and no validation on the way."""
    return common.create_config(
        collection="bench",
        model__name=args.model,
        image_size=args.image_size,
        batch_size=args.batch_size,
        epochs=0.0,
        steps=args.steps,
        log_every=max(1, args.steps // 6),
        eval_every=10 * args.steps,
        checkpoint_every=10 * args.steps,
        optim__peak_lr=1e-3,
        source="host",
    )


def measure(config: Any, args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Works per second in each round, of the bare step and of each source that can run."""
    works = made_works.make_works(args.works)
    canvases = folder / "canvases-only"
    made_works.write_canvases(works, args.repeats, canvases, canvas_size(config))
    folders = {"device": canvases, "host": canvases}
    if made_works.missing_for_records():
        print(f"stream left out: {made_works.missing_for_records()} is not installed", flush=True)
    else:
        folders["stream"] = folder / "records"
        made_works.write_records(works, args.repeats, folders["stream"])
    rates: dict[str, list[float]] = {name: [] for name in ("bare step", *folders)}
    for _ in range(args.rounds):
        rates["bare step"].append(bare_rate(config, canvases))
        for source, data_dir in folders.items():
            config.source = source
            rates[source].append(loop_rate(config, data_dir))
        config.source = "host"
    return rates


def main() -> None:
    """Prints a table."""
    platform = jax.devices()[0].platform
    args = common.create_parser(__doc__, "loop", platform).parse_args()
    print(common.describe_sizes("loop", platform, args), flush=True)
    config = create_config(args)
    devices = describe(create_mesh())
    print(devices, flush=True)
    with tempfile.TemporaryDirectory() as name:
        if not jax.config.jax_compilation_cache_dir:
            # So that each program is compiled once in all rounds.
            jax.config.update("jax_compilation_cache_dir", f"{name}/compiled")
        rates = measure(config, args, Path(name))
    bare = rates["bare step"]
    for name, values in rates.items():
        fastest, median = max(values), statistics.median(values)
        print(
            f"{name:10} {fastest:9,.1f} works/s in the fastest round ({median:9,.1f} in the median): "
            f"{fastest / max(bare):.3f} x ({median / statistics.median(bare):.3f} x) the bare step"
        )
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    measured = {"settings": settings, "works_per_second": rates}
    common.write(args.json, common.heading(devices, jax) | measured)


if __name__ == "__main__":
    sys.exit(common.run(main))
