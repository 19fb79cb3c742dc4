"""Pictures of classes: what the network would most like to see of each, found by climbing its logit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from artjax.data import batches
from artjax.runs import Run
from artjax.runtime import mesh
from artjax.training.forward import evaluated
from artjax.training.network import Network

AT_ONCE = 8
"""Classes of one call of the program."""
STEPS = 192

_JITTER = 1 / 8  # of the side: how far a picture is shifted at most before each step
_RATES = 0.05, 0.01  # of the first and the last step, on the scale [0, 1]
_BLUR = 0.3, 0.02  # share of the blurred picture after the first and the last step
_VARIATION = 0.03  # weight of the total variation
_START_CONTRAST = 0.1


class ClassPictures(NamedTuple):
    """Pictures of K classes.

    Attributes:
      images: uint8 [K, S, S, 3].
      probabilities: of its own class for each picture, by the network, float32 [K].
    """

    images: np.ndarray
    probabilities: np.ndarray


def class_pictures(
    run: Run,
    classes: Sequence[int],
    *,
    task: str = "",
    start: tuple[np.ndarray, float] | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> ClassPictures:
    """Draws pictures that the network takes for a class, by gradient ascent.

    What is climbed is the logit of the class (Simonyan et al., Deep Inside Convolutional Networks
    (2014), section 2) less the mean of all logits, which a softmax leaves open. Without a prior such
    pictures are noise. The priors are: a random shift before each step (Mordvintsev et al.,
    Inceptionism (2015)); a blur after it, which becomes weaker (Yosinski et al., Understanding Neural
    Networks Through Deep Visualization (2015), section 3); and a penalty on the total variation
    (Mahendran & Vedaldi, Understanding Deep Image Representations by Inverting Them (2015), section 3).

    A picture depends on the seed and its class, not on the other classes.

    Args:
      run: the run.
      classes: numbers of the classes, at least one.
      task: whose classes they are; default: the first task of the run.
      start: a canvas uint8 [S, S, 3] and its true width / height, from which all begin; default: noise.
      seed: of noise and shifts.
      steps: of the ascent, 1 or more.
    """
    network = run.network
    task = task or next(iter(network.classes))
    program = _program(network, task, start is not None, steps)
    devices = network.mesh.size
    count = -(-AT_ONCE // devices) * devices
    canvas, aspect = start or (np.zeros((1, 1, 3), np.uint8), 1.0)
    images, probabilities = [], []
    for first in range(0, len(classes), count):
        own = np.asarray(classes[first : first + count], np.int32)
        batch = {
            "classes": np.resize(own, count),  # repeated as padding
            "image": np.repeat(canvas[None], count, axis=0),
            "aspect": np.full(count, aspect, np.float32),
        }
        put = batches.put_rows(partial(_rows, batch), count, network.batch_sharding)
        found = program(
            run.variables, put["image"], put["aspect"], put["classes"], jnp.uint32(seed)
        )
        images.append(np.asarray(found[0])[: len(own)])
        probabilities.append(np.asarray(found[1])[: len(own)])
    return ClassPictures(np.concatenate(images), np.concatenate(probabilities))


def _rows(batch: dict[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    return {name: array[rows] for name, array in batch.items()}


@lru_cache(maxsize=4)
def _program(network: Network, task: str, from_picture: bool, steps: int) -> Callable[..., Any]:
    model, preprocessing = network.model, network.preprocessing
    size = network.config.image_size
    reach = max(1, round(_JITTER * size))

    def logits_of(variables: Any, pixels: jax.Array) -> jax.Array:
        """Of pictures on the scale [0, 1]."""
        found: Any = model.apply(variables, preprocessing.normalise(255 * pixels))
        return found[task]

    def program(
        variables: Any, canvases: jax.Array, aspect: jax.Array, classes: jax.Array, seed: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        keys = jax.vmap(lambda of: jax.random.fold_in(jax.random.key(seed), of))(classes)
        picked = jax.nn.one_hot(classes, network.classes[task], dtype=jnp.float32)
        picked = picked - picked.mean(axis=1, keepdims=True)

        def height(pixels: jax.Array) -> jax.Array:
            climbed = (logits_of(variables, pixels) * picked).sum()
            return climbed - _VARIATION * _total_variation(pixels).sum()

        def step(number: jax.Array, pixels: jax.Array) -> jax.Array:
            done = number / steps
            shift_keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
            shifts = jax.vmap(lambda key: jax.random.randint(key, (2,), -reach, reach + 1))(
                shift_keys
            )
            shifted = jax.vmap(partial(jnp.roll, axis=(0, 1)))(pixels, shifts)
            gradient = jax.grad(height)(shifted)
            # All pictures climb equally fast, however steep their logits are.
            length = jnp.sqrt((gradient**2).mean(axis=(1, 2, 3), keepdims=True))
            shifted = shifted + _between(_RATES, done) * gradient / (length + 1e-12)
            back = jax.vmap(partial(jnp.roll, axis=(0, 1)))(shifted, -shifts)
            share = _between(_BLUR, done)
            return jnp.clip((1 - share) * back + share * _blurred(back), 0, 1)

        if from_picture:
            begin = evaluated(canvases, aspect, size, preprocessing) / 255
        else:
            noise = jax.vmap(lambda key: jax.random.normal(key, (size, size, 3)))(keys)
            begin = jnp.clip(0.5 + _START_CONTRAST * _blurred(noise), 0, 1)
        pixels = jnp.round(255 * jax.lax.fori_loop(0, steps, step, begin))
        probabilities = jax.nn.softmax(logits_of(variables, pixels / 255))
        own = jnp.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
        return pixels.astype(jnp.uint8), own

    return jax.jit(program, out_shardings=mesh.replicated(network.mesh))


def _between(ends: tuple[float, float], share: jax.Array) -> jax.Array:
    """From the first to the last of two numbers, by equal factors."""
    first, last = ends
    return first * (last / first) ** share


def _total_variation(pixels: jax.Array) -> jax.Array:
    """Squared differences of neighbours, summed over each picture, mean over the channels, [B]."""
    down, across = jnp.diff(pixels, axis=1), jnp.diff(pixels, axis=2)
    return (down**2).sum(axis=(1, 2, 3)) / 3 + (across**2).sum(axis=(1, 2, 3)) / 3


def _blurred(pixels: jax.Array) -> jax.Array:
    """Each pixel with its neighbours, (1, 2, 1) / 4 in both directions; edges are repeated."""
    for axis in (1, 2):
        around = [(0, 0)] * 4
        around[axis] = (1, 1)
        wide = jnp.pad(pixels, around, mode="edge")
        count = pixels.shape[axis]
        before, here, after = (
            jax.lax.slice_in_dim(wide, begin, begin + count, axis=axis) for begin in (0, 1, 2)
        )
        pixels = (before + 2 * here + after) / 4
    return pixels
