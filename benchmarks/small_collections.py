"""Cross-validated score of a recipe on small collections, beside what it has to beat.

    python benchmarks/small_collections.py artist:collection/paintings location:collection/paintings \
        --data_dir DATA --seeds 0 1 2 --config.augment.min_area=0.5

Each argument is a config and a prepared collection. Every fold of every seed is a training of its own,
so this takes hours on a CPU; the same command continues where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import jax

from artjax import config as config_lib
from artjax.evaluation.baselines import WORDS
from artjax.modes.folds import cross_validate
from artjax.places import Places
from artjax.runtime import compilation_cache
from artjax.training.checks import check_config

CONFIGS = Path(__file__).parents[1] / "configs"


def score(
    job: str, overrides: Sequence[tuple[str, str]], seed: int, args: argparse.Namespace
) -> dict[str, Any]:
    """The pooled result of one cross-validation, with its seconds, from its workdir if it is done."""
    name, _, collection = job.partition(":")
    config = config_lib.load_config_file(CONFIGS / f"{name}.py", collection)
    config_lib.apply_overrides(config, overrides)
    config.folds, config.seed = args.folds, seed
    check_config(config)
    key = hashlib.sha256(config_lib.to_json(config).encode()).hexdigest()[:12]
    workdir = args.workdirs / f"{name}-{collection.replace('/', '-')}-{key}"
    results = workdir / "evaluation" / "folds" / "metrics.json"
    if not results.is_file():
        since = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            outcome = cross_validate(config, Places(workdir, args.data_dir))
        if outcome.signal is not None:
            raise KeyboardInterrupt
        seconds = time.perf_counter() - since
        (workdir / "seconds.json").write_text(json.dumps(seconds))
    task = json.loads(results.read_text())["tasks"][config.task[0]]
    train = [
        json.loads(line)["train/top1"]
        for fold in range(args.folds)
        for line in (workdir / f"fold{fold}" / "metrics.jsonl").read_text().splitlines()[-4:]
        if "train/top1" in line
    ]
    seconds = json.loads((workdir / "seconds.json").read_text())
    return {**task, "seconds": seconds, "train_top1": statistics.mean(train)}


def in_words(job: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """One line: mean and range over the seeds, the baselines, the time."""
    top1 = [row["top1"] for row in scores]
    known = {name: [row["baselines"][name] for row in scores] for name in WORDS}
    beside = ", ".join(
        f"{WORDS[name]} {statistics.mean(values):.1%}"
        for name, values in known.items()
        if None not in values
    )
    return (
        f"{job}: top-1 {statistics.mean(top1):.1%} ({min(top1):.1%} to {max(top1):.1%}), macro-F1 "
        f"{statistics.mean(row['macro_f1'] for row in scores):.3f}, train "
        f"{statistics.mean(row['train_top1'] for row in scores):.1%}, n = {scores[0]['n']}; {beside}; "
        f"{statistics.mean(row['seconds'] for row in scores):.0f} s for each seed"
    )


def main() -> None:
    """Prints a line for each job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("jobs", nargs="+", metavar="CONFIG:COLLECTION")
    parser.add_argument("--data_dir", type=Path, required=True, help="TFDS's data directory")
    parser.add_argument("--workdirs", type=Path, default=Path("runs/small_collections"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    args, overrides = common.parse_with_fields(parser)
    compilation_cache.use_cache("")
    result = common.heading(str(jax.devices()[0]), jax)
    result |= {"settings": dict(overrides), "seeds": args.seeds, "jobs": {}}
    settings = " ".join(f"--config.{name}={value}" for name, value in overrides)
    print(f"settings: {settings or 'the defaults'}; seeds {args.seeds}, {args.folds} folds")
    for job in args.jobs:
        scores = [score(job, overrides, seed, args) for seed in args.seeds]
        result["jobs"][job] = scores
        print(in_words(job, scores), flush=True)
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))
