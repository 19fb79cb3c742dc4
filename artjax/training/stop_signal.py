"""Stops the training loop on a signal, after the current step."""

from __future__ import annotations

import signal
from types import FrameType

# Ctrl-C, what schedulers send before they kill, a terminal that is closed or lost, and what Slurm and
# others can be told to send some minutes before the end.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class StopSignal:
    """Records a signal, so that the loop can end after its step. A second signal ends at once.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 are recorded; not SIGHUP where it is ignored, as after `nohup`.

    Attributes:
      signal: the number of the signal, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> StopSignal:
        self._previous = {
            number: signal.signal(number, self._note)
            for number in _SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
