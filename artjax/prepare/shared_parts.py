"""Which of many pictures show a part of each other: details, large crops, framed copies.

Not every picture can be compared with every other. So each local feature is written as 64 bits, the
signs of its principal components, and looked up in twelve tables, each by another 32 of these bits:
locality-sensitive hashing (Indyk & Motwani, 1998) with the signatures of Jegou, Douze & Schmid, Hamming
Embedding (2008). Pictures that have two such features in common are compared point by point.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from artjax.prepare import local_features
from artjax.prepare.hash_lookup import portions
from artjax.prepare.local_features import (
    MIN_SHARED,
    LocalFeatures,
    mirrored,
    shared_points,
    unit,
)
from artjax.runtime.threads import on_one_thread, one_thread

# What is found with these, and how long it takes, is in docs/preparing.md.
_BITS, _KEY_BITS, _TABLES = 64, 32, 12
_MAX_DISTANCE = 10  # in bits
_MIN_VOTES = 2
_MOST_CANDIDATES = 20  # of a picture; one that shares its texture with hundreds has more
_MOST_IN_BUCKET = 256  # features; where more are alike, they tell nothing apart
_FEWEST = 5_000  # descriptors: with fewer, principal components mean little, and pairs are few
_SAMPLE = 100_000
_PICTURES_AT_ONCE = 256


def settings() -> tuple[object, ...]:
    """All that decides, with the pictures, what is found."""
    import cv2

    own = _BITS, _KEY_BITS, _TABLES, _MAX_DISTANCE, _MIN_VOTES, _MOST_CANDIDATES
    return (*own, _MOST_IN_BUCKET, _FEWEST, _SAMPLE, *local_features.SETTINGS, cv2.__version__)


class SharedPart(NamedTuple):
    """Two pictures, by index, and how many points one transform takes from the one to the other."""

    first: int
    second: int
    shared_points: int


def extract(read: Callable[[int], LocalFeatures], count: int) -> list[LocalFeatures]:
    """`read(i)` for each i below `count`, on all cores: OpenCV works outside of Python's lock."""
    with _one_thread_each() as pool:
        return list(pool.map(read, range(count)))


@contextmanager
def _one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core. BLAS and OpenCV start none of their own, which would wait for these."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with one_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)


def find_shared_parts(pictures: Sequence[LocalFeatures]) -> list[SharedPart]:
    """All pairs of pictures, `first` < `second`, that show a part of each other, sorted."""
    pairs = find_candidates(pictures, pictures)
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return verify(pictures, pictures, pairs)


def verify(
    queries: Sequence[LocalFeatures], works: Sequence[LocalFeatures], pairs: np.ndarray
) -> list[SharedPart]:
    """Those of the pairs of a query and a work, int [P, 2], that share `MIN_SHARED` points or more."""
    with _one_thread_each() as pool:
        counts = pool.map(lambda pair: shared_points(queries[pair[0]], works[pair[1]]), pairs)
        return [
            SharedPart(int(first), int(second), shared)
            for (first, second), shared in zip(pairs, counts, strict=True)
            if shared >= MIN_SHARED
        ]


@on_one_thread()
def find_candidates(queries: Sequence[LocalFeatures], works: Sequence[LocalFeatures]) -> np.ndarray:
    """Pairs of a query and a work that have two features or more in common, as they are or mirrored.

    Of each query and each of its mirrors the twenty works that have most. All pairs, if there are few.

    Returns:
      int64 [P, 2], sorted. If queries and works are the same, a picture may be paired with itself.
    """
    if sum(len(work.places) for work in works) < _FEWEST:
        return np.argwhere(np.ones((len(queries), len(works)), bool))
    basis = _principal_components(works)
    codes, owners = _codes(works, basis), _owners(works)
    found = []
    for mirror in (False, True):
        asked = _codes(queries, basis, mirror)
        found.append(_most_voted(asked, _owners(queries), codes, owners, len(works)))
    return np.unique(np.concatenate(found), axis=0)


def _principal_components(works: Sequence[LocalFeatures]) -> tuple[np.ndarray, np.ndarray]:
    """Mean [128] and the first 64 principal components [128, 64] of the descriptors of a sample."""
    total = sum(len(work.places) for work in works)
    chosen = works[:: max(1, total // _SAMPLE)]
    sample = unit(np.concatenate([work.descriptors for work in chosen]))
    mean = sample.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((sample - mean).T))
    return mean, vectors[:, : -_BITS - 1 : -1].astype(np.float32)


def _owners(pictures: Sequence[LocalFeatures]) -> np.ndarray:
    """The picture of each descriptor, int [D]."""
    return np.repeat(np.arange(len(pictures)), [len(picture.places) for picture in pictures])


def _codes(
    pictures: Sequence[LocalFeatures], basis: tuple[np.ndarray, np.ndarray], mirror: bool = False
) -> np.ndarray:
    """The 64 bits of each descriptor, uint64 [D]."""
    mean, components = basis
    codes = [np.empty(0, np.uint64)]
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        some = pictures[start : start + _PICTURES_AT_ONCE]
        some = [mirrored(picture) for picture in some] if mirror else some
        values = unit(np.concatenate([picture.descriptors for picture in some]))
        bits = np.packbits((values - mean) @ components > 0, axis=1)
        codes.append(np.ascontiguousarray(bits).view(np.uint64)[:, 0])
    return np.concatenate(codes)


def _most_voted(
    asked: np.ndarray, askers: np.ndarray, codes: np.ndarray, owners: np.ndarray, works: int
) -> np.ndarray:
    """Pairs of a query and a work, int64 [P, 2]: for each feature of the query, the work has one vote.

    Args:
      asked: codes of the queries' features, uint64 [A].
      askers: the query of each, int [A].
      codes: codes of the works' features, uint64 [D].
      owners: the work of each, int [D].
      works: their number.
    """
    # A feature and a work, once each, whatever the tables and the features of the work.
    found = [ask * works + owners[match] for ask, match in _matches(asked, codes)]
    ballots = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    feature, work = np.divmod(ballots, works)
    pairs, votes = np.unique(askers[feature] * works + work, return_counts=True)
    pairs, votes = pairs[votes >= _MIN_VOTES], votes[votes >= _MIN_VOTES]
    query = pairs // works
    order = np.lexsort((-votes, query))
    rank = np.arange(len(order)) - np.searchsorted(query[order], query[order])
    chosen = pairs[order[rank < _MOST_CANDIDATES]]
    return np.stack(np.divmod(chosen, works), axis=1)


def _matches(asked: np.ndarray, codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields indices, int64 [P] and [P], of codes that differ in few bits, and in none of a table's."""
    draw = np.random.default_rng(0)
    for _ in range(_TABLES):
        bits = draw.choice(_BITS, _KEY_BITS, replace=False).astype(np.uint64)
        mask = np.bitwise_or.reduce(np.uint64(1) << bits)
        keys, wanted = codes & mask, asked & mask
        order, asked_order = np.argsort(keys), np.argsort(wanted)
        keys, wanted = keys[order], wanted[asked_order]
        starts = np.searchsorted(keys, wanted)
        counts = np.searchsorted(keys, wanted, side="right") - starts
        counts[counts > _MOST_IN_BUCKET] = 0
        for rows in portions(counts):
            many = counts[rows]
            ask = np.repeat(asked_order[rows], many)
            skip = starts[rows] - np.cumsum(many) + many
            match = order[np.repeat(skip, many) + np.arange(len(ask))]
            near = np.bitwise_count(asked[ask] ^ codes[match]) <= _MAX_DISTANCE
            yield ask[near], match[near]
