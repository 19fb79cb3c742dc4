"""The flags of the command line, each defined once. A mode names those that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artjax.data import collections

DEFAULT_BUILDER = "collection"
"""Anybody's own pictures."""

FORMATS = ("stablehlo", "onnx", "savedmodel", "safetensors")
"""Of `--mode export`; the table is `artjax.export.formats`, which `--help` need not import."""

VERBOSITIES = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Flag:
    """A flag.

    Attributes:
      help: what it means, or a function that says it.
      type: makes its value of the text.
      metavar: how its value is called.
      several: whether it may be given more than once.
      choices: the valid values, if they are few.
      switch: whether it stands alone, without a value.
    """

    help: str | Callable[[], str]
    type: Callable[[str], Any] = str
    metavar: str | None = None
    several: bool = False
    choices: tuple[str, ...] = ()
    switch: bool = False

    @property
    def text(self) -> str:
        """What it means."""
        return self.help if isinstance(self.help, str) else self.help()

    @property
    def parsing(self) -> dict[str, Any]:
        """How `argparse` reads it."""
        if self.switch:
            return {"action": "store_true"}
        action = "append" if self.several else "store"
        return {"type": self.type, "metavar": self.metavar, "action": action}


def _help_of_config() -> str:
    return (
        "the task: configs/artist.py, genre.py, location.py, style.py, all_labels.py or any.py; the "
        f"collection is {', '.join(collections.names())} or any prepared TFDS image set (default: "
        f"{collections.preferred(('artist',))}, or {collections.preferred(('location',))} for location, "
        f"if it is prepared; else the embedded {collections.sample()})"
    )


FLAGS: Mapping[str, Flag] = {
    "config": Flag(_help_of_config, metavar="FILE[:COLLECTION]"),
    "workdir": Flag(
        "the run's folder (default: runs/<config>-<collection>); with --mode evaluate or predict, "
        "several are an ensemble, and --mode compare sets them beside each other",
        type=Path,
        several=True,
    ),
    "data_dir": Flag("TFDS's data directory (default: TFDS's own)", type=Path),
    "canvas_dir": Flag("the folder for canvases (default: DATA_DIR/canvases)", type=Path),
    "feature_dir": Flag(
        "the folder for the features of frozen trunks (default: DATA_DIR/features)", type=Path
    ),
    "collection": Flag(
        lambda: f"the builder: {', '.join(collections.names())} (default: {DEFAULT_BUILDER})",
        metavar="NAME",
        choices=tuple(collections.names()),
    ),
    "builder_config": Flag(
        "the builder's config: a name, such as artist where each artist has a folder, or JSON, such as "
        '\'{"name": "few", "min_works": 2}\'; default: all that the builder lists',
        metavar="NAME_OR_JSON",
    ),
    "overwrite": Flag(
        "build again what is prepared already; with --mode export: replace an earlier export",
        switch=True,
    ),
    "split": Flag("train, validation or test (default: test; with --mode explain validation)"),
    "checkpoint": Flag("best (by validation) or last (default: best)"),
    "out": Flag(
        "with --mode predict the table to write (.csv, or .jsonl for JSON lines), a row for each "
        "picture; the same command continues it (default: WORKDIR/predict/predictions.csv); else the "
        "folder (default: in WORKDIR/explanations, WORKDIR/export/FORMAT, WORKDIR/compare)",
        type=Path,
        metavar="PATH",
    ),
    "format": Flag(
        f"the kind of file: {', '.join(FORMATS)} (weights alone)",
        choices=FORMATS,
    ),
    "preprocessing": Flag(
        "inside: uint8 pictures in, probabilities out; outside: normalised pictures in, logits out "
        "(default: inside)",
        choices=("inside", "outside"),
    ),
    "top": Flag("labels of each picture, the most probable first (default: 5)", type=int),
    "report": Flag(
        "write a page with the pictures, heat maps and nearest works as well, as --mode explain does",
        switch=True,
    ),
    "catalogue": Flag(
        "predict the works that the works.csv (or another list) of the one folder names, with their "
        "work_id and title",
        switch=True,
    ),
    "host": Flag(
        "the address to listen at; only this machine reaches the default (default: 127.0.0.1)"
    ),
    "port": Flag("the port; 0 takes any that is free (default: 8000)", type=int),
    "max_mb": Flag("the largest picture file, in MB (default: 50)", type=int, metavar="MB"),
    "per_minute": Flag("pictures a minute from one address (default: 120)", type=int),
    "works": Flag("works of the split to explain, drawn at random (default: 24)", type=int),
    "neighbours": Flag(
        "nearest works of train to name for each picture (default: 0 with --mode predict, 5 with "
        "--mode explain)",
        type=int,
    ),
    "class_pictures": Flag(
        "draw what the network would most like to see of each class, from noise, or from the one "
        "picture that is given",
        switch=True,
    ),
    "map": Flag(
        "draw the works of the split as a map, on which those lie near each other that the network "
        "takes for alike",
        switch=True,
    ),
    "stop_after_steps": Flag(
        "save a checkpoint and stop after this total number of steps, to try things out", type=int
    ),
    "coordinator": Flag(
        "train with several processes: the same address for all, or 'auto' on a cluster that JAX "
        "detects (Slurm, Open MPI, Kubernetes, TPU)",
        metavar="HOST:PORT",
    ),
    "num_processes": Flag("with --coordinator: total number of processes", type=int),
    "process_id": Flag("with --coordinator: number of this process, from 0", type=int),
    "compilation_cache": Flag(
        "the folder for compiled programs, so that the next start need not compile, or 'off' (default: "
        "JAX_COMPILATION_CACHE_DIR, else artjax/compiled in your cache folder)",
        metavar="FOLDER",
    ),
    "verbosity": Flag(
        f"level of the libraries' own logs: {', '.join(VERBOSITIES)} (default: error)",
        choices=VERBOSITIES,
    ),
}

ALWAYS = ("mode", "compilation_cache", "verbosity")
"""The flags that every mode uses."""
