"""Embeddings: where a network sees each work, as points that lie near each other if works look alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from artjax.data import batches
from artjax.data.works import Split
from artjax.training.network import Network

_AT_ONCE = 1024  # queries; times 80,000 works, the similarities take 330 MB


class Neighbours(NamedTuple):
    """The nearest works of each query, the nearest first.

    Attributes:
      indices: of the works, int [N, K].
      similarities: cosines, float32 [N, K], in [-1, 1].
    """

    indices: np.ndarray
    similarities: np.ndarray


def embed(network: Network, variables: Mapping[str, Any], split: Split) -> np.ndarray:
    """The embeddings of the works of a split, float32 [N, C], each of length 1.

    They are the outputs of the last stage, averaged over height and width where these are left. The
    arguments and errors are those of `outputs_of`.
    """
    return np.concatenate([unit(outputs) for outputs in outputs_of(network, variables, split)])


def outputs_of(
    network: Network, variables: Mapping[str, Any], split: Split
) -> Iterator[np.ndarray]:
    """Yields the outputs of the last stage for some works of a split after others, float16 [n, …, C].

    Args:
      network: the network.
      variables: whole ones.
      split: the works; its images may be features, if these are the outputs of the last stage.

    Raises:
      ValueError: for the features of an earlier stage.
    """
    if isinstance(split.images, np.ndarray) and split.images.dtype == np.float16:
        if not network.freezes_trunk:
            raise ValueError(f"features of {network.boundary} are no outputs of the last stage")
        yield split.images[split.rows]
        return
    for real, batch in batches.evaluation_batches(
        split, network.eval_batch_size, network.batch_sharding
    ):
        yield np.asarray(network.trunk_outputs(variables, batch))[: len(real)]


def unit(outputs: np.ndarray) -> np.ndarray:
    """Outputs of a stage, [N, …, C], as embeddings: float32 [N, C]; 0 where all outputs are 0."""
    values = outputs.astype(np.float32)
    values = values.mean(axis=tuple(range(1, values.ndim - 1)))
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def nearest(queries: np.ndarray, works: np.ndarray, count: int) -> Neighbours:
    """The `count` nearest works of each query by cosine (all works, if there are fewer). Exact search.

    Args:
      queries: embeddings, float32 [N, C].
      works: embeddings, float32 [M, C].
      count: 1 or more.
    """
    count = min(count, len(works))
    indices, similarities = [np.empty((0, count), np.int64)], [np.empty((0, count), np.float32)]
    for start in range(0, len(queries), _AT_ONCE):
        cosines = queries[start : start + _AT_ONCE] @ works.T
        found = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        of_found = np.take_along_axis(cosines, found, axis=1)
        order = np.argsort(-of_found, axis=1, kind="stable")
        indices.append(np.take_along_axis(found, order, axis=1))
        similarities.append(np.take_along_axis(of_found, order, axis=1))
    return Neighbours(np.concatenate(indices), np.concatenate(similarities))
