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
from artjax.train import Setup


class Works:
    """Some works of the training split.

    With a frozen trunk they are its outputs, computed once; a step then computes the rest.
    """

    def __init__(self, setup: Setup, indices: np.ndarray) -> None:
        """Chooses works; nothing is read yet.

        Args:
          setup: its experiment has its frozen variables.
          indices: int [N].
        """
        self._setup = setup
        self._experiment = setup.experiment
        self._train = setup.splits["train"]
        self._size = setup.experiment.config.batch_size
        self.indices = indices

    def crops(self) -> np.ndarray:
        """What evaluation sees, uint8 [N, H, W, 3]."""
        experiment = self._experiment
        preprocessing, size = experiment.preprocessing, experiment.config.image_size
        crop = _cropper(size, preprocessing.crop_share, preprocessing.interpolation)
        crops = []
        for rows in self._chunks():
            works = self._train.gather(rows)
            crops.append(np.asarray(crop(works["image"], works["aspect"])))
        return np.concatenate(crops)[: len(self.indices)]

    def batch(self, labels: Mapping[str, np.ndarray] | None = None) -> dict[str, jax.Array]:
        """The works as one batch of the training step; there are as many as fit in one.

        Args:
          labels: of each task, int [N]; default: the true ones.
        """
        return self.batch_of(self.inputs(), np.arange(len(self.indices)), labels)

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
          labels: as for `batch`.
        """
        if labels is None:
            labels = {task: of[self.indices] for task, of in self._train.labels.items()}
        arrays = {
            "image": inputs[rows],
            **{f"label/{task}": of[rows].astype(np.int32) for task, of in labels.items()},
            "mask": np.ones(len(rows), bool),
        }
        sharding = self._experiment.batch_sharding
        return batches.put_rows(
            lambda own: {name: array[own] for name, array in arrays.items()}, len(rows), sharding
        )

    def inputs(self) -> np.ndarray:
        """What a step takes: crops, or the outputs of the frozen trunk, float16 [N, …]."""
        experiment = self._experiment
        if not experiment.boundary:
            return self.crops()
        variables = experiment.frozen
        outputs = [
            np.asarray(experiment.feature_step(variables, self._put(rows), None))
            for rows in self._chunks()
        ]
        return np.concatenate(outputs)[: len(self.indices)]

    def logits(self, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The logits of each task as in evaluation, float32 [N, classes]."""
        parts = [self._experiment.logits(variables, self._put(rows)) for rows in self._chunks()]
        return {
            task: np.concatenate([np.asarray(part[task]) for part in parts])[: len(self.indices)]
            for task in parts[0]
        }

    def _put(self, rows: np.ndarray) -> dict[str, jax.Array]:
        return batches.put(self._train, rows, self._experiment.batch_sharding)

    def _chunks(self) -> list[np.ndarray]:
        """The indices in batches of one size; the last work is repeated to fill the last one."""
        missing = -len(self.indices) % self._size
        return np.split(
            np.pad(self.indices, (0, missing), mode="edge"),
            (len(self.indices) + missing) // self._size,
        )


@cache
def _cropper(size: int, crop_share: float, interpolation: str) -> Any:
    @jax.jit
    def crop(images: jax.Array, aspect: jax.Array) -> jax.Array:
        crops = central_crop(images, aspect, size, crop_share, interpolation)
        return jnp.clip(jnp.round(crops), 0, 255).astype(jnp.uint8)

    return crop
