"""The compiled training step, timed on one batch of random canvases that is already on the devices."""

from __future__ import annotations

import time
from typing import Any

import common
import jax
import numpy as np

from artjax.config import canvas_size
from artjax.runtime.mesh import check_batch_size, create_mesh
from artjax.runtime.resources import format_bytes
from artjax.training import memory
from artjax.training.training import Training, create_training

CLASSES = 20


def config_of(model: str, image_size: int, batch_size: int, **changes: Any) -> Any:
    """The default configuration with these sizes and, as for `common.create_config`, other changes."""
    return common.create_config(
        model__name=model, image_size=image_size, batch_size=batch_size, **changes
    )


def compile_step(training: Training) -> jax.stages.Compiled:
    """The compiled step of a training.

    Raises:
      CannotRunError: if it needs more memory than is free.
    """
    compiled = training.compile_train_step()
    needed, free = memory.needed_bytes(compiled), memory.free_bytes(training.network.mesh)
    if needed and free and needed > free:
        config = training.config
        raise common.CannotRunError(
            f"not enough memory: {config.model.name} at {config.image_size} px with batches of "
            f"{config.batch_size} needs {format_bytes(needed)} on each device, "
            f"{format_bytes(free)} are free; give a smaller batch or picture size"
        )
    return compiled


class TimedStep:
    """The training step of a configuration, on the same batch again and again.

    Attributes:
      needed_bytes: memory that the step needs on each device, by the compiler's analysis, or None.
      seconds: wall time of each step so far.
      cpu_seconds: CPU time of all threads of this process in each step. Other programs disturb it least.
    """

    def __init__(self, config: Any, devices: list[jax.Device] | None = None) -> None:
        """Compiles the step for the devices (default: all), and does it once.

        Raises:
          ConfigError: if the batch does not divide among the devices.
          CannotRunError: if the devices have too little memory, as far as that is known.
          JaxRuntimeError: if they run out of memory all the same.
        """
        mesh = create_mesh(devices=devices)
        check_batch_size(config.batch_size, mesh)
        training = create_training(config, {"artist": CLASSES}, 10_000, mesh)
        rng = np.random.default_rng(0)
        side, works = canvas_size(config), config.batch_size
        batch = {
            "image": rng.integers(0, 256, (works, side, side, 3), np.uint8),
            "aspect": rng.uniform(0.6, 1.6, works).astype(np.float32),
            "label/artist": rng.integers(0, CLASSES, works).astype(np.int32),
            "mask": np.ones(works, bool),
        }
        self._step = compile_step(training)
        self.needed_bytes = memory.needed_bytes(self._step)
        self._batch = jax.device_put(batch, training.network.batch_sharding)
        self._state = training.initial_state()
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.step()
        self.seconds.clear()
        self.cpu_seconds.clear()

    def step(self) -> None:
        """Times one more step."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - cpu_start)
