"""Pictures unlike anything in train: those far from all train works where the network sees them."""

from __future__ import annotations

import math

import numpy as np

from artjax.evaluation.embeddings import nearest

NEIGHBOURS = 3
"""Train works whose mean distance counts. Of 1 to 50, 3 told foreign pictures best."""


def distances(pictures: np.ndarray, works: np.ndarray) -> np.ndarray:
    """How far pictures are from train, float32 [N], in [0, 2].

    The mean cosine distance to the nearest `NEIGHBOURS` train works (all, if there are fewer). Sun et
    al., Out-of-Distribution Detection with Deep Nearest Neighbors (2022), section 3, take the distance
    to the k-th; the mean depends less on a single work.

    Args:
      pictures: embeddings, float32 [N, C].
      works: embeddings of train works, float [M, C], M of 1 or more.
    """
    return 1 - nearest(pictures, works.astype(np.float32), NEIGHBOURS).similarities.mean(axis=1)


def limit(of_validation: np.ndarray, rate: float) -> float | None:
    """The distance that a share `rate` of works of the same kind exceeds, at most.

    The ceil((n + 1) (1 - rate))-th smallest of the n distances: Bates et al., Testing for Outliers with
    Conformal p-values (2023), section 1.2. A mean over draws of the validation works.

    Args:
      of_validation: distances of works that the network was not trained on, float [n].
      rate: in (0, 1).

    Returns:
      None if there are fewer than 1 / rate - 1 works, which show no limit.
    """
    place = math.ceil((len(of_validation) + 1) * (1 - rate) - 1e-9)
    return float(np.sort(of_validation)[place - 1]) if place <= len(of_validation) else None
