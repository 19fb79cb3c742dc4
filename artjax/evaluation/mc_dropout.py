"""Monte Carlo dropout: several answers of one network, and how far they are from each other.

Gal & Ghahramani, Dropout as a Bayesian Approximation (2016), section 4: forward passes with dropout on
are averaged. Their spread says what the network does not know.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from artjax import augment
from artjax import config as config_lib
from artjax.data import batches
from artjax.evaluation.metrics import entropy, log_softmax, mean_log_probabilities
from artjax.training.checks import check_dropout
from artjax.training.network import Network

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict


class Sampled(NamedTuple):
    """What the passes say of B works.

    Attributes:
      log_probabilities: of their mean, natural logarithms, float64 [B, classes].
      expected_entropy: the mean of their entropies, in nats, float64 [B].
    """

    log_probabilities: np.ndarray
    expected_entropy: np.ndarray


def number_of_passes(config: ConfigDict, settings: Mapping[str, Any] | None = None) -> int:
    """How many passes with dropout are averaged, 0 for none: as in `settings`, else `eval.mc_dropout`.

    Raises:
      ConfigError: if there shall be some, and the network has no dropout.
    """
    passes = int((settings or {}).get("mc_dropout", config.eval.mc_dropout))
    config_lib.check_field("eval.mc_dropout", passes)
    check_dropout(config, passes)
    return passes


def words_of_names(file_names: Iterable[str]) -> np.ndarray:
    """A number for each work from its file name, uint32 [N]: its random key in any batch and order."""
    return np.asarray([zlib.crc32(str(name).encode()) for name in file_names], np.uint32)


def words_of_pixels(canvases: Iterable[np.ndarray]) -> np.ndarray:
    """A number for each picture from its pixels, uint32 [N]: its random key, whatever it is called."""
    return np.asarray([zlib.crc32(one.tobytes()) for one in canvases], np.uint32)


def sampled(
    network: Network,
    variables: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    words: np.ndarray,
    passes: int,
    views: int = 1,
) -> dict[str, Sampled]:
    """What passes with dropout say of a batch, for each task.

    Args:
      network: the network.
      variables: whole ones.
      batch: its works, B with padding. It holds images if there are several views.
      words: a number for each real work, uint32, at most B; padding follows them.
      passes: 1 or more.
      views: 1, 5 or 10, whose probabilities are averaged in each pass.
    """
    size = len(batch["image"])
    padded = np.pad(words, (0, size - len(words)))
    on_devices = batches.put_rows(
        lambda rows: {"words": padded[rows]}, size, network.batch_sharding
    )
    given = variables, batch, on_devices["words"], passes
    shown = (None,) if views == 1 else augment.fixed_views(views)
    of_views = [jax.tree.map(np.asarray, network.dropout_logits(*given, view)) for view in shown]
    result = {}
    for task in of_views[0]:
        each = mean_log_probabilities([log_softmax(logits[task]) for logits in of_views])
        each = each[: len(words)]
        mean = mean_log_probabilities([each[:, i] for i in range(passes)])
        result[task] = Sampled(mean, entropy(each).mean(axis=1))
    return result
