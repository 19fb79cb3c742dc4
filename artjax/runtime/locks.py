"""Locks between processes of one machine. A process that dies holds none."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from artjax.errors import WorkdirError

_SECONDS_TO_WRITE = 0.5  # that a process may take, after it has the lock, to say who it is


@contextmanager
def only_process(folder: Path, doing: str) -> Iterator[None]:
    """Runs the block if no other process is in such a block for the same folder.

    Args:
      folder: made if it does not exist; a file `.lock` is put into it.
      doing: what the process does, for the message to another one, such as `training`.

    Raises:
      WorkdirError: if another process is there (the message says which), or the folder cannot be
        written.
    """
    try:
        lock = _lock_in(folder)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkdirError(
            f"{folder} is in use: {_holder(folder)}; wait for it, stop it, or use another --workdir"
        ) from error
    except OSError as error:
        raise WorkdirError(f"cannot write to the workdir {folder}: {error.strerror}") from error
    with _held(lock, folder, doing):
        yield


@contextmanager
def after_others(folder: Path, doing: str) -> Iterator[None]:
    """Runs the block when no other process is in such a block for the same folder any more.

    If it has to wait, it prints for whom. If the folder cannot be written, the block runs at once: it
    fails with an error of its own, or finds that nothing is to be written.

    Args:
      folder: as for `only_process`.
      doing: as for `only_process`.
    """
    try:
        lock = _lock_in(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting in {folder}: {_holder(folder)}", flush=True)
            lock.acquire(timeout=-1)
    except OSError:
        yield
        return
    with _held(lock, folder, doing):
        yield


def _lock_in(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _holder(folder: Path) -> str:
    """What `_held` has written; another process may remove it at any moment."""
    deadline = time.monotonic() + _SECONDS_TO_WRITE
    while True:
        with suppress(OSError):
            if holder := (folder / ".lock-holder").read_text().strip():
                return holder
        if time.monotonic() > deadline:
            return "another process"
        time.sleep(0.01)


@contextmanager
def _held(lock: FileLock, folder: Path, doing: str) -> Iterator[None]:
    """Says who holds the lock, and releases it at the end."""
    holder = folder / ".lock-holder"
    try:
        with suppress(OSError):  # only words for others; the lock itself holds
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} is {doing} in it\n")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()
