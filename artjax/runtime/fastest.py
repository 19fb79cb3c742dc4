"""Chooses the fastest of several ways to compute the same by timing them, and remembers the choice."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax

_RUNS = 2  # of each candidate, after one that is not timed


class Candidate(NamedTuple):
    """A function, the compiler options for it, and a name that tells it from the other candidates."""

    function: Callable[..., Any]
    options: dict[str, str]
    name: str = ""


class FastestProgram:
    """A compiled function that is the fastest of some candidates.

    At the first call with arguments of new shapes, each candidate is compiled and timed. The choice is
    kept beside the compiled programs on the disk, so the next start does not time again. Candidates may
    differ in rounding: use it where the same bits are not needed twice.

    Attributes:
      function: the function of the first candidate, not compiled.
    """

    def __init__(self, candidates: Sequence[Candidate], **settings: Any) -> None:
        """Compiles nothing yet.

        Args:
          candidates: the functions are pure and compute the same; their arguments are not donated.
          settings: further arguments of `jax.jit`.
        """
        self.function = candidates[0].function
        self._jitted = [
            jax.jit(candidate.function, compiler_options=candidate.options, **settings)
            for candidate in candidates
        ]
        self._names = [f"{candidate.name} {candidate.options}" for candidate in candidates]
        self._chosen: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function."""
        leaves, tree = jax.tree.flatten(arguments)
        shapes = tree, *((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if shapes not in self._chosen:
            self._chosen[shapes] = self._choose(arguments)
        return self._chosen[shapes](*arguments)

    def _choose(self, arguments: tuple[Any, ...]) -> Any:
        if len(self._jitted) == 1:
            return self._jitted[0]
        file = self._file(arguments)
        known = _read(file)
        if known in self._names:
            return self._jitted[self._names.index(known)]
        seconds = [_seconds(jitted, arguments) for jitted in self._jitted]
        best = seconds.index(min(seconds))
        if file is not None:
            with suppress(OSError):  # it is timed again next time
                file.write_text(
                    json.dumps({"fastest": self._names[best], "seconds": seconds}) + "\n"
                )
        return self._jitted[best]

    def _file(self, arguments: tuple[Any, ...]) -> Path | None:
        folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
        if not folder:
            return None
        described = [
            self._jitted[0].lower(*arguments).as_text(),
            jax.lib.__version__,
            str(os.cpu_count()),
            json.dumps(self._names),
        ]
        digest = hashlib.sha256("\n".join(described).encode()).hexdigest()
        return Path(folder) / f"fastest-{digest[:32]}.json"


def _read(file: Path | None) -> str | None:
    if file is None or not file.is_file():
        return None
    try:
        name: str = json.loads(file.read_text())["fastest"]
        return name
    except (ValueError, KeyError, OSError):
        return None


def _seconds(jitted: Any, arguments: tuple[Any, ...]) -> float:
    """The faster of two runs, after one for compiling."""
    jax.block_until_ready(jitted(*arguments))
    taken = []
    for _ in range(_RUNS):
        since = time.perf_counter()
        jax.block_until_ready(jitted(*arguments))
        taken.append(time.perf_counter() - since)
    return min(taken)
