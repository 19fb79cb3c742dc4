"""Keeps compiled programs on disk, so that the second start compiles nothing, and counts them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType

import jax

OFF = "off"

_CACHE_HIT = "/jax/compilation_cache/cache_hits"
_BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"


def use_cache(folder: str = "") -> str | None:
    """Keeps compiled programs in a folder. Call it before anything is compiled.

    Args:
      folder: the folder, or `off` for no cache. "" means JAX_COMPILATION_CACHE_DIR if it is set, else
        `artjax/compiled` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache). The programs in it
        are executed, so only the user may write to it.

    Returns:
      A warning if the folder cannot be written. Everything still works, but each start compiles again.
    """
    if folder == OFF:
        jax.config.update("jax_compilation_cache_dir", None)
        return None
    own = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = folder or os.environ.get("JAX_COMPILATION_CACHE_DIR") or f"{own}/artjax/compiled"
    path = Path(chosen).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        jax.config.update("jax_compilation_cache_dir", None)
        return (
            f"compiled programs cannot be kept in {path} ({error.strerror}), so every start compiles "
            "again; set another folder with --compilation_cache, or 'off'"
        )
    jax.config.update("jax_compilation_cache_dir", str(path))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # By default JAX keeps only programs that took a second to compile. A run has few: keep all.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return None


class CompilationCounter:
    """A context manager that counts the programs that JAX compiles or reads from the cache.

    Attributes:
      programs: number of programs that were needed.
      from_cache: number of those that were read from the cache on disk.
      seconds: time spent compiling and reading them.
    """

    def __init__(self) -> None:
        self.programs = 0
        self.from_cache = 0
        self.seconds = 0.0

    def __enter__(self) -> CompilationCounter:
        jax.monitoring.register_event_listener(self._on_event)
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        jax.monitoring.unregister_event_listener(self._on_event)
        jax.monitoring.unregister_event_duration_listener(self._on_duration)

    def _on_event(self, event: str, **kwargs: str | int) -> None:
        self.from_cache += event == _CACHE_HIT

    def _on_duration(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == _BACKEND_COMPILE:  # JAX records it for programs from the cache, too
            self.programs += 1
            self.seconds += duration_secs

    def describe(self) -> str:
        """One line for people: what was compiled, and what was read from the cache."""
        folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
        compiled = self.programs - self.from_cache
        read = f"{self.from_cache} compiled programs read from {folder}"
        if not compiled:
            return f"nothing compiled, {read}"
        kept = f", kept in {folder} for the next start" if folder else ", not kept"
        also = f"; {read}" if self.from_cache else ""
        return f"{compiled} programs compiled in {self.seconds:.1f} s{kept}{also}"
