"""TensorBoard events: a copy of the metrics, which never stops a training."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar


class Events:
    """Writes scalars to an event file, in the calling thread.

    tensorboardX's own `SummaryWriter` has a thread for this. When the disk is full, that thread dies,
    and the next call waits for it for ever. Here an event that cannot be written is dropped, with one
    warning.

    Args:
      folder: where the file is made.
      first_step: TensorBoard drops the events of this step and later ones, which a killed process wrote.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None
        try:
            self._writer = EventsWriter(str(folder / "events"))
            if first_step:
                start = SessionLog(status=SessionLog.START)
                self._writer.write_event(
                    Event(wall_time=time.time(), step=first_step, session_log=start)
                )
        except OSError as error:
            self._give_up(error)

    def write(self, step: int, row: dict[str, float]) -> None:
        """Writes the numbers of a row."""
        if self._writer is None:
            return
        try:
            for name, value in row.items():
                event = Event(wall_time=time.time(), step=step, summary=scalar(name, value))
                self._writer.write_event(event)
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the file."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):
                writer.close()
        print(
            f"artjax: TensorBoard events cannot be written to {self._folder} ({error.strerror}); "
            "training continues without them, metrics.jsonl has all numbers",
            file=sys.stderr,
        )
