"""Stops the training loop on a signal, after the current step."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Records SIGINT and SIGTERM, so that the loop can end after its step. A second signal ends at once.

    Attributes:
      signal: the number of the signal, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> StopSignal:
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
