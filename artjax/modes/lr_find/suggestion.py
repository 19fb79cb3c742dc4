"""From the losses of a range test to a learning rate. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMOOTHING = 0.9
"""Of the average: it remembers ten steps, half an order of magnitude of the rate. fastai has 0.98."""

DIVERGED = 4.0
"""The test stops when the smoothed loss is so many times its lowest value, as in fastai."""

# Losses at the start are smoothed over too few steps, and the last losses diverge.
_SKIPPED_AT_START = 0.1
_SKIPPED_AT_END = 5
_LEAST_STEPS = 6
# A loss that falls by less has not fallen: it varies from batch to batch.
_LEAST_FALL = 0.02


def rates(lowest: float, highest: float, steps: int) -> np.ndarray:
    """Learning rates that rise exponentially from `lowest` to `highest`, float64 [steps].

    Smith, Cyclical Learning Rates for Training Neural Networks (2017), section 3.3, raises the rate
    linearly; fastai raises it exponentially, so that every order of magnitude has as many steps.
    """
    return np.geomspace(lowest, highest, steps)


def smoothed(losses: Sequence[float]) -> np.ndarray:
    """The exponential moving average of losses, with bias correction; float64 [N].

    It is corrected as in Kingma & Ba, Adam (2015), section 3; the decay is `SMOOTHING`.
    """
    average, averages = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        averages.append(average / (1 - SMOOTHING**step))
    return np.asarray(averages)


def considered(smooth: np.ndarray, steps: int) -> slice:
    """The part of a test in which the valley is sought.

    As in fastai it is without the first tenth, and without the last five steps. It also ends where the
    network diverges.

    Args:
      smooth: the smoothed losses of the steps that were done, float [N].
      steps: number of steps that were planned.
    """
    start = _skipped(steps)
    stop = max(start, len(smooth) - _SKIPPED_AT_END)
    diverged = divergence(smooth, steps)
    return slice(start, stop if diverged is None else max(start, min(stop, diverged)))


def divergence(smooth: np.ndarray, steps: int) -> int | None:
    """The place where the network has diverged; None if it has not.

    It is where the loss, which had fallen, is above what it was before it fell. If the loss falls once
    more at even higher rates, that is another valley. "Before" is the end of the first tenth: the very
    first loss is that of one batch, and may be lower than all others of an untrained network.

    Args:
      smooth: the smoothed losses of the steps that were done, float [N].
      steps: number of steps that were planned.
    """
    start = _skipped(steps)
    later = smooth[start:]
    if not len(later):
        return None
    fallen = np.minimum.accumulate(later) < (1 - _LEAST_FALL) * later[0]
    places = np.flatnonzero(fallen & (later > (1 + _LEAST_FALL) * later[0]))
    return start + int(places[0]) if len(places) else None


def _skipped(steps: int) -> int:
    """Number of steps at the start that do not count."""
    return int(steps * _SKIPPED_AT_START)


def valley(losses: np.ndarray) -> int | None:
    """The place of the suggestion: in the middle of the longest valley.

    The rule `valley` of fastai 2 (fastai/callback/schedule.py). The longest valley is the longest
    decreasing subsequence of the smoothed losses; as there, it is taken to be contiguous.

    Args:
      losses: smoothed, float [N].

    Returns:
      An index, or None if the losses do not fall.
    """
    if len(losses) < _LEAST_STEPS or losses.min() > (1 - _LEAST_FALL) * losses[0]:
        return None
    lengths = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        before = lengths[:i][losses[:i] > losses[i]]
        lengths[i] = 1 + before.max(initial=0)
    end = int(lengths.argmax())
    length = int(lengths[end])
    return end - length + int(length / 3) + int(length / 6)


def lowest(smooth: np.ndarray, steps: int) -> int | None:
    """The place of the lowest smoothed loss before the network diverges: a higher rate does harm.

    The last steps count here, other than in `considered`: not all of them are of divergence. Smith
    (2017), section 3.3, takes the rate at which the gain slows, or the curve becomes ragged, as the
    upper bound.

    Args:
      smooth: the smoothed losses of the steps that were done, float [N].
      steps: number of steps that were planned.

    Returns:
      An index, or None if the losses do not fall.
    """
    start = _skipped(steps)
    part = smooth[start : divergence(smooth, steps)]
    if not len(part) or part.min() > (1 - _LEAST_FALL) * part[0]:
        return None
    return start + int(part.argmin())


def steepest(rates: np.ndarray, losses: np.ndarray) -> int | None:
    """The place where the smoothed loss falls fastest with the logarithm of the rate; None as `valley`.

    The rule `steep` of fastai 2.

    Args:
      rates: float [N].
      losses: smoothed, float [N].
    """
    if len(losses) < _LEAST_STEPS or losses.min() > (1 - _LEAST_FALL) * losses[0]:
        return None
    return int((np.diff(losses) / np.diff(np.log(rates))).argmin())


@dataclass(frozen=True)
class Reading:
    """What a test says, as places among its steps; None if the losses do not fall.

    Attributes:
      suggestion: the middle of the valley, or, if that is after the lowest loss, of the fall to it.
      steepest: where the smoothed loss falls fastest, before it is lowest.
      lowest: where the smoothed loss is lowest, before the network diverges.
      diverged: where the network has diverged; None also if it has not.
    """

    suggestion: int | None
    steepest: int | None
    lowest: int | None
    diverged: int | None


def read(rates: np.ndarray, smooth: np.ndarray, steps: int) -> Reading:
    """Reads a test.

    Args:
      rates: of the steps that were done, float [N], rising.
      smooth: their smoothed losses, float [N].
      steps: number of steps that were planned.
    """
    part = considered(smooth, steps)
    middle, bottom = valley(smooth[part]), lowest(smooth, steps)
    if middle is None or bottom is None:
        return Reading(None, None, None, None)
    # The longest fall of a ragged curve may come after its deepest place, and so may the steepest one.
    fall = slice(part.start, max(bottom + 1, part.start + _LEAST_STEPS))
    if part.start + middle > bottom:
        middle = valley(smooth[fall]) or 0
    fastest = steepest(rates[fall], smooth[fall])
    return Reading(
        min(part.start + middle, bottom),
        None if fastest is None else part.start + fastest,
        bottom,
        divergence(smooth, steps),
    )


def in_words(
    reading: Reading, rates: np.ndarray, smooth: np.ndarray, steps: int, limit: float
) -> str:
    """Where the loss falls and is lowest: a sentence that can be checked in the table of the test.

    Args:
      reading: of the test; its losses fall.
      rates: of the steps that were done, float [N].
      smooth: their smoothed losses, float [N].
      steps: number of steps that were planned.
      limit: the highest learning rate that the optimizer takes.
    """
    start, bottom = _skipped(steps), reading.lowest
    words = (
        f"the smoothed loss falls fastest at {rates[reading.steepest]:.2g}; it is lowest at "
        f"{rates[bottom]:.2g}"
    )
    if reading.diverged is not None:
        words += f", before it diverges at {rates[reading.diverged]:.2g}"
    if smooth[:start].min(initial=np.inf) < smooth[bottom]:
        words += f" (the first {start} steps do not count: their average is over too few losses)"
    upper = f"{limit:g}, the limit of the optimizer," if rates[bottom] > limit else "that"
    return f"{words}; {upper} is the highest rate worth trying"
