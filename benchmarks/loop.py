"""The whole training loop with each source, as a share of the bare step on one batch.

python benchmarks/loop.py --json loop.json                                            # on a GPU
python benchmarks/loop.py --model vgg_small --image_size 64 --batch_size 32 --steps 120   # on a CPU

The loop is `artjax.train.train` itself, with its input, logs and metrics; compiling, validations and
checkpoints are not in the rate that it reports, nor meant here. The works are made by code. Bare step
and sources take turns; the fastest round is the one that other programs disturbed least.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import common
import input as input_benchmark
import jax
from ml_collections import ConfigDict

from artjax.config import collection_settings, default_config
from artjax.data import batches
from artjax.data.canvases import Request, open_collection
from artjax.runtime.mesh import create_mesh, describe
from artjax.train import train
from artjax.training.checks import check_config
from artjax.training.experiment import Experiment
from artjax.training.logs import read_rows


def bare_rate(config: ConfigDict, folder: Path) -> float:
    """Works per second of the compiled step alone, on one batch again and again."""
    mesh = create_mesh()
    split = open_collection(Request(**collection_settings(config)), folder, None).split(
        "train", {"artist": "artist"}
    )
    experiment = Experiment(config, {"artist": 2}, len(split), mesh)
    indices = batches.batch_indices(0, 0, config.batch_size, len(split))
    batch = batches.put(split, indices, experiment.batch_sharding)
    state = experiment.initial_state()
    state, metrics = experiment.train_step(state, batch)
    jax.block_until_ready((state, metrics))
    start = time.perf_counter()
    for _ in range(config.steps - 1):
        state, metrics = experiment.train_step(state, batch)
    jax.block_until_ready((state, metrics))
    return (config.steps - 1) * config.batch_size / (time.perf_counter() - start)


def loop_rate(config: ConfigDict, folder: Path) -> float:
    """Works per second as the loop says; over all but its first rows, which fill the queues."""
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stdout(io.StringIO()):
        train(config, Path(workdir), folder, stop_after_steps=config.steps - 1)
        rows = [row for row in read_rows(Path(workdir)) if "perf/images_per_second" in row]
    seconds = works = 0.0
    for before, row in itertools.pairwise(rows):
        here = (row["step"] - before["step"]) * config.batch_size
        works += here
        seconds += here / row["perf/images_per_second"]
    return works / seconds


def main() -> None:
    """Prints a table; with --json also writes it."""
    parser = common.create_parser(__doc__)
    parser.add_argument("--model", default="vgg16_bn")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", type=int, default=48, help="different ones (default: 48)")
    parser.add_argument("--repeats", type=int, default=24, help="of each work (default: 24)")
    args = parser.parse_args()
    config = default_config()
    config.collection, config.model.name = "bench", args.model
    config.image_size, config.batch_size = args.image_size, args.batch_size
    config.epochs, config.steps = 0.0, args.steps
    config.log_every = max(1, args.steps // 6)
    config.eval_every = config.checkpoint_every = 10 * args.steps
    config.optim.peak_lr = 1e-3
    check_config(config)
    rates: dict[str, list[float]] = {"bare step": [], "device": [], "host": [], "stream": []}
    with tempfile.TemporaryDirectory() as name:
        if not jax.config.jax_compilation_cache_dir:
            # So that each program is compiled once in all rounds.
            jax.config.update("jax_compilation_cache_dir", f"{name}/compiled")
        works = input_benchmark.make_works(args.works)
        input_benchmark.prepare(works, args.repeats, Path(name))
        for _ in range(args.rounds):
            rates["bare step"].append(bare_rate(config, Path(name)))
            for source in ("device", "host", "stream"):
                config.source = source
                rates[source].append(loop_rate(config, Path(name)))
            config.source = "host"
    bare = rates["bare step"]
    devices = describe(create_mesh())
    print(
        f"{devices}, {args.model}, {args.image_size} px, batch {args.batch_size}, {args.steps} steps"
    )
    for name, values in rates.items():
        fastest, median = max(values), statistics.median(values)
        print(
            f"{name:10} {fastest:9,.1f} works/s in its fastest round ({median:9,.1f} in the median): "
            f"{fastest / max(bare):.3f} x ({median / statistics.median(bare):.3f} x) the bare step"
        )
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    measured = {"settings": settings, "works_per_second": rates}
    common.write(args.json, common.heading(devices, jax) | measured)


if __name__ == "__main__":
    main()
