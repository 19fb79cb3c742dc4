"""Logs of a run: metrics.jsonl, TensorBoard events, and the console."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from artjax.errors import TrainingError, WorkdirError
from artjax.files import write_atomically
from artjax.training.events import Events

_WARNING = "warning: "


class MetricsLog:
    """Rows of numbers, written to `metrics.jsonl` and as TensorBoard events.

    Args:
      workdir: the folder of the files.
      resume_step: rows of later steps are dropped. A killed process wrote them after its last
        checkpoint, and the resumed run will write them again.
      enabled: False in all processes except process 0.
    """

    def __init__(self, workdir: Path, resume_step: int, *, enabled: bool = True) -> None:
        self._enabled = enabled
        if not enabled:
            return
        self._path = workdir / "metrics.jsonl"
        kept = [row for row in read_rows(workdir) if row["step"] <= resume_step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._events = Events(workdir, resume_step + 1 if resume_step else 0)

    def write(self, step: int, row: dict[str, float]) -> None:
        """Appends a row; every value is a float."""
        if not self._enabled:
            return
        try:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **row}) + "\n")
        except OSError as error:
            raise WorkdirError(
                f"cannot write to {self._path}: {error.strerror}; make room, then resume with the same "
                "command"
            ) from error
        self._events.write(step, row)

    def close(self) -> None:
        """Writes buffered events, and closes the files."""
        if self._enabled:
            self._events.close()


def read_rows(workdir: Path) -> list[dict[str, float]]:
    """The rows of `metrics.jsonl`. Lines that are no rows are left out, and reported.

    A kill can leave an incomplete last line, which needs no report.
    """
    path = workdir / "metrics.jsonl"
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    rows, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({"step": row["step"], **row})
        except (ValueError, TypeError, KeyError):
            damaged.append(number)
    if [number for number in damaged if number < len(lines)]:
        shown = ", ".join(map(str, damaged[:5])) + (" …" if len(damaged) > 5 else "")
        print(f"artjax: {path}: line {shown} cannot be read, and is left out", file=sys.stderr)
    return rows


class Window:
    """Means of the metrics over the steps since the last row.

    The numbers of a task are weighted by the works that they speak for: a batch in which no work has a
    label of the task says nothing about it. The sums are saved with each checkpoint, so that a resumed
    run writes the same rows.
    """

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        self._sums: dict[str, float] = dict(saved["sums"]) if saved else {}
        self._weights: dict[str, float] = dict(saved["weights"]) if saved else {}

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """Adds the metrics of one step.

        Raises:
          TrainingError: if the loss or the gradient is not finite.
        """
        loss, norm = metrics["loss"], metrics["gradient_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss is not finite at step {step} (loss {loss:g}, gradient norm {norm:g}, "
                f"learning rate {metrics['learning_rate']:g})"
            )
        for name, value in metrics.items():
            if not name.startswith("weight/"):
                weight = metrics.get(f"weight/{name}", 1.0)
                self._sums[name] = self._sums.get(name, 0.0) + weight * value
                self._weights[name] = self._weights.get(name, 0.0) + weight

    def means(self) -> dict[str, float]:
        """The means, after which the window is empty; without the tasks that no label was known of."""
        means = {
            name: total / self._weights[name]
            for name, total in self._sums.items()
            if self._weights[name]
        }
        losses = [value for name, value in means.items() if name.endswith("/loss")]
        top1s = [value for name, value in means.items() if name.endswith("/top1")]
        if losses and top1s:
            means |= {"loss": sum(losses), "top1": sum(top1s) / len(top1s)}
        self._sums, self._weights = {}, {}
        return means

    def to_json(self) -> dict[str, Any]:
        """Plain values from which the window can be made again, exactly."""
        return {"sums": self._sums, "weights": self._weights}


class Clock:
    """Measures the seconds of training. It is paused in validation, checkpoints and compilation."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None

    def run(self) -> None:
        """Starts or resumes the clock; does nothing if it runs already."""
        if self._since is None:
            self._since = time.perf_counter()

    def pause(self) -> None:
        """Pauses the clock until `run` is called."""
        self._seconds = self.seconds
        self._since = None

    @property
    def seconds(self) -> float:
        """Seconds that the clock has run."""
        return self._seconds + (time.perf_counter() - self._since if self._since else 0.0)


class Console:
    """A progress bar on a terminal, else plain lines. Silent in all processes except process 0."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._bar: tqdm | None = None
        self._warnings: list[str] = []

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        if text.startswith(_WARNING):
            self._warnings.append(text.removeprefix(_WARNING))
        if self._enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def take_warnings(self) -> list[str]:
        """The warnings about the training that were said since the last call.

        Those below a result, which are indented, are of the evaluation, and are not among them.
        """
        taken, self._warnings = self._warnings, []
        return taken

    def start(self, step: int, steps: int) -> None:
        """Opens the bar if standard error is a terminal."""
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(
                initial=step,
                total=steps,
                unit="step",
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt}  {desc}",
            )

    def progress(self, step: int, steps: int, row: dict[str, float], seconds_left: float) -> None:
        """Shows the latest training row."""
        if not self._enabled:
            return
        text = (
            f"epoch {row['epoch']:.1f}  loss {row['train/loss']:.4f}  "
            f"top-1 {row['train/top1']:.3f}  lr {row['train/learning_rate']:.3g}  "
            f"gradient norm {row['train/gradient_norm']:.3g}  "
            f"{row['perf/images_per_second']:.0f} images/s  {duration(seconds_left)} left"
        )
        if self._bar is None:
            print(f"step {step:>{len(str(steps))}}/{steps}  {text}", flush=True)
        else:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """Formats seconds as 4:05 or 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
