"""Features: the outputs of the frozen part of a network, computed once and kept on the disk."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from artjax import config as config_lib
from artjax.data import batches
from artjax.data.canvases import Canvases
from artjax.data.joined import JoinedImages
from artjax.data.works import Split
from artjax.errors import DataError
from artjax.files import write_atomically
from artjax.runtime import locks, resources
from artjax.runtime.mesh import is_first_process
from artjax.runtime.resources import format_bytes
from artjax.training.groups import flat, nested, update_digest
from artjax.training.network import Network

# More works at once are no faster on a CPU, and need more memory.
_LARGEST_BATCH_ON_CPU = 16
_DONE = ".done"
_KEPT_EVERY_S = 1.0  # writing to the disk after each batch would take as long as a small trunk does


class Features:
    """The features of the works of a collection, in memory-mapped float16 arrays.

    There is one array for each view, with a row for each work of the collection, and a file that says
    which rows are computed: those that a split has asked for. So folds, tasks and splits share them. The
    folder is named after everything that the features depend on: the weights, the boundary, the input,
    the data. If computing them is killed, the next call continues after the last batch.
    """

    def __init__(
        self, network: Network, variables: Mapping[str, Any], data: Canvases, root: Path
    ) -> None:
        """Opens the features of a collection; none is computed yet.

        Args:
          network: has a boundary.
          variables: whole ones, or the frozen ones alone.
          data: the collection.
          root: the folder for the features of all collections.
        """
        self._network = network
        self._data = data
        used = {p: a for p, a in flat(variables).items() if network.is_before_boundary(p)}
        self._variables = nested(used)
        digest = hashlib.sha256(json.dumps(self._depends_on(), sort_keys=True).encode())
        update_digest(digest, used)
        name, version = data.prepared.name, data.prepared.version
        self.directory = root / name / version / digest.hexdigest()[:16]

    def _depends_on(self) -> dict[str, Any]:
        config = self._network.config
        return {
            "model": config.model.name,
            "boundary": self._network.boundary,
            "image_size": config.image_size,
            "canvas_size": config_lib.canvas_size(config),
            "preprocessing": asdict(self._network.preprocessing),
            "dtype": self._network.dtype.name,
            "data": self._data.prepared.fingerprint,
            "image_feature": config.image_feature,
        }

    def seen(self, split: Split) -> Split:
        """The split as evaluation sees it: `images` are the features, float16 [N, …]."""
        return self._of(split, [None])

    def views(self, split: Split, count: int) -> Split:
        """The split as training sees it: every work `count` times, each with another augmentation."""
        return self._of(split, list(range(count)))

    def seen_and_views(self, split: Split, count: int) -> Split:
        """Every work `count` times: as evaluation sees it, and else as in `views`."""
        return self._of(split, [None, *range(count - 1)])

    def _of(self, split: Split, views: list[int | None]) -> Split:
        rows = self._data.rows_in_collection(split)
        arrays = [self._array(split, rows, view) for view in views]
        times = len(views)
        of_views = np.arange(times)[:, None] * len(arrays[0]) + rows
        return replace(
            split,
            images=arrays[0] if times == 1 else JoinedImages(arrays),
            rows=of_views.ravel(),
            aspect=np.tile(split.aspect, times),
            labels={task: np.tile(labels, times) for task, labels in split.labels.items()},
            file_names=np.tile(split.file_names, times),
            years=np.tile(split.years, times),
            work_ids=np.tile(split.work_ids, times),
        )

    def _array(self, split: Split, rows: np.ndarray, view: int | None) -> np.ndarray:
        """The array of a view, in which the given rows of the collection are computed."""
        path = self._path(view)
        shape = (self._data.works, *self._network.feature_shape)
        if not _computed(path, shape)[rows].all():
            with locks.after_others(self.directory, "computing features"):
                done = _computed(path, shape)
                missing = np.flatnonzero(~done[rows])
                if len(missing):
                    self._compute(_Missing(split.only(missing), rows[missing], view), path, done)
        return np.load(path, mmap_mode="r")

    def _path(self, view: int | None) -> Path:
        if view is None:
            return self.directory / "evaluated.npy"
        config = self._network.config
        described = {"seed": config.seed, "augment": config.augment.to_dict()}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        return self.directory / f"view{view}-{digest}.npy"

    def _compute(self, missing: _Missing, path: Path, done: np.ndarray) -> None:
        shape = (len(done), *self._network.feature_shape)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            needed, free = 2 * len(missing.rows) * int(np.prod(shape[1:])), resources.on_disk(path)
            if needed > free:
                raise DataError(
                    f"the features of {len(missing.rows):,} works need {format_bytes(needed)} in "
                    f"{path.parent}, where {format_bytes(free)} are free; free some space, set another "
                    "--feature_dir, or compute them in each step with --config.features.views=0"
                )
            if not done.any():
                # Of an array that cannot be read: the new one has none of its rows.
                path.with_suffix(_DONE).unlink(missing_ok=True)
            array = np.lib.format.open_memmap(
                path, mode="r+" if done.any() else "w+", dtype=np.float16, shape=shape
            )
            self._fill(array, missing, path.with_suffix(_DONE), done)
        except OSError as error:
            raise DataError(
                f"cannot write features to {path.parent} ({error.strerror or error}); set another "
                "--feature_dir, or compute them in each step with --config.features.views=0"
            ) from error

    def _fill(self, array: np.memmap, missing: _Missing, done_file: Path, done: np.ndarray) -> None:
        network, split, view = self._network, missing.split, missing.view
        size = self._batch_size
        step = network.feature_step
        of_view = None
        if view is not None:
            of_view = jax.random.fold_in(jax.random.key(network.config.seed), view)

        def batch(number: int) -> tuple[np.ndarray, dict[str, jax.Array]]:
            real = np.arange(number * size, min((number + 1) * size, len(split)))
            padded = np.pad(real, (0, size - len(real)), constant_values=-1)
            return real, batches.put(split, padded, network.batch_sharding)

        kept_at = time.monotonic()
        what = "features" if view is None else f"features, view {view}"
        with tqdm(
            total=len(split),
            desc=f"{what} of {split.name}",
            unit="image",
            delay=2,
            disable=None if is_first_process() else True,
        ) as bar:
            for real, images in batches.prefetch(batch, 0, -(-len(split) // size)):
                rows = missing.rows[real]
                drawn = None
                if of_view is not None:
                    drawn = _keys(of_view, np.pad(rows, (0, size - len(rows))))
                values = np.asarray(step(self._variables, images, drawn))[: len(real)]
                if not np.isfinite(values).all():
                    raise DataError(
                        f"the network's output at {network.boundary} is not finite in float16 for "
                        f"{split.file_names[real[0]]} or one of the next {len(real)} works; use "
                        "--config.features.views=0"
                    )
                array[rows] = values
                done[rows] = True
                if time.monotonic() >= kept_at + _KEPT_EVERY_S or real[-1] == len(split) - 1:
                    array.flush()  # before the file that says so
                    write_atomically(done_file, np.packbits(done).tobytes())
                    kept_at = time.monotonic()
                bar.update(len(real))

    @property
    def _batch_size(self) -> int:
        network = self._network
        size = network.eval_batch_size
        if network.mesh.devices.flat[0].platform == "cpu":
            size = min(size, _LARGEST_BATCH_ON_CPU * network.mesh.size)
        return size


@jax.jit
def _keys(of_view: jax.Array, rows: jax.Array) -> jax.Array:
    """A key for each row: a work has the same augmentation in every fold and split."""
    return jax.vmap(partial(jax.random.fold_in, of_view))(rows)


class _Missing(NamedTuple):
    """Works of a split whose features are to be computed, their rows in the collection, and the view."""

    split: Split
    rows: np.ndarray
    view: int | None


def _computed(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Which rows of an array are computed, bool [M]; none if it cannot be read."""
    with suppress(OSError, ValueError, EOFError):
        bits = np.frombuffer(path.with_suffix(_DONE).read_bytes(), np.uint8)
        if np.load(path, mmap_mode="r").shape == shape:
            return np.unpackbits(bits, count=shape[0]).astype(bool)
    return np.zeros(shape[0], bool)


def features_of(
    network: Network, variables: Mapping[str, Any], data: Canvases, root: Path
) -> Features | None:
    """The features of a network with `features.views`; None if it has none.

    The arguments are those of `Features`.
    """
    return Features(network, variables, data, root) if network.config.features.views else None
