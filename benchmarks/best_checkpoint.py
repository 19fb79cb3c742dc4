"""Which rule names the best checkpoint: the curves of real runs, and a simulation on them.

    python benchmarks/best_checkpoint.py train artist:collection/works --data_dir DATA --curves C/artist
    python benchmarks/best_checkpoint.py compare C/*

`train` trains the folds of a recipe, and keeps what each validation says of every held-out work: those
of validation and of test. `compare` draws a validation split from the held-out works again and again,
lets each rule choose a checkpoint on it, and scores this checkpoint on the other held-out works.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import checkpoint_rules
import common
import numpy as np

from artjax import config as config_lib
from artjax.data.prepared import Prepared
from artjax.data.works import Split
from artjax.evaluation.during_training import EVALUATORS, Evaluated, Evaluator
from artjax.evaluation.evaluate import predict_split
from artjax.places import Places
from artjax.runtime import compilation_cache
from artjax.training.checks import check_config
from artjax.training.network import Network

CONFIGS = Path(__file__).parents[1] / "configs"
_HELD_OUT = ("validation", "test")


class Recorder:
    """An evaluator that keeps what the network says of each held-out work.

    Attributes:
      log_probabilities: for each validation, that of the true class, float32 [tasks, works]; nan where
        the label is unknown.
      right: the same of whether the most probable class is the true one; 0, 1 or nan.
      distances: the same of the squared distance of the probabilities from the truth.
      work_ids: of the works, str [works].
    """

    def __init__(self) -> None:
        self.log_probabilities: list[np.ndarray] = []
        self.right: list[np.ndarray] = []
        self.distances: list[np.ndarray] = []
        self.work_ids = np.empty(0, np.str_)

    def evaluate(
        self,
        network: Network,
        variables: Mapping[str, Any],
        splits: Mapping[str, Split],
        prepared: Prepared,
    ) -> Evaluated:
        """The function of an `Evaluator`."""
        del prepared
        held_out = [splits[name] for name in _HELD_OUT]
        self.work_ids = np.concatenate([split.work_ids for split in held_out])
        kept = np.full((3, len(held_out[0].labels), len(self.work_ids)), np.nan, np.float32)
        first = 0
        for split in held_out:
            predicted = predict_split(network, variables, split)
            for task, (known, of_task) in enumerate(predicted.values()):
                own = of_task.log_probabilities[np.arange(len(known)), of_task.labels]
                others = (np.exp(of_task.log_probabilities) ** 2).sum(axis=1) - np.exp(own) ** 2
                kept[0, task, first + known] = own
                kept[1, task, first + known] = of_task.predicted == of_task.labels
                kept[2, task, first + known] = (1 - np.exp(own)) ** 2 + others
            first += len(split)
        for values, one in zip(
            (self.log_probabilities, self.right, self.distances), kept, strict=True
        ):
            values.append(one)
        return Evaluated({}, f"{len(self.work_ids):,} held-out works kept")


@contextlib.contextmanager
def _also_evaluated(training: Any, own: Evaluator) -> Iterator[None]:
    """An evaluator that trainings have in this block, and not after it."""
    training.EVALUATORS = (*EVALUATORS, own)
    try:
        yield
    finally:
        training.EVALUATORS = EVALUATORS


def record(config: Any, data_dir: Path, path: Path) -> None:
    """Trains one run, and writes its curves to a file."""
    training = importlib.import_module("artjax.train")
    recorder = Recorder()
    own = Evaluator(lambda of: of.eval_every, recorder.evaluate)
    with (
        _also_evaluated(training, own),
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        workdir = Path(folder) / "run"
        outcome = training.train(config, Places(workdir, data_dir), evaluated=("validation",))
        if outcome.signal is not None:
            raise KeyboardInterrupt
        rows = [row for row in training.read_rows(workdir) if "validation/top1" in row]
    warmup = config.optim.warmup_epochs / config.epochs if config.epochs else 0.0
    np.savez_compressed(
        path,
        steps=np.array([row["step"] for row in rows]),
        log_probabilities=np.stack(recorder.log_probabilities, 1),
        right=np.stack(recorder.right, 1),
        distances=np.stack(recorder.distances, 1),
        work_ids=recorder.work_ids,
        warmup_steps=round(warmup * rows[-1]["step"]),
    )
    print(f"{path}: {len(rows)} validations; {said.getvalue().splitlines()[-2][:100]}", flush=True)


def train(args: argparse.Namespace, overrides: Sequence[tuple[str, str]]) -> None:
    """Trains every fold of every seed, except those whose curves are there."""
    name, _, collection = args.job.partition(":")
    compilation_cache.use_cache("")
    args.curves.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for fold in range(args.folds) if args.folds else [-1]:
            path = args.curves / f"seed{seed}-fold{fold}.npz"
            config = config_lib.load_config_file(CONFIGS / f"{name}.py", collection)
            config_lib.apply_overrides(config, overrides)
            config.folds, config.fold, config.seed = args.folds, fold, seed
            check_config(config)
            if not path.is_file():
                record(config, args.data_dir, path)


def compare(args: argparse.Namespace) -> None:
    """Prints a table for each size of validation: a row for each rule, a column for each recipe.

    A size counts for a run that has twice as many held-out works, so that the truth is known as well.
    """
    result = common.heading("", np) | {"draws": args.draws, "sizes": {}}
    for size in args.sizes:
        by_run: dict[str, list[dict[str, np.ndarray]]] = {}
        for folder in args.curves:
            for path in sorted(folder.glob("*.npz")):
                curves = checkpoint_rules.Curves.read(path)
                if curves.works.max() + 1 >= 2 * size:
                    rng = np.random.default_rng(0)
                    found = checkpoint_rules.chosen_truth(curves, size, args.draws, rng)
                    by_run.setdefault(folder.name, []).append(found)
        if by_run:
            result["sizes"][size] = show(size, by_run)
    common.write(args.json, result)


def show(
    size: int, by_run: Mapping[str, Sequence[Mapping[str, np.ndarray]]]
) -> dict[str, dict[str, Any]]:
    """Prints the table of one size; returns its rows.

    The gain over the rule before is a mean over recipes, with its standard error over recipes.
    """
    runs = [run for of_recipe in by_run.values() for run in of_recipe]
    print(f"\n{size} validation works, {len(runs)} runs: true top-1, %")
    print(f"{'':>72} {'gain':>6} ± {'error':<5} {'loss':>6}  {'  '.join(by_run)}")
    rows: dict[str, dict[str, Any]] = {}
    before = checkpoint_rules.BEFORE
    for rule in runs[0]:
        gains = [[run[rule][0] - run[before][0] for run in of] for of in by_run.values()]
        # Over recipes, not over runs: the folds of a recipe have works in common.
        means = np.array([np.mean(of_recipe) for of_recipe in gains])
        error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
        columns = {
            name: float(np.mean([run[rule][0] for run in of])) for name, of in by_run.items()
        }
        loss = float(np.mean([np.mean([run[rule][1] for run in of]) for of in by_run.values()]))
        rows[rule] = {"gain": float(means.mean()), "error": float(error), "loss": loss} | columns
    for rule, row in sorted(rows.items(), key=lambda item: -item[1]["gain"]):
        columns = "  ".join(f"{100 * row[name]:{len(name)}.1f}" for name in by_run)
        gain = f"{100 * row['gain']:6.2f} ± {100 * row['error']:<5.2f}"
        print(f"{rule:>72} {gain} {row['loss']:6.3f}  {columns}")
    return rows


def main() -> None:
    """Trains, or prints the tables of the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    trains = commands.add_parser("train")
    trains.add_argument("job", metavar="CONFIG:COLLECTION")
    trains.add_argument("--data_dir", type=Path, required=True, help="TFDS's data directory")
    trains.add_argument("--curves", type=Path, required=True, help="folder for the curves")
    trains.add_argument("--seeds", type=int, nargs="+", default=[0])
    trains.add_argument("--folds", type=int, default=3, help="0 for the splits of the collection")
    compares = commands.add_parser("compare")
    compares.add_argument("curves", type=Path, nargs="+", help="folders of curves")
    compares.add_argument("--sizes", type=int, nargs="+", default=[15, 30, 60])
    compares.add_argument("--draws", type=int, default=200, help="validation splits for each run")
    compares.add_argument("--json", type=Path, help="write the results to this file as well")
    args, overrides = common.parse_with_fields(parser)
    if args.command == "train":
        train(args, overrides)
    else:
        compare(args)


if __name__ == "__main__":
    sys.exit(common.run(main))
