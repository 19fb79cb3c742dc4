"""Progress of the training loop: rows of metrics, speed, and the remaining time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax

from artjax.data.batches import Timed
from artjax.runtime import throughput
from artjax.runtime.mesh import is_first_process
from artjax.training.logs import Clock, Console, MetricsLog, Window
from artjax.training.optim import is_solved
from artjax.training.training import Training

MAX_STEPS_AHEAD = 16
"""The host may run this many steps ahead of the devices. Each step holds its batch in device memory."""


class Progress:
    """Moves the metrics of the steps from the devices to the log and the console.

    Metrics are read at least one step later, so that the devices never wait for the host.

    Args:
      training: its numbers of steps and its batch size are used.
      workdir: the folder of the log.
      console: where rows are shown.
      step: number of steps done.
      saved_window: `Window.to_json()` from the checkpoint from which the run resumes, or None.
      feed: of the batches; closed together with this.
    """

    def __init__(
        self,
        training: Training,
        workdir: Path,
        console: Console,
        step: int,
        saved_window: dict[str, Any] | None,
        feed: Timed[Any],
    ) -> None:
        self._training = training
        self._feed = feed
        self._console = console
        self._log = MetricsLog(workdir, step, enabled=is_first_process())
        self._window = Window(saved_window)
        self._clock = Clock()
        self._pending: list[tuple[int, dict[str, jax.Array]]] = []
        self._first_step = self._last_row_step = step
        self._last_row_seconds = 0.0
        self._start_time = 0.0
        self._waited = 0.0
        console.start(step, training.steps)

    def start_clock(self, step: int) -> None:
        """Starts the clock after the first step, whose time includes compilation."""
        self._start_time = time.perf_counter()
        self._first_step = self._last_row_step = step
        self._waited = 0.0
        self._clock.run()

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Adds the metrics of a step. The devices may still be computing them.

        Args:
          step: number of steps done.
          metrics: float32 scalars on the devices.

        Raises:
          TrainingError: if the loss or the gradient of an earlier step is not finite.
        """
        self._pending.append((step, metrics))
        self._waited += self._feed.take_seconds()
        if (step - 1) % self._training.log_every == 0 or len(self._pending) > MAX_STEPS_AHEAD:
            self.settle(step - 1)

    def settle(self, step: int) -> None:
        """Waits for the metrics of all steps up to `step`, and writes the rows that are due.

        Raises:
          TrainingError: if the loss or the gradient is not finite.
        """
        due = [(s, m) for s, m in self._pending if s <= step]
        self._pending = [(s, m) for s, m in self._pending if s > step]
        for s, metrics in jax.device_get(due):
            self._window.add(s, {name: float(value) for name, value in metrics.items()})
            if s % self._training.log_every == 0 or s == self._training.steps:
                self._write_row(s, float(metrics["learning_rate"]))

    def _write_row(self, step: int, learning_rate: float) -> None:
        training, network = self._training, self._training.network
        if is_solved(training.config):  # no step was taken, so there is no rate and no speed
            means = self._window.means()
            self._log.write(step, {f"train/{name}": means[name] for name in ("loss", "top1")})
            return
        means = self._window.means() | {"learning_rate": learning_rate}
        seconds = self._clock.seconds
        trained = max(seconds - self._last_row_seconds, 1e-9)
        rate = (step - self._last_row_step) * training.config.batch_size / trained
        row = {
            "epoch": step / training.steps_per_epoch,
            **{f"train/{name}": value for name, value in means.items()},
            "perf/images_per_second": rate,
            "perf/data_wait": min(1.0, self._waited / trained),
            **throughput.row(network.mesh, network.dtype.name, rate, training.flops_per_image),
        }
        self._last_row_step, self._last_row_seconds, self._waited = step, seconds, 0.0
        self._log.write(step, row)
        elapsed = time.perf_counter() - self._start_time
        steps_left = training.steps - step
        seconds_left = elapsed / max(1, step - self._first_step) * steps_left
        self._console.progress(step, training.steps, row, seconds_left)

    def write(self, step: int, row: dict[str, float]) -> None:
        """Writes another row to the log, such as a validation's."""
        self._log.write(step, row)

    def window(self) -> dict[str, Any]:
        """The sums since the last row, as plain JSON. A resumed run continues with them."""
        return self._window.to_json()

    def pause(self) -> None:
        """Pauses the clock, for work that is not training."""
        self._clock.pause()

    def resume(self) -> None:
        """Resumes the clock."""
        self._clock.run()

    def close(self) -> None:
        """Closes the feed, the log and the console."""
        self._feed.close()
        self._log.close()
        self._console.close()
