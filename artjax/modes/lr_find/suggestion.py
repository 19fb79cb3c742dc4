"""From the losses of a range test to a learning rate. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

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
    """The part of a test of which suggestions are made.

    As in fastai it is without the first tenth, and without the last five steps. It also ends where the
    loss, which had fallen, is above its first value again: the network has diverged, and if its loss
    falls once more at even higher rates, that is another valley.

    Args:
      smooth: the smoothed losses of the steps that were done, float [N].
      steps: number of steps that were planned.
    """
    start = int(steps * _SKIPPED_AT_START)
    stop = max(start, len(smooth) - _SKIPPED_AT_END)
    fallen = np.minimum.accumulate(smooth) < (1 - _LEAST_FALL) * smooth[0]
    diverged = np.flatnonzero(fallen & (smooth > smooth[0]))
    return slice(start, max(start, min([stop, *diverged[:1].tolist()])))


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


def lowest(losses: np.ndarray) -> int | None:
    """The place of the lowest loss: from here on a higher rate does harm. None as `valley`.

    Smith (2017), section 3.3, takes the rate at which the gain slows, or the curve becomes ragged, as
    the upper bound.

    Args:
      losses: smoothed, float [N].
    """
    return None if valley(losses) is None else int(losses.argmin())


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
