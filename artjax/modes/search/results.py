"""What a search found, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from artjax.modes.search.space import Hyperparameters


@dataclass(frozen=True)
class Result:
    """The last validation of one trial.

    Attributes:
      number: of the trial, from 0.
      drawn: its hyperparameters.
      step: steps done at the validation.
      top1: on the validation split, mean over tasks, in [0, 1].
      loss: sum over tasks, in nats, without label smoothing.
      standard_error: of `top1`.
      finished: whether it was trained to the end; others were stopped by successive halving.
      folder: its workdir, relative to the search's; empty if it has none.
    """

    number: int
    drawn: Hyperparameters
    step: int
    top1: float
    loss: float
    standard_error: float
    finished: bool
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes it again."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """The inverse of `to_json`."""
        drawn = {**values["drawn"], "layers": tuple(values["drawn"]["layers"])}
        return cls(**{**values, "drawn": Hyperparameters(**drawn)})


def ranked(results: Sequence[Result]) -> list[Result]:
    """Best first: those that were trained longer, then higher top-1, then lower loss."""
    return sorted(results, key=lambda r: (-r.step, -r.top1, r.loss, r.number))


def rungs(steps: int, halving: int) -> list[int]:
    """The steps at which trials are compared, the last one included.

    Successive halving: Jamieson & Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter
    Optimization (2016), figure 3, with three rungs before the end.
    """
    if halving == 1:
        return [steps]
    return sorted({-(-steps // halving**k) for k in range(4)})


def survivors(count: int, halving: int, members: int) -> int:
    """How many of `count` trials go on after a rung: one of `halving`, but enough for an ensemble."""
    return min(count, max(members, -(-count // halving)))
