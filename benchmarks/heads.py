"""Heads on the same features: artjax's solved head beside scikit-learn's, on the same tested works.

    python benchmarks/heads.py collection/landscapes period --data_dir DATA --runs fine-tuned=WORKDIR

Finished cross-validations with the same folds stand beside them, each with a name. The features are
those of `configs/probe.py`, the folds those of `--config.folds`. Each head sees the train works of a
fold, and chooses what it has to choose there or on validation; the test works of all folds together are
one score. Features are computed once, and kept in DATA.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import common
import jax
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from artjax import config as config_lib
from artjax.data.splits import SPLITS
from artjax.evaluation.colour_histograms import colour_baseline, right_works
from artjax.evaluation.intervals import share_interval
from artjax.evaluation.paired import paired
from artjax.places import Places
from artjax.runtime import compilation_cache
from artjax.runtime.threads import one_thread
from artjax.setup import Setup, open_setup
from artjax.training import solving
from artjax.training.logs import Console

PROBE = Path(__file__).parents[1] / "configs" / "probe.py"
STRENGTHS = [float(f"{10 ** (half / 2):.3g}") for half in range(-8, 3)]
"""C of the logistic regressions, on features of variance 1 each: 0.0001 to 10."""
SVC_STRENGTHS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
NEIGHBOURS = [1, 3, 5, 7, 10, 15, 20, 30]
PARTS = 5  # of train, for GridSearchCV
_SMALLEST_SHOWN = 0.001


@dataclass(frozen=True)
class Fold:
    """What the heads of a fold are given.

    Attributes:
      setup: with features; of the probe.
      known: of each split, the works whose label is known, int [N].
      features: of these, by split, float32 [N, C].
      labels: of these, by split, int [N].
    """

    setup: Setup
    known: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    @property
    def task(self) -> str:
        """The one task."""
        return str(self.setup.config.task[0])


def open_fold(config: Any, fold: int, places: Places) -> Fold:
    """Opens a fold as a run of the probe does; computes the features that are not kept."""
    config = config_lib.changed(config, {"fold": fold})
    setup = open_setup(config, places, say=lambda line: None)
    setup = replace(setup, console=Console(enabled=False))
    setup, _ = setup.with_features(setup.initial_frozen())
    splits, task = setup.splits, config.task[0]
    known = {name: np.flatnonzero(splits[name].labels[task] >= 0) for name in SPLITS}
    features = {
        name: np.asarray(splits[name].images[splits[name].rows[rows]], np.float32)
        for name, rows in known.items()
    }
    labels = {name: splits[name].labels[task][rows] for name, rows in known.items()}
    return Fold(setup, known, features, labels)


def solved(fold: Fold) -> np.ndarray:
    """artjax's head, solved as a run of the probe does."""
    setup = fold.setup
    train = setup.data.split("train", config_lib.label_features(setup.config))
    groups = setup.data.groups(train, setup.data.split_by)
    groups = np.tile(groups, setup.config.features.views)
    found = solving.solve(setup.training, setup.initial_state(), setup.train, groups)
    head = found.state.params[f"head_{fold.task}"]
    logits = fold.features["test"] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    return _right(logits.argmax(1), fold)


def regression_by_validation(fold: Fold) -> np.ndarray:
    """Logistic regression; C has the lowest loss on validation."""
    classes = len(fold.setup.record.classes[fold.task])
    seen = fold.labels["validation"]

    def loss(model: Any) -> float:
        # A class without a work in train has no probability.
        p = np.full((len(seen), classes), 1e-12)
        p[:, model.classes_] += model.predict_proba(fold.features["validation"])
        return float(log_loss(seen, p / p.sum(1, keepdims=True), labels=np.arange(classes)))

    models = [_fitted(_scaled(_regression(C=strength)), fold) for strength in STRENGTHS]
    return _tested(min(models, key=loss), fold)


def neighbours_by_validation(fold: Fold) -> np.ndarray:
    """The nearest works of train; their number has the highest top-1 on validation."""
    numbers = [k for k in NEIGHBOURS if k <= len(fold.labels["train"])]
    models = [_fitted(KNeighborsClassifier(k, metric="cosine"), fold) for k in numbers]
    seen = fold.features["validation"], fold.labels["validation"]
    return _tested(max(models, key=lambda model: model.score(*seen)), fold)


def by_grid_search(model: Any, strengths: Sequence[float]) -> Callable[[Fold], np.ndarray]:
    """The model whose C has the highest top-1 in a cross-validation of train."""

    def right(fold: Fold) -> np.ndarray:
        parts = min(PARTS, int(np.bincount(fold.labels["train"]).max()))
        parts_of = StratifiedKFold(parts, shuffle=True, random_state=0)
        name = f"{model.steps[-1][0]}__C"
        return _tested(_fitted(GridSearchCV(model, {name: strengths}, cv=parts_of), fold), fold)

    return right


def colours(fold: Fold) -> np.ndarray:
    """artjax's baseline of colour histograms."""
    setup, counts = fold.setup, {}
    for name, rows in fold.known.items():
        # Not `setup.splits`: the rows of features are no longer those of the pictures.
        of_split = setup.data.colours(
            setup.data.split(name, config_lib.label_features(setup.config))
        )
        if of_split is None:
            raise common.CannotRunError("the colours of the works cannot be counted here")
        counts[name] = of_split[rows]
    baseline = colour_baseline(counts, fold.labels)
    if baseline is None:
        raise common.CannotRunError("a fold has one class only")
    return right_works(baseline, "test")


def of_run(workdir: Path, fold: Fold) -> np.ndarray:
    """Which test works of a fold a finished cross-validation names rightly, bool [N].

    Raises:
      CannotRunError: if there is none, or it has tested other works.
    """
    table = workdir / "evaluation" / "folds" / "predictions.csv"
    if not table.is_file():
        raise common.CannotRunError(f"no finished cross-validation in {workdir}: no {table}")
    with table.open(newline="", encoding="utf-8") as file:
        right = {
            row["file_name"]: row["predicted"] == row["label"]
            for row in csv.DictReader(file)
            if row["task"] == fold.task and int(row["fold"]) == fold.setup.config.fold
        }
    tested = fold.setup.splits["test"].file_names[fold.known["test"]].tolist()
    if right.keys() != set(tested):
        raise common.CannotRunError(
            f"{workdir} has tested other works in fold {fold.setup.config.fold}: it needs the same "
            "data, folds, seed and split_by"
        )
    return np.asarray([right[name] for name in tested])


def _regression(**settings: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=2000, **settings)


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def _fitted(model: Any, fold: Fold) -> Any:
    return model.fit(fold.features["train"], fold.labels["train"])


def _tested(model: Any, fold: Fold) -> np.ndarray:
    return _right(model.predict(fold.features["test"]), fold)


def _right(answers: np.ndarray, fold: Fold) -> np.ndarray:
    return np.asarray(answers == fold.labels["test"])


OURS = "artjax, solved head"
HEADS: dict[str, Callable[[Fold], np.ndarray]] = {
    OURS: solved,
    "LogisticRegression, C by the loss on validation": regression_by_validation,
    "LogisticRegression, C by GridSearchCV": by_grid_search(_scaled(_regression()), STRENGTHS),
    "SVC (RBF), defaults": lambda fold: _tested(_fitted(_scaled(SVC()), fold), fold),
    "SVC (RBF), C by GridSearchCV": by_grid_search(_scaled(SVC()), SVC_STRENGTHS),
    "k-NN (cosine), k by validation": neighbours_by_validation,
    "colour histograms": colours,
}
"""By name, which test works of a fold the head names rightly, bool [N]."""


def compare(config: Any, places: Places, runs: Mapping[str, Path]) -> dict[str, Any]:
    """Every head on every fold: `n`, the seconds for opening and features, and `heads` by name.

    Args:
      config: of the probe.
      places: the folders.
      runs: finished cross-validations by the names that they get; theirs took no seconds here.
    """
    heads = HEADS | {name: partial(of_run, workdir) for name, workdir in runs.items()}
    right: dict[str, list[np.ndarray]] = {name: [] for name in heads}
    seconds = dict.fromkeys(["features", *heads], 0.0)
    groups_of = []
    for number in range(config.folds):
        since = time.perf_counter()
        fold = open_fold(config, number, places)
        seconds["features"] += time.perf_counter() - since
        # As in evaluation: near-duplicates are right or wrong together.
        group_of = fold.setup.data.group_of_works()
        ids = fold.setup.splits["test"].work_ids[fold.known["test"]]
        groups_of.append([group_of[work] for work in ids.tolist()])
        for name, head in heads.items():
            since = time.perf_counter()
            # Threads of scikit-learn wait for each other where other programs use the cores.
            with warnings.catch_warnings(), one_thread():
                warnings.simplefilter("ignore")  # of classes with fewer works than parts
                right[name].append(head(fold))
            seconds[name] += time.perf_counter() - since
    pooled = {name: np.concatenate(of_folds) for name, of_folds in right.items()}
    groups = np.concatenate(groups_of)
    return {
        "n": len(pooled[OURS]),
        "features_s": seconds["features"],
        "heads": {
            name: {
                "top1": float(of.mean()),
                "top1_ci95": share_interval(of, groups),
                "seconds": None if name in runs else seconds[name],
                "paired": paired(pooled[OURS], of, groups)._asdict(),
            }
            for name, of in pooled.items()
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """The comparison in Markdown."""
    lines = [
        "| head | top-1 (95 % interval) | only artjax right, only the other | p | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["heads"].items():
        low, high = row["top1_ci95"]
        first, second, p = row["paired"].values()
        shown = f"{p:.2g}" if p >= _SMALLEST_SHOWN else f"< {_SMALLEST_SHOWN}"
        pairs = " | " if name == OURS else f"{first}, {second} | {shown}"
        lines.append(
            f"| {name} | {100 * row['top1']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) | {pairs} "
            f"| {'' if row['seconds'] is None else format(row['seconds'], '.1f')} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table of one task of one collection."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("collection", help="a prepared one")
    parser.add_argument("task", help="a label of it")
    parser.add_argument("--data_dir", type=Path, required=True, help="TFDS's data directory")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--runs", nargs="+", default=[], metavar="NAME=WORKDIR", help="cross-validations to compare"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    args, overrides = common.parse_with_fields(parser)
    config = config_lib.load_config_file(PROBE, args.collection)
    config.task, config.folds = (args.task,), args.folds
    config_lib.apply_overrides(config, overrides)
    runs = {name: Path(folder) for name, _, folder in (run.partition("=") for run in args.runs)}
    compilation_cache.use_cache("")
    with tempfile.TemporaryDirectory() as workdir:
        result = compare(config, Places(Path(workdir), args.data_dir), runs)
    print(
        f"{args.collection}, {args.task}: {result['n']} works tested in {args.folds} folds; opening "
        f"them, with features that were not kept, took {result['features_s']:.1f} s"
    )
    print(table(result))
    flags = " ".join(f"--config.{name}={value}" for name, value in overrides)
    print(
        f"the same head in steps: python launch.py --config configs/probe.py:{args.collection} "
        f"--config.task={args.task} --config.folds={args.folds} --data_dir {args.data_dir} "
        f"--config.optim.name=adamw --config.features.views=4 {flags}".rstrip()
    )
    heading = common.heading(str(jax.devices()[0]), jax, sklearn)
    common.write(args.json, heading | {"settings": dict(overrides)} | result)


if __name__ == "__main__":
    sys.exit(common.run(main))
