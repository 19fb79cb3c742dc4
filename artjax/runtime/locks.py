"""Locks between processes of one machine. A process that dies holds none."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from artjax.errors import WorkdirError


@contextmanager
def only_process(folder: Path, doing: str) -> Iterator[None]:
    """Runs the block while no other process is in such a block for the same folder.

    Args:
      folder: made if it does not exist; a file `.lock` is put into it.
      doing: what the process does, for the message to another one, such as `training`.

    Raises:
      WorkdirError: if another process is there (the message says which), or the folder cannot be
        written.
    """
    holder = folder / ".lock-holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        said = holder.read_text().strip() if holder.is_file() else "another process"
        raise WorkdirError(
            f"{folder} is in use: {said}; wait for it, stop it, or use another --workdir"
        ) from error
    except OSError as error:
        raise WorkdirError(f"cannot write to the workdir {folder}: {error.strerror}") from error
    try:
        with suppress(OSError):  # only words for others; the lock itself holds
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} is {doing} in it\n")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()
