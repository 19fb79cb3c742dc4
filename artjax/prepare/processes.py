"""A function applied to many items by several processes, of which each may crash.

Neither `concurrent.futures` nor `multiprocessing` fits. Their new processes import the caller's main
module: for a build that is TFDS's command line, seconds and hundreds of megabytes for each process. And
when one process crashes, they do not say which item it was working on.
"""

from __future__ import annotations

import json
import pickle
import queue
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# A fresh interpreter, never a fork: TensorFlow's threads in the calling process would not survive one.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from artjax.prepare.processes import serve; serve(int(sys.argv[2]))"
)


class _Raised(NamedTuple):
    error: Exception


class _Process:
    """A process that applies functions to items, one at a time."""

    def __init__(self) -> None:
        self.connection, its_end = Pipe()
        descriptor = its_end.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), str(descriptor)],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
        )
        its_end.close()  # so that the end of the process is the end of the connection

    def end(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    may_start: Callable[[int], bool] = lambda index: True,
) -> Generator[tuple[int, Result | None], None, None]:
    """Applies a function to items; each process has one of them at a time.

    Args:
      function: can be pickled, as can its items and results.
      items: a module that defines one of their classes can be imported, so it is not `__main__`.
      processes: how many work at the same time, at most.
      may_start: whether the item of an index, and so all before it, may be begun by now. It is asked
        when a process is free; of the items that are not yielded yet, the first may always begin.

    Yields:
      The index of an item and its result, in the order in which they are ready; None where the process
      crashed.

    Raises:
      Exception: what the function raised.
    """
    next_index = 0
    working: dict[Any, tuple[_Process, int]] = {}
    idle: list[_Process] = []

    def give() -> None:
        """Gives items to all processes that are free, and starts those that are missing."""
        nonlocal next_index
        while next_index < len(items) and len(working) < processes and may_start(next_index):
            process = idle.pop() if idle else _Process()
            working[process.connection] = process, next_index
            with suppress(BrokenPipeError):  # it crashed before it read the item: `recv` reports it
                process.connection.send((function, items[next_index]))
            next_index += 1
        while idle and next_index == len(items):
            idle.pop().end()

    try:
        give()
        while working:
            for connection in wait(list(working)):
                process, index = working.pop(connection)
                try:
                    result = process.connection.recv()
                    idle.append(process)
                except (EOFError, ConnectionResetError):
                    process.end()
                    result = None
                give()
                if isinstance(result, _Raised):
                    raise result.error
                yield index, result
            give()  # what was yielded may have let more begin
    finally:
        for process in (*idle, *(process for process, _ in working.values())):
            process.end()


def map_in_order(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int, ahead: int
) -> Generator[Result | None, None, None]:
    """As `map_in_processes`, in the order of the items.

    Args:
      function: as there.
      items: as there.
      processes: as there.
      ahead: of so many items from the next one on the results may be there; others wait.

    Yields:
      The result of each item; None where the process crashed.

    Raises:
      Exception: what the function raised.
    """
    ready: dict[int, Result | None] = {}
    awaited = 0
    found = map_in_processes(function, items, processes, lambda index: index < awaited + ahead)
    with closing(found):
        for index, result in found:
            ready[index] = result
            while awaited in ready:
                yield ready.pop(awaited)
                awaited += 1


class Workers:
    """Processes for callers in several threads; each call has one for itself, and may wait for it.

    A process that crashes, or takes too long, costs only the call that it was working for.
    """

    def __init__(self, processes: int) -> None:
        """Starts none: each is started when it is needed first.

        Args:
          processes: how many work at the same time, at most.
        """
        self._free: queue.Queue[_Process | None] = queue.Queue()
        for _ in range(processes):
            self._free.put(None)
        self._count = processes

    def apply(
        self, function: Callable[[Item], Result], item: Item, seconds: float
    ) -> Result | None:
        """What a function returns for an item.

        Args:
          function: can be pickled, as can its item and result.
          item: as for `map_in_processes`.
          seconds: the function may take.

        Returns:
          None where the process crashed or took longer.

        Raises:
          Exception: what the function raised.
        """
        process = self._free.get()
        kept: _Process | None = None
        try:
            process = process or _Process()
            process.connection.send((function, item))
            if process.connection.poll(seconds):
                result = process.connection.recv()
                kept = process
            else:
                result = None
        except (EOFError, ConnectionResetError, BrokenPipeError):
            result = None
        finally:
            if kept is None and process is not None:
                process.end()
            self._free.put(kept)
        if isinstance(result, _Raised):
            raise result.error
        return result

    def close(self) -> None:
        """Ends all processes, once nobody uses them any more."""
        for _ in range(self._count):
            process = self._free.get()
            if process is not None:
                process.end()


def serve(descriptor: int) -> None:
    """What the processes do until the other end of the connection is closed.

    Args:
      descriptor: of the connection, which brings pairs of a function and an item.
    """
    # Ctrl-C reaches all processes of a terminal; the calling one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        while True:
            try:
                sent = connection.recv_bytes()
            except (EOFError, ConnectionResetError):
                return
            try:
                function, item = pickle.loads(sent)
                result = function(item)
            except Exception as error:
                error.add_note(traceback.format_exc())  # a traceback cannot be sent
                result = _Raised(error)
            try:
                connection.send(result)
            except (BrokenPipeError, ConnectionResetError):
                return
