"""What happened to a training beside its numbers: its starts and its end, and what it warned of."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

FILE = "history.jsonl"
STARTED, RESUMED, STOPPED, FINISHED, WARNED = "started", "resumed", "stopped", "finished", "warned"


class Event(NamedTuple):
    """Something that happened.

    Attributes:
      time: seconds since 1970.
      what: one of those above.
      step: number of steps done then.
      text: of a warning what it says, of a stop why; else empty.
    """

    time: float
    what: str
    step: int
    text: str = ""


def note(workdir: Path, what: str, step: int, text: str = "") -> None:
    """Adds an event to `history.jsonl`.

    Raises:
      OSError: if it cannot be written.
    """
    path = workdir / FILE
    event = Event(round(time.time(), 3), what, step, text)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event._asdict(), ensure_ascii=False) + "\n")


def read(workdir: Path) -> list[Event]:
    """The events of a run, in their order; none where there is no file.

    A line that a kill has left half written, or that is none of these, is left out.
    """
    path = workdir / FILE
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
    events = [_event(line) for line in lines]
    return [event for event in events if event is not None]


def _event(line: str) -> Event | None:
    try:
        row: dict[str, Any] = json.loads(line)
        return Event(float(row["time"]), str(row["what"]), int(row["step"]), str(row["text"]))
    except (ValueError, TypeError, KeyError):
        return None
