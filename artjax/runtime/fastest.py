"""Chooses the fastest of several ways to compute the same by timing them, and remembers the choice."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

# The candidates take turns, so that other programs disturb them alike.
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 20
_ENOUGH_S = 2.0
# Largest difference from the first candidate, as a share of its largest value. Rounding makes 1e-5 in
# float32, and what is rounded to float16 afterwards 1e-3.
_TOLERANCE = 1e-2


class Candidate(NamedTuple):
    """A way to compute.

    Attributes:
      function: pure.
      options: of the compiler.
      name: what tells it from the other candidates.
      around: what each of its calls, any of which may compile, is made in.
    """

    function: Callable[..., Any]
    options: dict[str, str]
    name: str = ""
    around: Callable[[], AbstractContextManager[None]] = nullcontext


class FastestProgram:
    """A compiled function that is the fastest of some candidates.

    At the first call with arguments of new shapes, each candidate is compiled and timed. The choice is
    kept beside the compiled programs on the disk, so the next start does not time again. Candidates may
    differ in rounding: use it where the same bits are not needed twice. One whose outputs differ from
    those of the first by more than a hundredth of the largest value is left out.

    Attributes:
      function: the function of the first candidate, not compiled.
    """

    def __init__(
        self, candidates: Sequence[Candidate], *, decided_by: int | None = None, **settings: Any
    ) -> None:
        """Compiles nothing yet.

        Args:
          candidates: the functions are pure and compute the same; their arguments are not donated.
          decided_by: number of leading arguments whose shapes decide; what was chosen for them is taken
            whatever the rest is. Default: all.
          settings: further arguments of `jax.jit`.
        """
        self.function = candidates[0].function
        self._jitted = [_jitted(candidate, settings) for candidate in candidates]
        self._options = [candidate.options for candidate in candidates]
        self._names = [f"{candidate.name} {candidate.options}" for candidate in candidates]
        self._decided_by = decided_by
        self._chosen: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function."""
        leaves, tree = jax.tree.flatten(arguments[: self._decided_by])
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
        different = self._right_ones(self._different(arguments), arguments)
        seconds = _fastest_runs([self._jitted[i] for i in different], arguments)
        best = different[seconds.index(min(seconds))]
        if file is not None:
            with suppress(OSError):  # it is timed again next time
                file.write_text(
                    json.dumps({"fastest": self._names[best], "seconds": seconds}) + "\n"
                )
        return self._jitted[best]

    def _different(self, arguments: tuple[Any, ...]) -> list[int]:
        """The candidates without those that are the same program as an earlier one."""
        first: dict[tuple[str, str], int] = {}
        for i, jitted in enumerate(self._jitted):
            first.setdefault((jitted.lower(*arguments).as_text(), str(self._options[i])), i)
        return list(first.values())

    def _right_ones(self, candidates: list[int], arguments: tuple[Any, ...]) -> list[int]:
        """The first candidate, and those of the others whose outputs are its own but for rounding."""
        outputs = [_arrays(self._jitted[i](*arguments)) for i in candidates]
        return [
            i for i, found in zip(candidates, outputs, strict=True) if _close(found, outputs[0])
        ]

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


def _jitted(candidate: Candidate, settings: dict[str, Any]) -> Any:
    jitted = jax.jit(candidate.function, compiler_options=candidate.options, **settings)
    return jitted if candidate.around is nullcontext else _Within(candidate.around, jitted)


class _Within:
    """A compiled function that is called within something else."""

    def __init__(self, around: Callable[[], AbstractContextManager[None]], jitted: Any) -> None:
        self._around, self._jitted, self.lower = around, jitted, jitted.lower

    def __call__(self, *arguments: Any) -> Any:
        with self._around():
            return self._jitted(*arguments)


def _read(file: Path | None) -> str | None:
    if file is None or not file.is_file():
        return None
    try:
        name: str = json.loads(file.read_text())["fastest"]
        return name
    except (ValueError, KeyError, OSError):
        return None


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(outputs)]


def _close(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(
        np.allclose(a, b, rtol=0, atol=_TOLERANCE * np.abs(b).max(initial=0), equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )


def _fastest_runs(functions: Sequence[Any], arguments: tuple[Any, ...]) -> list[float]:
    """The seconds of the fastest run of each function, all of which have run before."""
    rounds: list[list[float]] = []
    while len(rounds) < _FEWEST_ROUNDS or (
        len(rounds) < _MOST_ROUNDS and sum(map(sum, rounds)) < _ENOUGH_S
    ):
        rounds.append([_seconds(function, arguments) for function in functions])
    return [min(taken) for taken in zip(*rounds, strict=True)]


def _seconds(function: Any, arguments: tuple[Any, ...]) -> float:
    since = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - since
