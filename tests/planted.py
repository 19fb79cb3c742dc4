"""Pictures whose class is told by one small patch, and a run that has learnt to see it."""

from pathlib import Path

import jax
import numpy as np
from tiny import tiny_config

from artjax.runs import Run
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training

SIDE = 40  # of a canvas
PATCH = 10
COLOURS = np.asarray([(230, 40, 40), (40, 40, 230)])


def planted(count, rng):
    """Canvases uint8 [N, SIDE, SIDE, 3], classes [N], and row and column of a patch's corner, [N, 2]."""
    images = rng.integers(90, 160, (count, SIDE, SIDE, 3)).astype(np.uint8)
    classes = rng.integers(0, len(COLOURS), count)
    corners = rng.integers(2, SIDE - PATCH - 2, (count, 2))
    for image, of, (top, left) in zip(images, classes, corners, strict=True):
        image[top : top + PATCH, left : left + PATCH] = COLOURS[of]
    return images, classes.astype(np.int32), corners


def run_on(devices=1, steps=0, **changes):
    """A run of such pictures; of `steps` steps of training."""
    config = tiny_config(**{"model__name": "narrow_bn", "steps": max(1, steps), **changes})
    mesh = create_mesh(devices=jax.devices()[:devices])
    training = create_training(config, {"patch": len(COLOURS)}, 1000, mesh)
    state, rng = training.initial_state(), np.random.default_rng(0)
    for _ in range(steps):
        images, classes, _ = planted(config.batch_size, rng)
        batch = {"image": images, "label/patch": classes}
        batch |= {"aspect": np.ones(len(images), np.float32), "mask": np.ones(len(images), bool)}
        state, _ = training.train_step(state, batch)
    return Run(Path(), training.network, state.variables, steps, record=None)
