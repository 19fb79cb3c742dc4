"""Which checkpoint is the best by validation: a rule that small validation splits deserve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Validation(NamedTuple):
    """The scores of one validation.

    Attributes:
      step: number of steps done.
      top1: mean over tasks, in [0, 1].
      loss: sum over tasks, in nats.
      standard_error: of `top1`.
    """

    step: int
    top1: float
    loss: float
    standard_error: float


@dataclass
class BestSoFar:
    """The validation whose checkpoint is kept as the best.

    A validation measures top-1 to within a standard error only. Of two that are nearer to each other,
    the higher one may be luck. So every validation within one standard error of the highest top-1 so far
    is a tie, and the lower loss decides (the one-standard-error rule: Breiman et al.,
    Classification and Regression Trees (1984), section 3.4.3). Validations during the warm-up do not
    count: an untrained network can have the lowest loss of all.

    Attributes:
      warmup_steps: length of the warm-up.
      choices: how often a validation became the best.
      highest_top1: of all validations that counted.
      highest_standard_error: of that top-1.
      best: the best validation, or None.
      since_best: how many validations counted after it.
    """

    warmup_steps: int
    choices: int = 0
    highest_top1: float = -math.inf
    highest_standard_error: float = 0.0
    best: Validation | None = None
    since_best: int = 0

    def consider(self, validation: Validation) -> bool:
        """Whether this validation is the best so far; remembers it."""
        if validation.step <= self.warmup_steps:
            return False
        if validation.top1 > self.highest_top1:
            self.highest_top1 = validation.top1
            self.highest_standard_error = validation.standard_error
        tied = self._is_tied(validation)
        if not tied or (
            self.best is not None and self._is_tied(self.best) and validation.loss >= self.best.loss
        ):
            self.since_best += 1
            return False
        self.best = validation
        self.choices += 1
        self.since_best = 0
        return True

    def _is_tied(self, validation: Validation) -> bool:
        return validation.top1 >= self.highest_top1 - self.highest_standard_error

    def reason(self) -> str:
        """Why the best one was chosen, in words."""
        if self.best is None:
            return "no validation after the warm-up"
        if self.best.top1 == self.highest_top1:
            return f"top-1 {self.best.top1:.1%}, the highest, loss {self.best.loss:.3f}"
        return (
            f"top-1 {self.best.top1:.1%}, loss {self.best.loss:.3f}: the lowest loss of those within "
            f"one standard error ({100 * self.highest_standard_error:.1f} points) of the highest top-1, "
            f"{self.highest_top1:.1%}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes it again."""
        values = asdict(self)
        values["best"] = self.best and self.best._asdict()
        if self.best is None:
            del values["highest_top1"]  # JSON has no infinity
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BestSoFar:
        """The inverse of `to_json`."""
        best = values["best"]
        return cls(**{**values, "best": Validation(**best) if best else None})


def standard_error(shares: Mapping[str, tuple[float, int]]) -> float:
    """Standard error of the mean of independent shares, each a pair (share, number of trials).

    Each share is drawn towards 1/2 by one success and one failure, so that 2 of 2 right answers are not
    taken for certain: Agresti & Coull, Approximate Is Better than "Exact" (1998).
    """
    variance = 0.0
    for share, trials in shares.values():
        moderate = (share * trials + 1) / (trials + 2)
        variance += moderate * (1 - moderate) / trials
    return math.sqrt(variance) / len(shares)
