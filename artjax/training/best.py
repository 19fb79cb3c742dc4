"""Which checkpoint is the best by validation."""

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
      probability: mean over tasks of the mean probability of the true class, in [0, 1]; always finite.
      loss: sum over tasks, in nats; nan if an image has no finite output.
    """

    step: int
    top1: float
    probability: float
    loss: float


@dataclass
class BestSoFar:
    """The validation whose checkpoint is kept: that with the highest probability of the true class.

    It says what top-1 says with less luck: the probability moves with every work, also with one whose
    answer stays the same. Unlike the loss it is bounded, so that a few works of which the network is
    wrongly sure cannot outweigh all others, and it may rise with top-1 while the loss rises.

    Only this checkpoint and the last one are on the disk. So the rule must order any two validations
    without a look at the others; then the kept one is what the rule names among all so far. A rule that
    compares with the highest top-1 of the whole run ("within one standard error of it, the lowest loss")
    does not: what it names at the end may have been deleted. docs/performance.md compares rules on the
    curves of real runs.

    Validations during the warm-up do not count: the network is hardly trained.

    Attributes:
      warmup_steps: length of the warm-up.
      considered: how many validations counted.
      choices: how often a validation became the best.
      best: the best validation, or None; of equals the first.
      lowest_loss: of all that counted, in nats; None before the first with a finite loss.
      since_better: how many validations counted after the last one that became the best, or had a lower
        loss than all before. While either improves, early stopping waits.
    """

    warmup_steps: int
    considered: int = 0
    choices: int = 0
    best: Validation | None = None
    lowest_loss: float | None = None
    since_better: int = 0

    def consider(self, validation: Validation) -> bool:
        """Whether this validation is the best so far; remembers it."""
        if validation.step <= self.warmup_steps:
            return False
        self.considered += 1
        is_best = self.best is None or validation.probability > self.best.probability
        is_lower = self._lowers_loss(validation.loss)
        self.since_better = 0 if is_best or is_lower else self.since_better + 1
        if is_best:
            self.best = validation
            self.choices += 1
        return is_best

    def _lowers_loss(self, loss: float) -> bool:
        """Whether a loss is lower than all before; remembers it."""
        if not math.isfinite(loss) or (self.lowest_loss is not None and loss >= self.lowest_loss):
            return False
        self.lowest_loss = loss
        return True

    def reason(self) -> str:
        """Why the best one was chosen, in words."""
        if self.best is None:
            return "no validation after the warm-up"
        after = " after the warm-up" if self.warmup_steps else ""
        which = (
            "the only validation"
            if self.considered == 1
            else f"the highest of {self.considered} validations"
        )
        return (
            f"top-1 {self.best.top1:.1%}; probability of the true class "
            f"{self.best.probability:.1%}, {which}{after}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes it again."""
        return asdict(self) | {"best": self.best and self.best._asdict()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BestSoFar:
        """The inverse of `to_json`."""
        best = values["best"]
        return cls(**{**values, "best": Validation(**best) if best else None})
