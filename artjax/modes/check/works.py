"""Works of the training split as a network sees them without augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from artjax.augment import central_crop
from artjax.data import batches
from artjax.setup import Setup


class Works:
    """Some works of the training split.

    With a frozen trunk they are its outputs, computed once; a step then computes the rest.
    """

    def __init__(self, setup: Setup, indices: np.ndarray) -> None:
        """Chooses works; nothing is read yet.

        Args:
          setup: has the network and the split.
          indices: int [N].
        """
        self._network = setup.network
        self._train = setup.splits["train"]
        self.indices = indices

    def crops(self) -> np.ndarray:
        """What evaluation sees, uint8 [N, H, W, 3]."""
        network = self._network
        preprocessing, size = network.preprocessing, network.config.image_size
        crop = _cropper(size, preprocessing.crop_share, preprocessing.interpolation)
        crops = []
        for rows in self._chunks():
            works = self._train.gather(rows)
            crops.append(np.asarray(crop(works["image"], works["aspect"])))
        return np.concatenate(crops)[: len(self.indices)]

    def batch_of(
        self,
        inputs: np.ndarray,
        rows: np.ndarray,
        labels: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, jax.Array]:
        """Some of the works as a batch.

        Args:
          inputs: from `inputs`.
          rows: which of them, int [B].
          labels: of each task, int [N]; default: the true ones.
        """
        if labels is None:
            labels = {task: of[self.indices] for task, of in self._train.labels.items()}
        arrays = {
            "image": inputs[rows],
            **{f"label/{task}": of[rows].astype(np.int32) for task, of in labels.items()},
            "mask": np.ones(len(rows), bool),
        }
        return batches.put_rows(
            lambda own: {name: array[own] for name, array in arrays.items()},
            len(rows),
            self._network.batch_sharding,
        )

    def inputs(self, frozen: Mapping[str, Any]) -> np.ndarray:
        """What a step takes: crops, or the outputs of the frozen trunk, float16 [N, …].

        Args:
          frozen: the frozen variables, on the devices.
        """
        network = self._network
        if not network.boundary:
            return self.crops()
        outputs = [
            np.asarray(network.feature_step(frozen, self._put(rows), None))
            for rows in self._chunks()
        ]
        return np.concatenate(outputs)[: len(self.indices)]

    def _put(self, rows: np.ndarray) -> dict[str, jax.Array]:
        return batches.put(self._train, rows, self._network.batch_sharding)

    def _chunks(self) -> list[np.ndarray]:
        """The indices in batches of one size; the last work is repeated to fill the last one."""
        size = self._network.config.batch_size
        missing = -len(self.indices) % size
        return np.split(
            np.pad(self.indices, (0, missing), mode="edge"), (len(self.indices) + missing) // size
        )


@cache
def _cropper(size: int, crop_share: float, interpolation: str) -> Any:
    @jax.jit
    def crop(images: jax.Array, aspect: jax.Array) -> jax.Array:
        crops = central_crop(images, aspect, size, crop_share, interpolation)
        return jnp.clip(jnp.round(crops), 0, 255).astype(jnp.uint8)

    return crop
