"""Hashes that differ in few bits, found without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np

_CHUNKS, _CHUNK_BITS = 4, 16
_AT_ONCE = 1 << 17  # pairs of hashes, so few that they stay in a core's cache


def near_pairs(
    hashes: np.ndarray, others: np.ndarray, max_distance: int, *, of_one_list: bool = True
) -> np.ndarray:
    """All i, j and k for which hash i and the other hash j, k differ in at most `max_distance` bits.

    Multi-index hashing: of four chunks of 16 bits, one differs in at most a quarter of the bits in which
    the whole does. So each hash is looked up in four tables, at each chunk that is so near. Norouzi,
    Punjani & Fleet, Fast Search in Hamming Space with Multi-Index Hashing (2012), section 3.

    Args:
      hashes: uint64 [N].
      others: uint64 [M, K], such as those of the K turns of each picture.
      max_distance: in bits, 0 to 15.
      of_one_list: whether both are of the same pictures: then M is N, and only i < j are wanted.

    Returns:
      int64 [P, 3], each i, j, k once, sorted.
    """
    count = others.shape[1]
    found = [np.empty(0, np.int64)]
    for number in range(_CHUNKS):
        shift = np.uint64(number * _CHUNK_BITS)
        chunks, other_chunks = (
            ((values >> shift) & np.uint64(2**_CHUNK_BITS - 1)).astype(np.int64)
            for values in (hashes, others.ravel())
        )
        # Both in the order of their chunks, so that memory is read nearly in sequence.
        order, other_order = (np.argsort(c, kind="stable") for c in (chunks, other_chunks))
        sizes = np.bincount(other_chunks, minlength=2**_CHUNK_BITS)
        for i, j in _near_by_chunk(
            hashes[order], chunks[order], others.ravel()[other_order], sizes, max_distance
        ):
            first, second = order[i], other_order[j]
            wanted = first < second // count if of_one_list else slice(None)
            found.append((first * others.size + second)[wanted])
    numbers = np.unique(np.concatenate(found))
    first, second = np.divmod(numbers, max(1, others.size))
    return np.stack([first, *np.divmod(second, count)], axis=1)


def _near_by_chunk(
    hashes: np.ndarray,
    chunks: np.ndarray,
    others: np.ndarray,
    sizes: np.ndarray,
    max_distance: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields pairs, as indices int64 [P] and [P], of hashes that are near and whose chunks are too.

    Args:
      hashes: uint64 [N].
      chunks: 16 bits of each of them, int64 [N].
      others: uint64 [M], in the order of their chunks.
      sizes: how many of them have each chunk, int64 [2 ** 16].
      max_distance: as in `near_pairs`.
    """
    starts = np.cumsum(sizes) - sizes
    for mask in _masks(max_distance // _CHUNKS):
        bucket = chunks ^ mask
        counts = sizes[bucket]
        for rows in portions(counts):
            ends = np.cumsum(counts[rows])
            skip = starts[bucket[rows]] - ends + counts[rows]
            second = np.repeat(skip, counts[rows])
            second += np.arange(len(second))
            differing = np.repeat(hashes[rows], counts[rows])
            differing ^= others[second]
            near = np.flatnonzero(np.bitwise_count(differing) <= max_distance)
            # Few are near, so the first index is found for them alone.
            yield rows.start + np.searchsorted(ends, near, side="right"), second[near]


def _masks(most_bits: int) -> list[int]:
    return [
        sum(1 << bit for bit in bits)
        for count in range(most_bits + 1)
        for bits in combinations(range(_CHUNK_BITS), count)
    ]


def portions(counts: np.ndarray) -> list[slice]:
    """Rows, in portions that have at most about `_AT_ONCE` pairs together."""
    ends = np.cumsum(counts)
    most = ends[-1] if len(ends) else 0
    if most <= _AT_ONCE:
        return [slice(0, len(counts))] if most else []
    cuts = np.searchsorted(ends, np.arange(_AT_ONCE, most, _AT_ONCE), side="right")
    return [slice(*cut) for cut in pairwise(np.unique([0, *cuts, len(counts)]))]
