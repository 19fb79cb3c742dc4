"""Heat maps: what a run looks at, in the pixels that its evaluation sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from artjax.data import batches
from artjax.errors import ConfigError
from artjax.explain.grad_cam import grad_cam
from artjax.explain.integrated_gradients import STEPS, Attributions, integrated_gradients
from artjax.explain.rollout import attention_rollout
from artjax.models.staged import StagedNetwork
from artjax.models.vit import ViT
from artjax.runs import Run
from artjax.runtime import mesh
from artjax.training.forward import evaluated
from artjax.training.network import Network

_AT_ONCE = 16  # pictures; a gradient of so many at 224 px takes less memory than a training step
_HIGHEST = 99.0  # per cent: Smilkov et al. (2017), section 3.1, cut what is above

_BLUR = 1 / 64  # deviation of the blur of attributions, as a share of the side

_PIXELS = "pixels"


class HeatMaps(NamedTuple):
    """Heat maps of N pictures.

    Attributes:
      maps: of the square that the network sees, float32 [N, h, w] in [0, 1], row by row from the top.
        The highest value of a map is 1, unless nothing speaks for its class: then all are 0.
      layer: the stage that they are of; `pixels`, or `attention` of all blocks.
      method: a key of `METHODS`.
      classes: that they explain, int32 [N]; -1 where the map is that of no class.
      share: side of the square as a share of the largest central square of a picture, in (0, 1].
    """

    maps: np.ndarray
    layer: str
    method: str
    classes: np.ndarray
    share: float = 1.0


def heat_maps(
    run: Run,
    images: np.ndarray,
    classes: np.ndarray | None = None,
    method: str = "gradcam",
    *,
    aspect: np.ndarray | None = None,
    task: str = "",
    layer: str = "",
    copies: int = 0,
) -> HeatMaps:
    """Shows what a run looks at.

    The pixels are those of its evaluation with one view: the same crop, resampling and normalisation. A
    program is compiled once for each method, network and number of pictures (powers of two up to 16).

    Args:
      run: the run.
      images: canvases as in its collection, uint8 [N, S, S, 3], N ≥ 1: whole pictures, squashed.
      classes: of each picture the class to explain, int [N]; -1, and by default, the most probable.
      method: `gradcam`, `integrated_gradients` or `rollout` (of vision transformers only; it looks at no
        class).
      aspect: true width / height of each picture, float [N]; default: all are squares.
      task: whose classes they are; default: the first task of the run.
      layer: of Grad-CAM, a stage with places; default: the last one whose places all count.
      copies: of SmoothGrad, with Integrated Gradients; 0 for none.

    Raises:
      ConfigError: for an unknown method, task or layer; for rollout in a network without attention; for
        copies with another method.
    """
    network = run.network
    task = task or next(iter(network.classes))
    if task not in network.classes:
        raise ConfigError(f"task {task}: this run has {', '.join(network.classes)}")
    check_method(network, method)
    if copies and method != "integrated_gradients":
        raise ConfigError(f"SmoothGrad is for integrated_gradients, and the method is {method}")
    given = _layer_of(network, method, layer)
    found = _computed(_program(network, method, task, given, copies), run, images, aspect, classes)
    if isinstance(found, Attributions):
        # What speaks for the class; what speaks against it would look the same in one colour. Single
        # pixels are noise, and too small for the eye: `attributions` has them.
        speaking = np.maximum(found.values.sum(axis=-1), 0)
        sigma = _BLUR * speaking.shape[1]
        found = gaussian_filter(speaking, sigma, axes=(1, 2)), found.classes
    maps, chosen = found
    quantile = _HIGHEST if method == "integrated_gradients" else 100.0
    return HeatMaps(_scaled(maps, quantile), given, method, chosen, run.preprocessing.crop_share)


def attributions(
    run: Run,
    images: np.ndarray,
    classes: np.ndarray | None = None,
    *,
    aspect: np.ndarray | None = None,
    task: str = "",
    copies: int = 0,
) -> Attributions:
    """Integrated Gradients as numbers, with their sign; the arguments are those of `heat_maps`.

    Returns:
      NumPy arrays.
    """
    task = task or next(iter(run.network.classes))
    program = _program(run.network, "integrated_gradients", task, _PIXELS, copies)
    found = _computed(program, run, images, aspect, classes)
    assert isinstance(found, Attributions)
    return found


def check_method(network: Network, method: str) -> None:
    """Raises `ConfigError` for an unknown method, or one that the network has not the parts for."""
    if method not in METHODS:
        raise ConfigError(f"method {method}: valid are {', '.join(METHODS)}")
    if method not in methods_of(network):
        raise ConfigError(
            f"rollout follows attention, and {network.config.model.name} has none; take gradcam or "
            "integrated_gradients"
        )


def methods_of(network: Network) -> list[str]:
    """The methods that a network has the parts for."""
    return [name for name in METHODS if name != "rollout" or isinstance(network.model, ViT)]


def _grad_cam(model: StagedNetwork, task: str, layer: str, copies: int) -> Callable[..., Any]:
    return partial(grad_cam, model, task=task, layer=layer)


def _integrated(model: StagedNetwork, task: str, layer: str, copies: int) -> Callable[..., Any]:
    return partial(integrated_gradients, model, task=task, steps=STEPS, copies=copies)


def _rollout(model: StagedNetwork, task: str, layer: str, copies: int) -> Callable[..., Any]:
    def program(variables: Any, inputs: jax.Array, classes: jax.Array) -> Any:
        assert isinstance(model, ViT)  # by `check_method`
        return attention_rollout(model, variables, inputs), jnp.full_like(classes, -1)

    return program


METHODS: Mapping[str, Callable[..., Callable[..., Any]]] = {
    "gradcam": _grad_cam,
    "integrated_gradients": _integrated,
    "rollout": _rollout,
}
"""By name, what builds the program (variables, inputs, classes) → maps, not scaled, and classes."""


def _layer_of(network: Network, method: str, layer: str) -> str:
    if method != "gradcam":
        if layer:
            raise ConfigError(f"a layer is for gradcam, and the method is {method}")
        return _PIXELS if method == "integrated_gradients" else "attention"
    model: Any = network.model
    if not layer:
        return str(model.last_place())
    with_places = network.stages[: network.stages.index(model.last_place()) + 1]
    if layer not in with_places:
        raise ConfigError(
            f"layer {layer}: the layers of {network.config.model.name} with places in the picture are "
            f"{', '.join(with_places)}"
        )
    return layer


@lru_cache(maxsize=16)  # whoever serves pictures compiles once
def _program(
    network: Network, method: str, task: str, layer: str, copies: int
) -> Callable[..., Any]:
    model: Any = network.model
    explain = METHODS[method](model, task, layer, copies)
    size, preprocessing = network.config.image_size, network.preprocessing

    def program(variables: Any, images: jax.Array, aspect: jax.Array, classes: jax.Array) -> Any:
        seen = evaluated(images, aspect, size, preprocessing)
        return explain(variables, preprocessing.normalise(seen), classes)

    return jax.jit(program, out_shardings=mesh.replicated(network.mesh))


def _computed(
    program: Callable[..., Any],
    run: Run,
    images: np.ndarray,
    aspect: np.ndarray | None,
    classes: np.ndarray | None,
) -> Any:
    """What a program says of all pictures, as NumPy arrays, some pictures at a time."""
    count, devices = len(images), run.network.mesh.size
    aspect = np.ones(count) if aspect is None else aspect
    classes = np.full(count, -1) if classes is None else classes
    # Few shapes are compiled: powers of two, in equal shares for the devices.
    at_once = -(-min(_AT_ONCE, 1 << (count - 1).bit_length()) // devices) * devices
    parts = []
    for start in range(0, count, at_once):
        rows = np.minimum(np.arange(start, start + at_once), count - 1)  # the last is padding
        batch = {
            "image": images[rows],
            "aspect": np.asarray(aspect, np.float32)[rows],
            "classes": np.asarray(classes, np.int32)[rows],
        }
        put = batches.put_rows(partial(_part, batch), at_once, run.network.batch_sharding)
        found = program(run.variables, put["image"], put["aspect"], put["classes"])
        parts.append(jax.tree.map(np.asarray, found))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:count], *parts)


def _part(batch: Mapping[str, np.ndarray], rows: slice) -> Mapping[str, np.ndarray]:
    return {name: array[rows] for name, array in batch.items()}


def _scaled(maps: np.ndarray, percent: float) -> np.ndarray:
    """Maps in [0, 1]: divided by a percentile of each, above which they are cut."""
    highest = np.percentile(maps, percent, axis=(1, 2), keepdims=True)
    # Where fewer pixels are above 0, that is 0; the maximum is not.
    highest = np.where(highest > 0, highest, maps.max(axis=(1, 2), keepdims=True))
    scaled: np.ndarray = np.clip(maps / np.where(highest > 0, highest, 1), 0, 1)
    return scaled.astype(np.float32)
