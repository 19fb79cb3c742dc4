"""Pictures per second of `--mode predict`, beside cleaning alone and the forward pass alone.

    python benchmarks/predict.py --json predict.json
    python benchmarks/predict.py --folder PICTURES --rounds 1

The pictures are those of a folder, else JPEGs of a megapixel made by code; the weights are drawn. The
three jobs take turns: cleaning files to canvases with all processes, the forward pass over canvases
that are there, and both as `predict` does it, cleaning beside the forward pass. On a CPU both share
the cores, so that the time of both together is what `predict` is compared with; on an accelerator
that of the slower one is.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import jax
import made_works
import numpy as np

from artjax.config import canvas_size
from artjax.evaluation import predict
from artjax.evaluation.judging import Judge
from artjax.evaluation.reliability import Reliability
from artjax.prepare.picture_decoding import SHORT_SIDE_PX
from artjax.prepare.seeing import see_all
from artjax.runs import Record, Run
from artjax.runtime import compilation_cache
from artjax.runtime.mesh import create_mesh
from artjax.training.network import Network

_CLASSES = ("0", "1")


def create_run(args: Any) -> Run:
    """A run whose weights are drawn."""
    config = common.create_config(model__name=args.model, image_size=args.image_size)
    network = Network(config, {"artist": len(_CLASSES)}, create_mesh(devices=jax.devices()[:1]))
    images = np.zeros(network.images(1).shape, np.float32)
    variables = jax.jit(network.model.init)(jax.random.key(0), images)
    record = Record(
        config,
        {"artist": _CLASSES},
        **dict.fromkeys(("collection", "version", "fingerprint"), "made"),
        **dict.fromkeys(("data_dir", "canvas_dir", "feature_dir"), ""),
        train_works=0,
        short_side_px=SHORT_SIDE_PX,
        versions={},
    )
    return Run(Path(), network, variables, 0, record)


def jobs_of(run: Run, files: list[Path]) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    judges = [Judge(Reliability(run.workdir, 0, 1, 0.05, 0.05), 1)]
    sides = [canvas_size(run.config)]
    canvases = list(see_all(files, SHORT_SIDE_PX, sides))
    step = predict.BATCH_SIZE

    def forward() -> None:
        for start in range(0, len(files), step):
            predict.answers_of([run], canvases[start : start + step], judges)

    def both() -> None:
        found = [one for batch in predict.answers([run], files, judges) for one in batch]
        assert len(found) == len(files)
        assert not any(one.reason for one in found)

    rest = len(files) % step
    for part in (canvases[:step], canvases[len(files) - rest :]):
        if part:  # compiles
            predict.answers_of([run], part, judges)
    return {
        "cleaning": lambda: list(see_all(files, SHORT_SIDE_PX, sides)),
        "forward pass": forward,
        "predict": both,
    }


def main() -> None:
    """Prints a line for each job, and what share of its bound `predict` reaches."""
    platform = jax.devices()[0].platform
    parser = common.create_parser(__doc__, "predict", platform)
    parser.add_argument("--folder", type=Path, help="pictures in place of made ones")
    args = parser.parse_args()
    print(common.describe_sizes("predict", platform, args), flush=True)
    compilation_cache.use_cache("")
    run = create_run(args)
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name, "pictures")
        if not args.folder:
            made_works.write_files(made_works.make_works(args.works), args.repeats, folder)
        files = sorted(folder.iterdir())
        jobs = jobs_of(run, files)
        seconds: dict[str, list[float]] = {job: [] for job in jobs}
        for _ in range(args.rounds):
            for job, work in jobs.items():
                since = time.perf_counter()
                work()
                seconds[job].append(time.perf_counter() - since)
    median = {job: statistics.median(taken) for job, taken in seconds.items()}
    apart = median["cleaning"], median["forward pass"]
    bound = sum(apart) if platform == "cpu" else max(apart)
    result = common.heading(str(jax.devices()[0].device_kind), jax) | {
        "pictures": len(files),
        "images_per_second": {job: len(files) / taken for job, taken in median.items()},
        "share_of_bound": bound / median["predict"],
    }
    for job, rate in result["images_per_second"].items():
        print(f"{job}: {rate:.1f} images/s")
    how = "one after the other" if platform == "cpu" else "by the slower one"
    print(f"predict: {result['share_of_bound']:.2f} of the speed of both {how}")
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))
