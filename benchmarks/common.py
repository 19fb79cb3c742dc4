"""What the benchmarks share: command line, description of the machine, processes of their own."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def create_parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line, described by the first line of a docstring, with --json."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the results there as well")
    return parser


def heading(devices: str, *libraries: ModuleType) -> dict[str, Any]:
    """What a result begins with: date, machine and versions.

    Args:
      devices: in words; empty where none but the CPU's cores are meant.
      libraries: those whose versions matter, besides Python.
    """
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    versions = {library.__name__: library.__version__ for library in libraries}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{devices}, {cores}" if devices else cores,
        "versions": {"python": platform.python_version()} | versions,
    }


def write(path: Path | None, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON, where that is wanted."""
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")


class Worker:
    """A process that says a line when it is ready, and answers each line with one.

    Attributes:
      greeting: its first line.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Starts it, with the variables of `env` besides its parent's.

        Raises:
          RuntimeError: here and in `ask`, if it has ended.
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

    def ask(self, line: object) -> str:
        """Its answer."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._name} ended; what it said is above")
        return line.strip()

    def close(self) -> None:
        """Ends it, and frees its memory."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
