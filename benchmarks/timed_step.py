"""The compiled training step, timed on one batch of random canvases that is on the devices already."""

from __future__ import annotations

import time

import jax
import numpy as np
from ml_collections import ConfigDict

from artjax.config import canvas_size, default_config
from artjax.runtime.mesh import check_batch_size, create_mesh
from artjax.training.checks import check_config
from artjax.training.experiment import Experiment
from artjax.training.memory import needed_bytes

CLASSES = 20


def config_of(model: str, image_size: int, batch_size: int) -> ConfigDict:
    """The default configuration but for these."""
    config = default_config()
    config.model.name, config.image_size, config.batch_size = model, image_size, batch_size
    return config


class TimedStep:
    """The training step of a configuration, on the same batch again and again.

    Attributes:
      needed_bytes: what it takes on each device, by the compiler's analysis; None if there is none.
      seconds: that each step took so far.
      cpu_seconds: of all threads of this process in each step; other programs disturb it least.
    """

    def __init__(self, config: ConfigDict, devices: list[jax.Device] | None = None) -> None:
        """Compiles the step for the devices (default: all), and does it once.

        Raises:
          ConfigError: if the configuration cannot be meant.
          JaxRuntimeError: if the devices have not enough memory.
        """
        check_config(config)
        mesh = create_mesh(devices=devices)
        check_batch_size(config.batch_size, mesh)
        experiment = Experiment(config, {"artist": CLASSES}, 10_000, mesh)
        rng = np.random.default_rng(0)
        side, works = canvas_size(config), config.batch_size
        batch = {
            "image": rng.integers(0, 256, (works, side, side, 3), np.uint8),
            "aspect": rng.uniform(0.6, 1.6, works).astype(np.float32),
            "label/artist": rng.integers(0, CLASSES, works).astype(np.int32),
            "mask": np.ones(works, bool),
        }
        self._step = experiment.compile_train_step()
        self.needed_bytes = needed_bytes(self._step)
        self._batch = jax.device_put(batch, experiment.batch_sharding)
        self._state = experiment.initial_state()
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
