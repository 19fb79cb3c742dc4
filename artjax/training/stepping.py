"""Training steps one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import jax

State = TypeVar("State")


class Stepping(Generic[State]):
    """Takes a step for each batch; iterating yields the metrics of each.

    The state is donated to the step, so it is held here alone. Whoever iterates may replace it between
    two steps, and may stop at any time.

    Attributes:
      state: after the last step.
      step: number of steps done.
    """

    def __init__(
        self,
        train_step: Callable[[State, Any], tuple[State, dict[str, jax.Array]]],
        state: State,
        batches: Iterable[Any],
        *,
        step: int = 0,
    ) -> None:
        """Takes the steps' program, the first state, and the batches; nothing is computed yet.

        Args:
          train_step: (state, batch) → (state, metrics); compiled.
          state: at the first step.
          batches: one for each step.
          step: number of steps done before.
        """
        self._train_step = train_step
        self._batches = batches
        self.state = state
        self.step = step

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        """Yields the metrics of each step. The devices may still be computing them."""
        for batch in self._batches:
            self.state, metrics = self._train_step(self.state, batch)
            self.step += 1
            yield metrics
