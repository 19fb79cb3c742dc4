"""Temperature scaling: one number for each task that makes probabilities mean what they say."""

from __future__ import annotations

import math

import numpy as np

from artjax.evaluation.metrics import Predictions, log_softmax

FEWEST_WORKS = 30
"""To fit a temperature on. With fewer, the few that are wrong decide it."""

_LIMITS = (0.05, 20.0)


def fitted(predictions: Predictions) -> float | None:
    """The temperature that minimises the loss of some works: above 1 where a network is too sure.

    Guo et al., On Calibration of Modern Neural Networks (2017), section 4.2: the logits are divided by
    one number T. Logarithms of probabilities serve as logits, because a softmax takes no notice of what
    is added to all classes. T is within 0.05 and 20. The most probable class stays the same.

    Args:
      predictions: of one task, on works that the network was not trained on.

    Returns:
      None where nothing can be fitted: fewer than `FEWEST_WORKS` works, one without a finite output, or
      none that is wrong, whose loss is the lower the surer the network is.
    """
    if len(predictions.labels) < FEWEST_WORKS or not predictions.finite.all():
        return None
    if (predictions.predicted == predictions.labels).all():
        return None
    from scipy.optimize import minimize_scalar  # takes 0.2 s to import

    rows = np.arange(len(predictions.labels))

    def loss(log_temperature: float) -> float:
        logs = divided(predictions.log_probabilities, math.exp(log_temperature))
        return float(-logs[rows, predictions.labels].mean())

    found = minimize_scalar(loss, bounds=tuple(map(math.log, _LIMITS)), method="bounded")
    return math.exp(found.x)


def divided(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The logarithms of probabilities after their logits are divided by a temperature.

    Args:
      log_probabilities: natural logarithms, float64 [N, classes]; nan stays nan.
      temperature: above 0; 1 changes nothing.
    """
    return log_probabilities if temperature == 1 else log_softmax(log_probabilities / temperature)
