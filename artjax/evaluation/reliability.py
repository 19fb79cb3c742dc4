"""What a run's validation works say of its probabilities, kept in its workdir for later pictures.

A temperature for each task, from which probability on an answer is sure, and from which distance on a
picture is unlike anything in train.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from artjax.errors import WorkdirError
from artjax.evaluation import metrics, selective, temperature, unlike
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.selective import Graded, Threshold
from artjax.evaluation.train_embeddings import TrainEmbeddings, kept
from artjax.files import json_text, write_atomically
from artjax.runs import Run

FILE = "reliability.json"


@dataclass(frozen=True)
class Calibration:
    """The temperature of a task, and what it does to the validation works that it was fitted on.

    Attributes:
      works: number of these works.
      temperature: by which the logits are divided; None where none could be fitted.
      loss: on these works with the temperature, in nats.
      loss_uncalibrated: without it.
      ece: on these works with the temperature; None where it is undefined.
      ece_uncalibrated: without it.
      answers: how sure the network is of each of these works with the temperature, and whether it is
        right.
    """

    works: int
    temperature: float | None
    loss: float | None
    loss_uncalibrated: float | None
    ece: float | None
    ece_uncalibrated: float | None
    answers: Graded

    @classmethod
    def of(cls, predictions: Predictions) -> Calibration:
        """Fits the temperature on validation works."""
        found = temperature.fitted(predictions)
        after = predictions if found is None else divided(predictions, found)
        return cls(
            len(predictions.labels),
            found,
            metrics.loss(after),
            metrics.loss(predictions),
            metrics.expected_calibration_error(after),
            metrics.expected_calibration_error(predictions),
            selective.answers(after),
        )


@dataclass(frozen=True)
class Reliability:
    """What is kept of a run; of a checkpoint without it, nothing is known, and nothing is changed.

    Attributes:
      workdir: of the run.
      step: of the checkpoint.
      views: the number of views that the temperature and the thresholds are of.
      error_rate: the share of the sure answers that may be wrong.
      foreign_rate: the share of pictures like the validation works that may be called unlike train.
      tasks: by name; without those of which no validation work has a label.
      distances: of the validation works from train, float [N]; empty if no train work is kept.
      why_not: why nothing is known; empty if something is.
    """

    workdir: Path
    step: int
    views: int
    error_rate: float
    foreign_rate: float
    tasks: Mapping[str, Calibration] = field(default_factory=dict)
    distances: Sequence[float] = ()
    why_not: str = ""

    @cached_property
    def train(self) -> TrainEmbeddings | None:
        """The embeddings of train works; None if there are none."""
        return kept(self.workdir, self.step) if len(self.distances) else None

    @cached_property
    def farthest(self) -> float | None:
        """From beyond this distance on a picture is unlike train; None if that is not known."""
        if self.train is None:
            return None
        return unlike.limit(np.asarray(self.distances), self.foreign_rate)

    @cached_property
    def thresholds(self) -> Mapping[str, Threshold | None]:
        """By task, from which probability on an answer is sure; None if none is."""
        return {
            task: selective.threshold(of.answers, self.error_rate)
            for task, of in self.tasks.items()
        }

    def temperature(self, task: str, views: int) -> float | None:
        """By which the logits of a task are divided, for so many views; None if none is known."""
        known = self.tasks.get(task) if views == self.views else None
        return None if known is None else known.temperature

    def unlikeness(self, embeddings: np.ndarray) -> np.ndarray | None:
        """How far pictures are from train, float [N]; above 1 they are unlike anything in train.

        Args:
          embeddings: float32 [N, C].

        Returns:
          Distances, as shares of the farthest that is like train; None if that is not known.
        """
        if self.train is None or self.farthest is None:
            return None
        return unlike.distances(embeddings, self.train.works) / max(self.farthest, 1e-9)


def divided(predictions: Predictions, by: float) -> Predictions:
    """Predictions after their logits are divided by a temperature."""
    logs = temperature.divided(predictions.log_probabilities, by)
    return predictions._replace(log_probabilities=logs)


def keep(reliability: Reliability) -> None:
    """Writes `reliability.json` into the workdir, atomically.

    Raises:
      WorkdirError: if it cannot be written.
    """
    path = reliability.workdir / FILE
    values = {name: getattr(reliability, name) for name in ("step", "views")}
    values["tasks"] = {
        task: vars(of) | {"answers": of.answers.to_json()} for task, of in reliability.tasks.items()
    }
    values["distances"] = list(reliability.distances)
    try:
        write_atomically(path, json_text(values))
    except OSError as error:
        raise WorkdirError(f"cannot write {path}: {error.strerror or error}") from error


def of_run(run: Run, settings: Mapping[str, Any] | None = None) -> Reliability:
    """What is kept for the checkpoint of a run.

    Args:
      run: the run.
      settings: fields of `eval` in place of the run's own, of which the two rates are read.
    """
    own = run.config.eval
    rates = {name: (settings or {}).get(name, own[name]) for name in ("error_rate", "foreign_rate")}
    nothing = Reliability(run.workdir, run.step, own.views, **rates)
    path = run.workdir / FILE
    try:
        found = json.loads(path.read_text())
        read = replace(
            nothing,
            step=int(found["step"]),
            views=int(found["views"]),
            tasks={task: _calibration(of) for task, of in found["tasks"].items()},
            distances=tuple(map(float, found["distances"])),
        )
    except FileNotFoundError:
        return replace(nothing, why_not=f"{path} is written when a training ends")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return replace(nothing, why_not=f"{path} is damaged ({error})")
    if read.step != run.step:
        why = f"{path} is of the best checkpoint, of step {read.step:,}, not of step {run.step:,}"
        return replace(nothing, why_not=why)
    return read


def kept_step(workdir: Path) -> int | None:
    """The step of the checkpoint to which the file of a workdir belongs; None without a usable file."""
    try:
        return int(json.loads((workdir / FILE).read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _calibration(values: Mapping[str, Any]) -> Calibration:
    return Calibration(**{**values, "answers": Graded.from_json(values["answers"])})
