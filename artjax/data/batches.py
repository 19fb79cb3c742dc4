"""Batches on the devices. A batch depends on (seed, step) alone."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

import jax
import numpy as np
from jax.sharding import NamedSharding

from artjax.data.works import Split
from artjax.errors import ConfigError

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

_Item = TypeVar("_Item")

PREFETCHED = 2
"""Number of batches that wait for the training loop."""


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, works: int) -> np.ndarray:
    """The order of the works in an epoch: a permutation of range(works), int64.

    It depends on the arguments alone, so a checkpoint need not store the position in the data.
    """
    return np.random.default_rng([seed, epoch]).permutation(works)


def batch_indices(seed: int, step: int, batch_size: int, works: int) -> np.ndarray:
    """Indices of the works in the global batch of a step, int64 [batch_size].

    A batch may contain the end of one epoch and the start of the next, so no work is dropped. It may
    also be larger than the collection.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, positions_in_epoch = np.divmod(positions, works)
    indices = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        selected = epochs == epoch
        indices[selected] = order(seed, int(epoch), works)[positions_in_epoch[selected]]
    return indices


def create_order(config: ConfigDict, train: Split) -> Callable[[int], np.ndarray]:
    """Builds a function step → indices of the works in its global batch, int64 [batch_size].

    Args:
      config: `seed`, `batch_size`, `sampling` and `task` are read.
      train: the training split.

    Raises:
      ConfigError: if classes cannot be balanced, because no work has a label of the first task.
    """
    seed, batch_size = config.seed, config.batch_size
    if config.sampling == "shuffled":
        return lambda step: batch_indices(seed, step, batch_size, len(train))
    task = config.task[0]
    if not (train.labels[task] >= 0).any():
        raise ConfigError(
            f"--config.sampling={config.sampling}: no work of train has a label for {task}, the first "
            "task, by whose classes works are drawn"
        )
    balanced = BalancedOrder(seed, train.labels[task])
    return lambda step: balanced.works_at(np.arange(step * batch_size, (step + 1) * batch_size))


class BalancedOrder:
    """An endless order of the works in which all classes occur equally often.

    It is in rounds. A round has one work of each class that has works, in a random order. From round to
    round each class takes its own works in random order, all of them before one returns. So the work at
    a position depends on the seed and the position alone. Works without a label do not occur.
    """

    def __init__(self, seed: int, labels: np.ndarray) -> None:
        """Takes the seed, and the label of each work, int [N], -1 for unknown."""
        self._seed = seed
        classes = np.unique(labels[labels >= 0])
        self._works = [np.flatnonzero(labels == number) for number in classes]
        # As many as there are classes, twice: a batch may hold the end of one pass and the next one.
        self._pass_of = lru_cache(maxsize=2 * len(classes))(self._draw_pass)
        self._round_of = lru_cache(maxsize=4)(self._draw_round)

    def works_at(self, positions: np.ndarray) -> np.ndarray:
        """The works at positions 0 or later, int64 of the same length."""
        rounds, places = np.divmod(positions, len(self._works))
        chosen = [
            self._work(int(number), int(place))
            for number, place in zip(rounds, places, strict=True)
        ]
        return np.asarray(chosen, np.int64)

    def _work(self, number: int, place: int) -> int:
        which = int(self._round_of(number)[place])
        passes, place_in_pass = divmod(number, len(self._works[which]))
        return int(self._pass_of(which, passes)[place_in_pass])

    def _draw_round(self, number: int) -> np.ndarray:
        return np.random.default_rng([self._seed, 1, number]).permutation(len(self._works))

    def _draw_pass(self, which: int, number: int) -> np.ndarray:
        return np.random.default_rng([self._seed, 2, which, number]).permutation(self._works[which])


def put(split: Split, indices: np.ndarray, sharding: NamedSharding) -> dict[str, jax.Array]:
    """Puts the works at `indices` on the devices.

    Each process reads only the rows of its own devices.

    Args:
      split: the works are read from it.
      indices: the works of the global batch, int [B]; -1 is padding, whose `mask` is False.
      sharding: how the first axis is divided over the devices.

    Returns:
      `image` uint8 [B, S, S, 3], `aspect` float32 [B], `label/<task>` int32 [B], `mask` bool [B].
    """

    def read(rows: slice) -> dict[str, np.ndarray]:
        own = indices[rows]
        real = own >= 0
        arrays = split.gather(np.where(real, own, 0)) | {"mask": real}
        return {
            name: np.where(real, array, -1) if name.startswith("label/") else array
            for name, array in arrays.items()
        }

    return put_rows(read, len(indices), sharding)


def put_rows(
    read: Callable[[slice], Mapping[str, np.ndarray]], batch_size: int, sharding: NamedSharding
) -> dict[str, jax.Array]:
    """Builds a global batch: each device of this process gets the rows that `read` returns for it.

    The arrays are in ordinary memory, which XLA copies through its own pinned buffers. Batches
    gathered into pinned memory would be copied once more.
    """
    shards: dict[str, list[jax.Array]] = {}
    for device, index in sharding.addressable_devices_indices_map((batch_size,)).items():
        assert index is not None  # `check_batch_size` gives every device a share
        for name, array in read(index[0]).items():
            shards.setdefault(name, []).append(jax.device_put(array, device))
    return {
        name: jax.make_array_from_single_device_arrays(
            (batch_size, *arrays[0].shape[1:]), sharding, arrays
        )
        for name, arrays in shards.items()
    }


def evaluation_batches(
    split: Split, batch_size: int, sharding: NamedSharding
) -> Iterator[tuple[np.ndarray, dict[str, jax.Array]]]:
    """Yields every work of a split exactly once, in order. The last batch is padded to the same shape.

    Yields:
      The indices of the real works in the batch, int [<= batch_size], and the batch as from `put`.
    """

    def batch(number: int) -> tuple[np.ndarray, dict[str, jax.Array]]:
        real = np.arange(number * batch_size, min((number + 1) * batch_size, len(split)))
        padded = np.pad(real, (0, batch_size - len(real)), constant_values=-1)
        return real, put(split, padded, sharding)

    yield from prefetch(batch, 0, -(-len(split) // batch_size))


class Timed(Generic[_Item]):
    """An iterator that measures how long its user waits for items."""

    def __init__(self, items: Generator[_Item, None, None]) -> None:
        self._items = items
        self._seconds = 0.0

    def __iter__(self) -> Timed[_Item]:
        return self

    def __next__(self) -> _Item:
        since = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self._seconds += time.perf_counter() - since

    def take_seconds(self) -> float:
        """Seconds spent waiting since the last call of this method."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def close(self) -> None:
        """Closes the underlying generator."""
        self._items.close()


def prefetch(
    produce: Callable[[int], _Item], start: int, stop: int, depth: int = PREFETCHED
) -> Generator[_Item, None, None]:
    """Yields produce(start), …, produce(stop - 1), computed ahead in a thread.

    An exception in `produce` is raised here. Closing the iterator ends the thread.

    Args:
      produce: a function of the item's number, such as the step.
      start: the first number.
      stop: the number after the last one.
      depth: how many finished items may wait. Each holds a batch in device memory.
    """
    results: queue.Queue[tuple[_Item | None, BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def offer(item: _Item | None, error: BaseException | None) -> bool:
        while not closed.is_set():
            try:
                results.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        for number in range(start, stop):
            try:
                item = produce(number)
            except BaseException as error:  # raised again in the thread that waits for the item
                offer(None, error)
                return
            if not offer(item, None):
                return

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item, error = results.get()
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
