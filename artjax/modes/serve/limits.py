"""How much one visitor may ask for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_VISITORS = 10_000  # that are remembered; the one who was silent for longest is forgotten first


class Rate:
    """So many pictures a minute from each address; after a pause as many at once (a token bucket)."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has asked for anything yet.

        Args:
          per_minute: pictures, 1 or more.
          clock: seconds.
        """
        self._most = float(per_minute)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, address: str) -> float:
        """Takes one picture from what an address may ask for.

        Returns:
          0 if it may have it; else after how many seconds it may ask again.
        """
        now = self._clock()
        left, since = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - since) * self._most / 60)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        if len(self._left) > _VISITORS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most
