"""Several views of each work, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from artjax import augment
from artjax import config as config_lib
from artjax.evaluation.metrics import log_softmax, mean_log_probabilities
from artjax.training.network import Network

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict


def number_of_views(config: ConfigDict, views: int | None) -> int:
    """How many views of each work are evaluated: as asked for, else as the configuration says.

    Raises:
      ConfigError: if it is not a valid value of `eval.views`.
    """
    if views is None:
        return int(config.eval.views)
    config_lib.check_field("eval.views", views)
    return views


def logits_of_views(
    network: Network, variables: Any, batch: Mapping[str, jax.Array], views: int
) -> dict[str, np.ndarray]:
    """What the network says of a batch, for each task, [B, classes]; a softmax gives probabilities.

    Args:
      network: the network.
      variables: whole ones.
      batch: its works. It holds images if there are several views.
      views: 1 for the logits of what evaluation usually sees, float32; 5 or 10 for the logarithms of the
        means of the probabilities over `augment.fixed_views`, float64.
    """
    if views == 1:
        logits = network.logits(variables, batch)
        return {task: np.asarray(values) for task, values in logits.items()}
    # One after the other, so that the memory for one view is enough. All are the same compiled program.
    of_view = [
        jax.tree.map(np.asarray, network.logits(variables, batch, view))
        for view in augment.fixed_views(views)
    ]
    return {
        task: mean_log_probabilities([log_softmax(logits[task]) for logits in of_view])
        for task in of_view[0]
    }
