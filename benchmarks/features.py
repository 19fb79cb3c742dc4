"""Images per second of frozen trunks, beside the forward pass of PyTorch's implementations.

    pip install torch torchvision timm      # CPU builds are enough
    python benchmarks/features.py --models vgg16 dinov2_small
    python benchmarks/features.py --torch /elsewhere/bin/python    # where torch has its own environment

The job is what `--config.features.views` computes once for each work: from a canvas to the outputs of
the last stage. PyTorch gets cropped float images, in evaluation mode and in channels_last; the better of
eager and compiled counts. The weights are random. All contestants take turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import jax
import numpy as np

from artjax.runtime import compilation_cache, throughput
from artjax.runtime.mesh import create_mesh
from artjax.training.network import Network

WORKER = Path(__file__).with_name("features_torch.py")
_PAUSE_S = 0.2


def artjax_step(model: str, args: Any) -> tuple[Callable[[], float], dict[str, float]]:
    """A function that computes one batch and returns its seconds; parameters and GFLOP of an image."""
    config = common.create_config(
        model__name=model,
        image_size=args.size,
        batch_size=args.batch,
        optim__groups=(("(?!head_).*", 0.0),),
    )
    network = Network(config, {"artist": 2}, create_mesh(devices=jax.devices()[:1]))
    frozen = network.initial_frozen()
    side = args.size * 8 // 7
    rng = np.random.default_rng(0)
    batch = {
        "image": jax.device_put(rng.integers(0, 256, (args.batch, side, side, 3), np.uint8)),
        "aspect": jax.device_put(np.ones(args.batch, np.float32)),
    }

    def run() -> float:
        since = time.perf_counter()
        jax.block_until_ready(network.feature_step(frozen, batch, None))
        return time.perf_counter() - since

    run()
    flops = throughput.count_flops(
        jax.make_jaxpr(lambda v, b: network.feature_step.function(v, b, None))(frozen, batch).jaxpr
    )
    return run, {
        "parameters": network.frozen_parameters,
        "gflop": flops / args.batch / 1e9,
    }


def measure(model: str, args: Any) -> dict[str, Any]:
    """Seconds of each contestant in each round, and what the network is."""
    own, row = artjax_step(model, args)
    contestants: dict[str, Callable[[], float]] = {"artjax": own}
    workers = []
    for mode in ("eager", "compile") if args.torch else ():
        command = [args.torch, str(WORKER), model, str(args.size), str(args.batch), mode]
        try:
            worker = common.Worker(command)
        except common.CannotRunError as error:
            print(f"torch left out: {error}", flush=True)
            continue
        row |= {"torch": json.loads(worker.greeting)}
        workers.append(worker)
        contestants[f"torch, {mode}"] = lambda worker=worker: float(worker.ask(1))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, run in contestants.items():
            # OpenMP's threads wait actively for a moment after each run, and would disturb the next.
            time.sleep(_PAUSE_S)
            seconds[name].append(run())
    for worker in workers:
        worker.close()
    row["images_per_second"] = {
        name: args.batch / statistics.median(taken) for name, taken in seconds.items()
    }
    row["fastest"] = {name: args.batch / min(taken) for name, taken in seconds.items()}
    return row


def main() -> None:
    """Prints a line for each model."""
    platform = jax.devices()[0].platform
    parser = common.create_parser(__doc__, "features", platform)
    parser.add_argument("--torch", default=sys.executable, help="interpreter with torch; '' = none")
    args = parser.parse_args()
    print(common.describe_sizes("features", platform, args), flush=True)
    compilation_cache.use_cache("")
    result = common.heading(str(jax.devices()[0].device_kind), jax) | {"models": {}}
    for model in args.models:
        row = result["models"][model] = measure(model, args)
        rates = row["images_per_second"]
        peers = [rate for name, rate in rates.items() if name != "artjax"]
        ratio = f", {rates['artjax'] / max(peers):.2f} x torch" if peers else ""
        shown = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
        print(
            f"{model}: {row['parameters'] / 1e6:.1f} M parameters, {row['gflop']:.1f} GFLOP; images/s: "
            f"{shown}{ratio}",
            flush=True,
        )
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))
