"""Heads trained all at once against one after the other, on the same features.

    python benchmarks/search.py
    python benchmarks/search.py --heads 100 --alone 100 --works 10000 --epochs 20

The job is that of `--mode search` on cached features of 4,096 numbers, without successive halving. The
features are random, with a mean for each class. One after the other, all heads use one compiled program
in one process, which is better than a hundred commands would be. `--alone` heads are trained so; their
time is multiplied.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import common
import jax
import numpy as np

from artjax.data import sources
from artjax.data.sources import Choice
from artjax.data.works import Split
from artjax.modes.search import combining
from artjax.modes.search.group import Group
from artjax.modes.search.space import space_of
from artjax.runtime import compilation_cache
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training

CLASSES = 20
FEATURES = 4096


def create_split(name: str, works: int, seed: int) -> Split:
    """Works whose features are a mean for each class and noise, float16 [works, 4096]."""
    means = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, works).astype(np.int32)
    features = 0.05 * means[labels] + rng.normal(size=(works, FEATURES))
    names = np.asarray([f"{name}/{i}" for i in range(works)])
    return Split(
        name=name,
        images=features.astype(np.float16),
        rows=np.arange(works),
        aspect=np.ones(works, np.float32),
        labels={"artist": labels},
        file_names=names,
        work_ids=names,
        left_out=0,
        years=np.zeros(works, np.int32),
        source=name,
    )


def train(group: Group, drawn: Any, source: sources.Source, steps: int) -> tuple[float, float]:
    """Compiles and trains; returns the seconds of each."""
    since = time.perf_counter()
    step = group.compile(drawn, source)
    compiled = time.perf_counter()
    for number in range(steps):
        group.state, numbers = step(group.state, source.batch(number))
        jax.block_until_ready(numbers)
    return compiled - since, time.perf_counter() - compiled


def main() -> None:
    """Prints the seconds of both ways, their ratio, and the largest difference of the scores."""
    platform = jax.devices()[0].platform
    args = common.create_parser(__doc__, "search", platform).parse_args()
    print(common.describe_sizes("search", platform, args), flush=True)
    compilation_cache.use_cache("")
    config = common.create_config(
        model__name="vgg16",
        model__dropout=0.0,
        image_size=32,
        batch_size=args.batch,
        epochs=float(args.epochs),
        steps=0,
        optim__groups=(("(?!head_).*", 0.0),),
        optim__name="adamw",
        optim__peak_lr=0.003,
        features__views=1,
        search__trials=args.heads,
        search__label_smoothing=(0.0, 0.2),
    )
    mesh = create_mesh(devices=jax.devices()[:1])
    training = create_training(config, {"artist": CLASSES}, args.works, mesh)
    works, validation = create_split("train", args.works, 1), create_split("validation", 1000, 2)
    space = space_of(config)
    drawn = [space.draw(trial) for trial in range(args.heads)]
    source = sources.open_source(
        config, works, mesh, training.crop_boxes, Choice("host", "the features are in memory")
    )
    group = Group(training, {}, list(range(args.heads)))
    compiling, seconds = train(group, drawn, source, training.steps)
    print(
        f"{args.heads} heads at once: {seconds:.1f} s for {training.steps} steps, {compiling:.1f} s "
        "to compile",
        flush=True,
    )
    alone, differences, scores = 0.0, [], []
    for trial in range(min(args.alone, args.heads)):
        one = Group(training, {}, [trial])
        alone += train(one, drawn, source, training.steps)[1]
        results = [
            combining.scores(
                combining.predictions(training.network, of.of(trial).variables, validation)
            )
            for of in (group, one)
        ]
        differences.append([abs(a - b) for a, b in zip(*results, strict=True)][:2])
        scores.append(results[0][0])
    each, difference = alone / len(scores), max(loss for _, loss in differences)
    print(
        f"one after the other: {each:.2f} s each, {each * args.heads:.1f} s in all; ratio "
        f"{each * args.heads / seconds:.2f}"
    )
    print(
        f"validation top-1 of these from {min(scores):.1%} to {max(scores):.1%}; between both ways, "
        f"top-1 differs by at most {100 * max(d[0] for d in differences):.1f} points, the loss by "
        f"{np.median([d[1] for d in differences]):.1e} in the median and {difference:.1e} at most"
    )
    rates = {"at once": args.heads / seconds, "one after the other": 1 / each}
    result = {"heads_per_second": rates, "loss_difference": difference, "compiling": compiling}
    common.write(args.json, common.heading(str(jax.devices()[0].device_kind), jax) | result)


if __name__ == "__main__":
    sys.exit(common.run(main))
