"""What a builder prints inside TFDS's own program, `tfds build`: fewer lines, and what to type next.

Builders that are used as a library, or in tests, change neither logging nor the end of the process.
"""

from __future__ import annotations

import atexit
import os
import shlex
import sys
from pathlib import Path

from absl import flags, logging

from artjax.config import LABELS
from artjax.data import prepared as prepared_lib
from artjax.data.prepared import Prepared
from artjax.errors import DataError

# The labels with a file configs/<label>.py; others are set with --config.task.
LABELS_WITH_CONFIG = ("artist", "genre", "location", "style")
_REPOSITORY = Path(__file__).parents[2]


def is_running() -> bool:
    """Whether this process is `tfds`, or `python -m tensorflow_datasets.scripts.cli.main`."""
    program = Path(sys.argv[0])
    return program.stem == "tfds" or program.parts[-3:] == ("scripts", "cli", "main.py")


def log_errors_only() -> None:
    """Hides what TFDS and libvips log below errors, unless the command line asks for logs.

    `tfds build` shows the INFO lines of all libraries; `--verbosity` or `--logtostderr` keeps them.
    """
    asked = any(flags.FLAGS[f].present for f in ("verbosity", "logtostderr", "alsologtostderr"))
    if is_running() and not asked:
        logging.set_verbosity(logging.ERROR)


def say_next_at_exit(prepared: Prepared, data_dir: Path) -> None:
    """Prints the next command when `tfds build` ends, after all that TFDS prints, unless it fails.

    Args:
      prepared: the set that has been built, or was there already.
      data_dir: TFDS's data directory, which has it.
    """
    if is_running():
        atexit.register(_say_if_succeeded, f"next: {next_command(prepared, data_dir)}")


def _say_if_succeeded(line: str) -> None:
    # Python sets it for an exception that nobody caught, such as that of the next of several sets.
    if not hasattr(sys, "last_value"):
        print(line, flush=True)


def next_command(prepared: Prepared, data_dir: Path, program: str = "") -> str:
    """The command that describes a prepared set, for the first of its labels that has several classes.

    Args:
      prepared: a set with at least one label.
      data_dir: TFDS's data directory, which has it.
      program: what the user types for artjax; default: `python` and the nearest launch.py, or `artjax`
        where it is installed without the repository.
    """
    apart = prepared.metadata.get("split_by")  # no network can be tested on it
    known = [
        label
        for label in (*LABELS, *prepared.labels)
        if len(prepared.labels.get(label, ())) > 1 and label != apart
    ]
    label = [*known, *prepared.labels][0]
    file = f"configs/{label if label in LABELS_WITH_CONFIG else 'any'}.py"
    words = [*(shlex.split(program) or _program()), "--config"]
    words.append(f"{file}:{_shortest_name(prepared, label, data_dir)}")
    if label not in LABELS_WITH_CONFIG:
        words.append(f"--config.task={label}")
    words += ["--mode", "describe"]
    if data_dir.absolute() != prepared_lib.default_data_dir().absolute():
        words += ["--data_dir", os.fspath(data_dir)]
    return shlex.join(words)


def _program() -> list[str]:
    if Path("launch.py").is_file():
        return ["python", "launch.py"]
    launch = _REPOSITORY / "launch.py"  # which finds configs/ beside itself
    return ["python", str(launch)] if launch.is_file() else ["artjax"]


def _shortest_name(prepared: Prepared, label: str, data_dir: Path) -> str:
    """The name without its config if that means the same set, else the full one."""
    plain = prepared.name.partition("/")[0]
    try:
        if prepared_lib.find(plain, (label,), data_dir).name == prepared.name:
            return plain
    except DataError:  # it may mean several
        pass
    return prepared.name
