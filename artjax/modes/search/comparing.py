"""Whether what a search has chosen is shown to be better than the other trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artjax.evaluation.metrics import Predictions
from artjax.evaluation.metrics import top1 as top1_of
from artjax.evaluation.pairwise import LEVEL, score_by_work, shown_to_be_better
from artjax.modes.search.space import OWN

_KINDS = {"single": "the best trial", "ensemble": "the ensemble", "soup": "the soup"}


@dataclass(frozen=True)
class Comparison:
    """What is chosen beside the trials that were trained to the end, on the validation works.

    Attributes:
      kind: of what is chosen: `single`, `ensemble` or `soup`.
      works: number of validation works.
      others: how many other trials it is compared with.
      worse: the numbers of those that are shown to be worse.
      any_better: whether any of them all is shown to be better than another.
      own_top1: top-1 of the configuration's own settings; None if they were not trained to the end.
      own_is_chosen: whether these settings are what is chosen.
    """

    kind: str
    works: int
    others: int
    worse: tuple[int, ...]
    any_better: bool
    own_top1: float | None
    own_is_chosen: bool

    @property
    def better_than_own(self) -> bool:
        """Whether what is chosen is shown to be better than the configuration's own settings."""
        return OWN in self.worse

    def in_words(self) -> list[str]:
        """A line on all trials, and one on the configuration's own settings."""
        return [self._of_all(), self._of_own()]

    def to_json(self) -> dict[str, Any]:
        """Plain values, and the lines."""
        return asdict(self) | {
            "worse": list(self.worse),
            "better_than_own": self.better_than_own,
            "in_words": self.in_words(),
        }

    def _of_all(self) -> str:
        what, worse = _KINDS[self.kind], len(self.worse)
        if not self.others:
            return "only one trial was trained to the end: there is nothing to compare it with"
        trials = f"{self.others} other trials" if self.others > 1 else "other trial"
        trained = f"{trials} that {'were' if self.others > 1 else 'was'} trained to the end"
        how = (
            f"paired on the {self.works:,} validation works, exact sign tests of all pairs, Holm, "
            f"{100 * LEVEL:.0f} %"
        )
        if not worse:
            some = "any of the" if self.others > 1 else "the"
            none = "" if self.any_better else "no setting is shown to be better than another: "
            return f"{none}{what} is not shown to be better than {some} {trained} ({how})"
        if worse == self.others:
            every = "all" if self.others > 1 else "the"
            return f"{what} is shown to be better than {every} {trained} ({how})"
        return (
            f"{what} is shown to be better than {worse} of the {trained}, and not than the other "
            f"{self.others - worse} ({how})"
        )

    def _of_own(self) -> str:
        if self.own_top1 is None:
            return "the configuration's own settings (trial 0) have diverged"
        if self.own_is_chosen:
            return "the best trial has the configuration's own settings (trial 0)"
        verdict = "are shown to be worse" if self.better_than_own else "are not shown to be worse"
        return f"the configuration's own settings (trial 0) have {self.own_top1:.1%}, and {verdict}"


def compare(
    chosen: Mapping[str, Any],
    of_chosen: Mapping[str, Predictions],
    of_trials: Mapping[int, Mapping[str, Predictions]],
) -> Comparison:
    """Compares what is chosen with all other trials that were trained to the end.

    Args:
      chosen: the row of `combining.row`.
      of_chosen: its predictions of the validation works, by task.
      of_trials: those of each trial, by its number.
    """
    single = chosen["trials"][0] if chosen["kind"] == "single" else None
    others = [number for number in of_trials if number != single]
    predicted = [of_chosen, *(of_trials[number] for number in others)]
    scores = np.stack([score_by_work(of_one) for of_one in predicted])
    better = shown_to_be_better(scores)
    return Comparison(
        chosen["kind"],
        scores.shape[1],
        len(others),
        tuple(number for number, shown in zip(others, better[0, 1:], strict=True) if shown),
        bool(better.any()),
        _top1(of_trials[OWN]) if OWN in of_trials else None,
        single == OWN,
    )


def _top1(predicted: Mapping[str, Predictions]) -> float:
    """As in `combining.scores`, of a network that may have diverged: its works are wrong."""
    return float(np.mean([top1_of(of_task) for of_task in predicted.values()]))
