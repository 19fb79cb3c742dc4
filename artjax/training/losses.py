"""Weights of the classes in the loss, from how many works each class has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


def class_counts(
    labels: Mapping[str, np.ndarray], classes: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """How many works each class of each task has, int64 [classes].

    Args:
      labels: for each task, int [N], -1 for unknown.
      classes: number of classes for each task.
    """
    return {
        task: np.bincount(labels[task][labels[task] >= 0], minlength=count)
        for task, count in classes.items()
    }


def class_weights(loss: ConfigDict, counts: np.ndarray) -> np.ndarray:
    """The weight of each class, float32 [classes]; 0 for classes without works.

    `balanced`: n / (classes * n_c), where n works have a label and n_c of them the class c; only classes
    with works are counted. This is scikit-learn's `compute_class_weight`. `effective_number`: the
    inverse of (1 - beta^n_c) / (1 - beta), with a mean of 1 over the classes with works: Cui et al.,
    Class-Balanced Loss Based on Effective Number of Samples (2019), eq. 2 and 3.

    Args:
      loss: the `loss` section of a configuration, whose `class_weights` is not `none`.
      counts: works of each class, int [classes].
    """
    weights = np.zeros(len(counts))
    occurs = counts > 0
    works = counts[occurs].astype(np.float64)
    if loss.class_weights == "balanced":
        weights[occurs] = works.sum() / (len(works) * works)
    elif loss.effective_beta == 0:  # every effective number is 1
        weights[occurs] = 1.0
    else:
        # 1 - beta^n, also where beta is nearly 1. The factor 1 - beta cancels in the mean.
        inverse = 1 / -np.expm1(works * np.log(loss.effective_beta))
        weights[occurs] = inverse / inverse.mean()
    return weights.astype(np.float32)
