"""Cleaning the pictures of a collection on all cores, once."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from artjax.data import images
from artjax.data.collections import Work
from artjax.errors import ImageError

_IN_FLIGHT_PER_PROCESS = 8
_FEW_WORKS = 64


@dataclass(frozen=True)
class CleanedWork:
    """A picture that was cleaned: where its JPEG lies, and the SHA-256 of its bytes (hex).

    `problem` is the reason where there is none.
    """

    jpeg: Path | None
    sha256: str = ""
    problem: str = ""


def clean_works(
    works: Sequence[Work], folder: Path, short_side_px: int, processes: int | None = None
) -> list[CleanedWork]:
    """Cleans pictures to upright sRGB JPEGs in `folder`; what is there already is not cleaned again.

    Args:
      works: their pictures are files, or objects with a `draw()`.
      folder: made if it is not there. Every file in it was written whole.
      short_side_px: longest shorter side, see `images.decode`.
      processes: default: one for each core. The bytes do not depend on it.

    Returns:
      For each work, in order, its JPEG or the reason why there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: list[CleanedWork | None] = [None] * len(works)
    with tqdm(total=len(works), desc="cleaning pictures", unit="work", delay=1) as bar:
        for i, result in _results(works, folder, short_side_px, processes or os.cpu_count() or 1):
            results[i] = result
            bar.update()
    return [result for result in results if result is not None]


def _results(
    works: Sequence[Work], folder: Path, short_side_px: int, processes: int
) -> Iterator[tuple[int, CleanedWork]]:
    there = [(i, work) for i, work in enumerate(works) if work.picture is not None]
    for i, work in enumerate(works):
        if work.picture is None:
            yield i, CleanedWork(None, problem="no such file")
    if processes == 1 or len(there) <= _FEW_WORKS:  # fewer than it takes to start a process
        for i, work in there:
            yield i, _clean_one(work, folder, short_side_px)
        return
    todo = deque(there)
    at_once = _IN_FLIGHT_PER_PROCESS * processes
    while todo:
        # A decoder that crashes takes the pool with it: of the works in flight, one was to blame.
        suspects = deque(
            (yield from _in_processes(todo, folder, short_side_px, processes, at_once))
        )
        while suspects:
            for i, _ in (yield from _in_processes(suspects, folder, short_side_px, 1, 1)):
                yield i, CleanedWork(None, problem="its decoder crashed, or ran out of memory")


def _in_processes(
    todo: deque[tuple[int, Work]], folder: Path, short_side_px: int, processes: int, at_once: int
) -> Generator[tuple[int, CleanedWork], None, list[tuple[int, Work]]]:
    """Cleans works from `todo` until it is empty, or a process died: then returns those in flight."""
    pending: dict[Future[CleanedWork], tuple[int, Work]] = {}
    # Never a fork: the calling process has TensorFlow's threads, which a child would not survive.
    context = multiprocessing.get_context("spawn")
    with _without_main(), ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            while todo or pending:
                while todo and len(pending) < at_once:
                    future = pool.submit(_clean_one, todo[0][1], folder, short_side_px)
                    pending[future] = todo.popleft()
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    result = future.result()
                    yield pending.pop(future)[0], result
        except BrokenProcessPool:
            return sorted(pending.values(), key=lambda item: item[0])
        except BaseException:  # Ctrl-C above all: what waits is dropped, what is written stays
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start in this block do not import the caller's main module.

    They need this module alone; TFDS's command line, which is the main module of a build, would cost
    each of them seconds and hundreds of megabytes.
    """
    main = sys.modules["__main__"]
    saved = {
        name: main.__dict__.pop(name) for name in ("__spec__", "__file__") if hasattr(main, name)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(saved)


def _clean_one(work: Work, folder: Path, short_side_px: int) -> CleanedWork:
    try:
        path = folder / f"{_key(work, short_side_px)}.jpg"
        if path.is_file():
            return CleanedWork(path, hashlib.sha256(path.read_bytes()).hexdigest())
        if isinstance(work.picture, Path):
            jpeg = images.clean(work.picture, short_side_px).jpeg
        else:
            jpeg = images.encode(work.picture.draw()).jpeg
    except ImageError as error:
        return CleanedWork(None, problem=str(error))
    except OSError as error:  # the file went away, or may not be read
        return CleanedWork(None, problem=error.strerror or str(error))
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(jpeg)
    os.replace(partial, path)
    return CleanedWork(path, hashlib.sha256(jpeg).hexdigest())


def _key(work: Work, short_side_px: int) -> str:
    """Changes when the file, or what is done to it, does."""
    described = repr(work.picture)
    if isinstance(work.picture, Path):
        status = work.picture.stat()
        described = f"{work.picture.absolute()}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(
        f"{described}\0{short_side_px}".encode("utf-8", "surrogateescape")
    ).hexdigest()
