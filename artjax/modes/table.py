"""The table of modes. To add one, write a file with a function `run(command)`, and enter a row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artjax.modes.command import Command

_DATA = ("config", "workdir", "data_dir", "canvas_dir")
_PROCESSES = ("coordinator", "num_processes", "process_id")


@dataclass(frozen=True)
class Mode:
    """A value of `--mode`.

    Attributes:
      help: what it does, in one line.
      example: a command.
      run: does it; returns the exit status.
      flags: the flags that it uses; all others are refused.
      fields: the beginning of the configuration's fields that it takes; empty = all.
      several_workdirs: whether it takes several runs, as an ensemble.
    """

    help: str
    example: str
    run: Callable[[Command], int]
    flags: tuple[str, ...] = _DATA
    fields: str = ""
    several_workdirs: bool = False


def later(module: str) -> Callable[[Command], int]:
    """`run` of a module, which is imported only when it is called: so `--help` waits for no mode."""

    def run(command: Command) -> int:
        status: int = importlib.import_module(module).run(command)
        return status

    return run


MODES: Mapping[str, Mode] = {
    "prepare": Mode(
        "prepare a folder of pictures as a collection, once, before anything else",
        "--mode prepare PICTURES",
        later("artjax.modes.prepare"),
        flags=("pictures", "collection", "builder_config", "data_dir", "overwrite"),
    ),
    "train": Mode(
        "train or resume the run of a workdir, then evaluate its best checkpoint",
        "--config configs/artist.py",
        later("artjax.modes.train"),
        flags=(*_DATA, "feature_dir", "stop_after_steps", *_PROCESSES),
    ),
    "describe": Mode(
        "write a report about a collection, before training",
        "--config configs/artist.py:collection --mode describe",
        later("artjax.modes.describe.mode"),
    ),
    "check": Mode(
        "check in a minute whether this set-up can learn; exit status 1 if it cannot",
        "--config configs/artist.py:collection --mode check",
        later("artjax.modes.check.mode"),
    ),
    "labels": Mode(
        "list the works whose label may be wrong, by heads on the features of a frozen trunk",
        "--config configs/probe.py:collection --config.model.weights=W --mode labels",
        later("artjax.modes.labels.mode"),
        flags=(*_DATA, "feature_dir"),
    ),
    "lr_find": Mode(
        "try all learning rates on a few batches, and suggest one",
        "--config configs/artist.py:collection --mode lr_find",
        later("artjax.modes.lr_find.mode"),
        flags=(*_DATA, "feature_dir"),
    ),
    "benchmark": Mode(
        "measure the speed of step, data and loop, and find the bottleneck",
        "--config configs/artist.py --mode benchmark",
        later("artjax.modes.benchmark"),
        flags=(*_DATA, *_PROCESSES),
    ),
    "search": Mode(
        "try many hyperparameters, and name the best on validation",
        "--config configs/probe.py:collection --config.model.weights=W --mode search",
        later("artjax.modes.search.mode"),
        flags=(*_DATA, "feature_dir"),
    ),
    "evaluate": Mode(
        "evaluate a checkpoint of a workdir on a split; several workdirs are an ensemble",
        "--workdir runs/artist-studio --mode evaluate --split test",
        later("artjax.modes.evaluate"),
        flags=(*_DATA, "split", "checkpoint", *_PROCESSES),
        fields="eval.",
        several_workdirs=True,
    ),
    "compare": Mode(
        "compare runs on the same test works, and show those that only one names rightly",
        "--workdir runs/a --workdir runs/b --mode compare",
        later("artjax.modes.compare.mode"),
        flags=("config", "workdir", "data_dir", "canvas_dir", "checkpoint", "out"),
        fields="eval.",
        several_workdirs=True,
    ),
    "predict": Mode(
        "predict the labels of image files; several workdirs are an ensemble",
        "--workdir runs/artist-studio --mode predict a.jpg folder/",
        later("artjax.modes.predict.mode"),
        flags=(
            *("config", "workdir", "data_dir", "canvas_dir", "checkpoint", "pictures"),
            *("out", "top", "catalogue", "neighbours", "report"),
        ),
        fields="eval.",
        several_workdirs=True,
    ),
    "serve": Mode(
        "serve a page on this machine to drop pictures on; several workdirs are an ensemble",
        "--workdir runs/artist-studio --mode serve",
        later("artjax.modes.serve.mode"),
        flags=(*_DATA, "checkpoint", "host", "port", "max_mb", "per_minute"),
        fields="eval.",
        several_workdirs=True,
    ),
    "explain": Mode(
        "show what a run looks at: heat maps, nearest works of train; pictures of its classes; a map",
        "--workdir runs/artist-studio --mode explain a.jpg folder/",
        later("artjax.modes.explain.mode"),
        flags=(
            *("workdir", "data_dir", "canvas_dir", "checkpoint", "pictures", "split", "out"),
            *("works", "neighbours", "class_pictures", "map"),
        ),
        fields="eval.",
    ),
    "features": Mode(
        "write the features of all works of a run's collection, as features.npy and works.csv",
        "--workdir runs/artist-studio --mode features",
        later("artjax.modes.features"),
        flags=(*_DATA, "checkpoint"),
        fields="eval.",
    ),
    "export": Mode(
        "write the network of a run as a file for other programs, with a model card",
        "--workdir runs/artist-studio --mode export --format onnx",
        later("artjax.modes.export"),
        flags=(*_DATA, "checkpoint", "format", "preprocessing", "out", "overwrite"),
        fields="eval.views",
    ),
}
