"""Features: the outputs of the frozen part of a network, computed once and kept on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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


class Features:
    """The features of the works of a collection, in memory-mapped float16 arrays.

    There is one file for each split and view. Its folder is named after everything that the features
    depend on: the weights, the boundary, the input, the data. A file is computed at its first use. If
    that is killed, the next call continues after the last batch that was written.
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

    def _of(self, split: Split, views: list[int | None]) -> Split:
        arrays = [self._array(split, view) for view in views]
        times = len(views)
        one = len(arrays) == 1
        return replace(
            split,
            images=arrays[0] if one else JoinedImages(arrays),
            rows=np.arange(times * len(split)),
            aspect=np.tile(split.aspect, times),
            labels={task: np.tile(labels, times) for task, labels in split.labels.items()},
            file_names=np.tile(split.file_names, times),
            years=np.tile(split.years, times),
            work_ids=np.tile(split.work_ids, times),
        )

    def _array(self, split: Split, view: int | None) -> np.ndarray:
        config = self._network.config
        described: dict[str, Any] = {"works": split.file_names.tolist()}
        if view is not None:
            described |= {"seed": config.seed, "augment": config.augment.to_dict()}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        kind = "evaluated" if view is None else f"view{view}"
        path = self.directory / f"{split.name}-{kind}-{digest}.npy"
        if not path.is_file():
            with locks.after_others(self.directory, "computing features"):
                if not path.is_file():
                    self._compute(split, view, path)
        return np.load(path, mmap_mode="r")

    def _compute(self, split: Split, view: int | None, path: Path) -> None:
        network = self._network
        shape = (len(split), *network.feature_shape)
        partial, progress = path.with_suffix(".partial"), path.with_suffix(".progress")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            done = _done(partial, progress, shape)
            needed, free = 2 * int(np.prod(shape)), resources.on_disk(path)
            if not done and needed > free:
                raise DataError(
                    f"the features of {len(split):,} works need {format_bytes(needed)} in "
                    f"{path.parent}, where {format_bytes(free)} are free; free some space, set another "
                    "--feature_dir, or compute them in each step with --config.features.views=0"
                )
            array = np.lib.format.open_memmap(
                partial, mode="r+" if done else "w+", dtype=np.float16, shape=shape
            )
            self._fill(array, split, view, done, progress)
            del array
            os.replace(partial, path)
            progress.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"cannot write features to {path.parent} ({error.strerror or error}); set another "
                "--feature_dir, or compute them in each step with --config.features.views=0"
            ) from error

    def _fill(
        self, array: np.memmap, split: Split, view: int | None, done: int, progress: Path
    ) -> None:
        network = self._network
        size = self._batch_size
        step = network.feature_step
        keys = None
        if view is not None:
            of_view = jax.random.fold_in(jax.random.key(network.config.seed), view)
            keys = jax.vmap(lambda row: jax.random.fold_in(of_view, row))

        def batch(number: int) -> tuple[np.ndarray, dict[str, jax.Array]]:
            real = np.arange(done + number * size, min(done + (number + 1) * size, len(split)))
            padded = np.pad(real, (0, size - len(real)), constant_values=-1)
            return real, batches.put(split, padded, network.batch_sharding)

        what = "features" if view is None else f"features, view {view}"
        count = -(-(len(split) - done) // size)
        with tqdm(
            total=len(split),
            initial=done,
            desc=f"{what} of {split.name}",
            unit="image",
            delay=2,
            disable=None if is_first_process() else True,
        ) as bar:
            for real, images in batches.prefetch(batch, 0, count):
                padded = np.pad(real, (0, size - len(real)))
                drawn = keys(padded) if keys else None
                values = np.asarray(step(self._variables, images, drawn))[: len(real)]
                if not np.isfinite(values).all():
                    raise DataError(
                        f"the network's output at {network.boundary} is not finite in float16 for "
                        f"{split.file_names[real[0]]} or one of the next {len(real)} works; use "
                        "--config.features.views=0"
                    )
                array[real] = values
                array.flush()
                write_atomically(progress, json.dumps({"done": int(real[-1]) + 1}))
                bar.update(len(real))

    @property
    def _batch_size(self) -> int:
        network = self._network
        size = network.eval_batch_size
        if network.mesh.devices.flat[0].platform == "cpu":
            size = min(size, _LARGEST_BATCH_ON_CPU * network.mesh.size)
        return size


def _done(partial: Path, progress: Path, shape: tuple[int, ...]) -> int:
    """How many works an interrupted call has written already."""
    if not (partial.is_file() and progress.is_file()):
        return 0
    try:
        there = np.load(partial, mmap_mode="r")
        return int(json.loads(progress.read_text())["done"]) if there.shape == shape else 0
    except (ValueError, KeyError, OSError):
        return 0


def features_of(
    network: Network, variables: Mapping[str, Any], data: Canvases, root: Path
) -> Features | None:
    """The features of a network with `features.views`; None if it has none.

    The arguments are those of `Features`.
    """
    return Features(network, variables, data, root) if network.config.features.views else None
