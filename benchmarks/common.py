"""What the benchmarks share: sizes by platform, command line, heading of a result, worker processes.

Only the standard library is imported here, so that a worker can run in an environment that has torch
and nothing of artjax.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform as platform_lib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_CANNOT = "cannot run: "


class Size(NamedTuple):
    """The default of a flag, which depends on where JAX computes.

    Attributes:
      cpu: on a CPU; the whole benchmark then takes one to two minutes on two cores.
      accelerator: on a GPU or TPU.
      help: what the number counts.
    """

    cpu: Any
    accelerator: Any
    help: str


def everywhere(value: Any, help: str) -> Size:
    """A size that does not depend on the platform, since the job runs on CPU cores."""
    return Size(value, value, help)


_ONE_MODEL = {
    "model": Size("vgg_small", "vgg16_bn", "name of the model"),
    "image_size": Size(64, 224, "side of the picture in pixels"),
    "batch_size": Size(32, 256, "global batch size"),
}

# By benchmark and flag. Flags on the command line override them.
SIZES: dict[str, dict[str, Size]] = {
    "train_step": {
        "models": Size(["vgg_small"], ["vgg16", "vgg16_bn"], "names of the models"),
        "sizes": Size([64], [64, 128, 224], "sides of the picture in pixels"),
        "batch": Size(32, 256, "batch size"),
        "dtype": Size("float32", "bfloat16", "type of the activations"),
        "rounds": Size(15, 8, "rounds in which the contestants take turns"),
        "steps": Size(2, 10, "steps in a round"),
    },
    "features": {
        "models": Size(["vgg16", "dinov2_small"], ["vgg16", "resnet50", "dinov2_base"], "trunks"),
        "size": everywhere(224, "side of the picture in pixels"),
        "batch": Size(8, 256, "batch size"),
        "rounds": Size(5, 10, "rounds in which the contestants take turns"),
    },
    "search": {
        "heads": Size(100, 1000, "heads that are trained at once"),
        "alone": Size(10, 10, "heads that are also trained one after the other"),
        "works": Size(2_000, 10_000, "works of the training split"),
        "batch": everywhere(256, "batch size"),
        "epochs": everywhere(20, "passes over the works"),
    },
    "loop": {
        **_ONE_MODEL,
        "steps": Size(40, 200, "steps in a round"),
        "rounds": Size(2, 3, "rounds in which the sources take turns"),
        "works": Size(24, 48, "different pictures"),
        "repeats": Size(16, 24, "copies of each picture"),
    },
    "augment": {**_ONE_MODEL, "steps": Size(20, 20, "steps with each setting")},
    "growth": {
        **_ONE_MODEL,
        "batches": Size([8, 16, 32, 64], [32, 64, 128, 256, 512], "batch sizes to compare"),
        "sizes": Size([32, 64, 96], [64, 128, 224, 320, 384], "sides to compare, in pixels"),
        "devices": Size([1, 2, 4], [1, 2, 4, 8], "numbers of devices to compare"),
        "works": Size(
            [1_000, 10_000, 100_000],
            [1_000, 10_000, 100_000, 1_000_000],
            "numbers of works to compare",
        ),
        "rounds": Size(5, 15, "rounds in which the points of a table take turns"),
    },
    "input": {
        "works": everywhere(48, "different pictures"),
        "repeats": everywhere(12, "copies of each picture"),
        "batch_size": everywhere(32, "pictures in a batch"),
        "batches": everywhere(12, "batches in a round"),
        "rounds": everywhere(5, "rounds in which the contestants take turns"),
    },
    "predict": {
        "model": Size("squeezenet1_1", "resnet50", "name of the model"),
        "image_size": everywhere(224, "side of the picture in pixels"),
        "works": everywhere(40, "different pictures"),
        "repeats": Size(25, 100, "copies of each picture"),
        "rounds": everywhere(3, "rounds in which the jobs take turns"),
    },
    "prepare": {
        "pictures": everywhere(8, "pictures of each size"),
        "rounds": everywhere(5, "rounds in which the contestants take turns"),
        "works": everywhere(500, "pictures for one process and for two"),
    },
    "shared_parts": {
        "works": everywhere(40_000, "made works in the whole search"),
        "canvas": everywhere(256, "side of the canvases in pixels"),
        "drawn": everywhere(60, "drawn pictures, if no folder is given"),
    },
    "near_duplicates": {"hashes": everywhere(40_000, "hashes in the largest search")},
}


class CannotRunError(Exception):
    """A benchmark, or one of its contestants, cannot run on this machine. The message is one line."""


def create_parser(doc: str | None, name: str, platform: str = "cpu") -> argparse.ArgumentParser:
    """A command line with a flag for each size of a benchmark, and --json.

    Args:
      doc: docstring whose first line describes the benchmark.
      name: of the benchmark, as in `SIZES`.
      platform: where JAX computes: `cpu`, `gpu` or `tpu`.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    for flag, size in SIZES[name].items():
        default = default_size(size, platform)
        several = isinstance(default, list)
        shown = " ".join(map(str, default)) if several else default
        parser.add_argument(
            f"--{flag}",
            type=type(default[0] if several else default),
            nargs="*" if several else None,
            default=default,
            help=f"{size.help} (default here: {shown})",
        )
    return parser


def parse_with_fields(
    parser: argparse.ArgumentParser,
) -> tuple[argparse.Namespace, list[tuple[str, str]]]:
    """The parsed command line, and the fields of the configuration that it sets: names and values."""
    args, rest = parser.parse_known_args()
    unknown = [flag for flag in rest if not (flag.startswith("--config.") and "=" in flag)]
    if unknown:
        parser.error(f"unknown flag {unknown[0]}; fields are set as --config.FIELD=VALUE")
    pairs = [flag.removeprefix("--config.").partition("=") for flag in rest]
    return args, [(name, value) for name, _, value in pairs]


def default_size(size: Size, platform: str) -> Any:
    """The default of a flag on a platform."""
    return size.cpu if platform == "cpu" else size.accelerator


def describe_sizes(name: str, platform: str, args: argparse.Namespace) -> str:
    """The first line of a benchmark's output: its sizes, and why it takes these."""
    sizes = SIZES[name]
    given = vars(args)
    shown = ", ".join(
        f"{flag} {' '.join(map(str, v)) if isinstance(v := given[flag], list) else v}"
        for flag in sizes
    )
    if all(size.cpu == size.accelerator for size in sizes.values()):
        why = "the same on every machine, since CPU cores do this job"
    elif platform == "cpu":
        why = "chosen for a CPU, since JAX finds no GPU or TPU"
    else:
        why = f"chosen for a {platform.upper()}"
    changed = [flag for flag, size in sizes.items() if given[flag] != default_size(size, platform)]
    by_flag = f"; set by flags: {', '.join(changed)}" if changed else ""
    return f"sizes: {shown} ({why}{by_flag})"


def run(main: Callable[[], int | None]) -> int:
    """Runs a benchmark and returns its exit status: 2, and one line, if it cannot run here."""
    try:
        return main() or 0
    except Exception as error:
        reason = reason_it_cannot_run(error)
        if reason is None:
            raise
        print(f"{_CANNOT}{reason}", file=sys.stderr)
        return 2


def reason_it_cannot_run(error: Exception) -> str | None:
    """One line for an error that this machine or the command line causes; None for a defect."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "RESOURCE_EXHAUSTED" in str(error):
        return "not enough memory: give smaller sizes"
    # Errors of artjax are compared by name: this module must not import the package.
    if kinds & {"CannotRunError", "ModuleNotFoundError", "ArtjaxError"}:
        return str(error).partition("\n")[0]
    return None


def heading(devices: str, *libraries: ModuleType) -> dict[str, Any]:
    """The fields that every result begins with: date, machine and versions.

    Args:
      devices: in words; empty where only CPU cores work.
      libraries: those whose versions matter, besides Python.
    """
    cores = f"{os.cpu_count()} CPU cores, {platform_lib.machine()}"
    versions = {library.__name__: library.__version__ for library in libraries}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{devices}, {cores}" if devices else cores,
        "versions": {"python": platform_lib.python_version()} | versions,
    }


def write(path: Path | None, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON if a path is given."""
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")


class Section(dict):
    """Replaces `ml_collections.ConfigDict` where that is not installed."""

    __setattr__ = dict.__setitem__

    def __init__(self, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            (name, Section(value) if isinstance(value, dict) else value)
            for name, value in (fields or {}).items()
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to_dict(self) -> dict[str, Any]:
        """The section and those within it as plain dicts."""
        return {
            name: value.to_dict() if isinstance(value, Section) else value
            for name, value in self.items()
        }


def create_config(**changes: Any) -> Any:
    """artjax's default configuration with some fields changed, checked.

    Args:
      changes: values by field name, with `__` for the dot: `model__name="vgg_small"`.

    Raises:
      ConfigError: if the configuration is invalid.
    """
    from artjax.config import default_config
    from artjax.training.checks import check_config

    has_config_dict = importlib.util.find_spec("ml_collections") is not None
    config: Any = default_config(None if has_config_dict else Section)
    for name, value in changes.items():
        *sections, leaf = name.split("__")
        holder = config
        for section in sections:
            holder = holder[section]
        holder[leaf] = value
    check_config(config)
    return config


class Worker:
    """A process that prints one line when it is ready, and then answers each line with one.

    Attributes:
      greeting: its first line.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Starts the process with its parent's environment and the variables of `env`.

        Raises:
          CannotRunError: if the process reports that it cannot run.
          RuntimeError: here and in `ask`, if the process has ended.
        """
        self._name = command[0]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.greeting = self._read()
        if self.greeting.startswith(_CANNOT):
            self.close()
            raise CannotRunError(self.greeting.removeprefix(_CANNOT))

    def ask(self, line: object) -> str:
        """Sends a line and returns the answer."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"the process of {self._name} ended; its own message is above")
        return line.strip()

    def close(self) -> None:
        """Ends the process, which frees its memory."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve(start: Callable[[], tuple[str, Callable[[str], object]]]) -> None:
    """Runs the other side of a `Worker`.

    Args:
      start: prepares the work; returns the greeting and the function that answers a line.
    """
    try:
        greeting, answer = start()
    except Exception as error:
        reason = reason_it_cannot_run(error)
        if reason is None:
            raise
        print(f"{_CANNOT}{reason}", flush=True)
        return
    print(greeting, flush=True)
    for line in sys.stdin:
        print(answer(line.strip()), flush=True)
