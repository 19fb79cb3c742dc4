"""Translates names and layouts of PyTorch's arrays to Flax. The families' `translate` share this."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from artjax.models.preprocessing import Preprocessing
from artjax.models.presets import PRESETS

IMAGENET = Preprocessing(**PRESETS["imagenet"])
"""RGB by the statistics of ImageNet."""
TORCHVISION = replace(IMAGENET, crop_share=224 / 256)
"""The input that most weights of torchvision expect: they were evaluated on 224 px cut out of 256."""
CAFFE = Preprocessing(**PRESETS["caffe"], crop_share=224 / 256)
"""The input of Caffe's SqueezeNet. It saw 227 px cut out of 256: the same scale as 224 out of 256."""

Layout = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TorchNames:
    """How torchvision calls the layers of a network: the way out, as `Family.translate` is the way in.

    Attributes:
      layers: name of a layer there → its path here.
      classifier: name of the linear layer there that is the head of a single task; empty if its own
        classifier is something else.
      vectors: name of a whole array there → its path here, and its shape there.
      layouts: path of a layer here → what makes its kernel there, if not a transposition.
      with_bias: layers there with a bias that those here lack, such as convolutions before BatchNorm.
    """

    layers: Mapping[str, str]
    classifier: str = ""
    vectors: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    with_bias: Collection[str] = ()


_KERAS_ORDER = {"0": "kernel", "1": "bias"}
_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_LEAVES_THERE = {"kernel": "weight", "scale": "weight", "bias": "bias"} | {
    here: there for there, here in _STATISTICS.items()
}
_BOOKKEEPING = "num_batches_tracked"


def knows(names: Collection[str], layers: Collection[str]) -> bool:
    """Whether a file holds the kernels of at least half of these layers, so that it has their names."""
    found = sum(f"{layer}.weight" in names for layer in layers)
    return 2 * found >= len(layers)


def alone(layers: Mapping[str, str], part: str = "features") -> dict[str, str]:
    """The layers of one part of a network, where it was saved by itself: `features.0` → `0`.

    fastai cuts torchvision's networks so, too.
    """
    start = f"{part}."
    return {
        there.removeprefix(start): here for there, here in layers.items() if there.startswith(start)
    }


def from_torch(
    arrays: Mapping[str, np.ndarray],
    layers: Mapping[str, str],
    *,
    unused: Collection[str] = (),
    vectors: Mapping[str, str] | None = None,
    layouts: Mapping[str, Layout] | None = None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Renames and transposes the arrays of a PyTorch network.

    Args:
      arrays: of a `state_dict`, by name, such as `layer1.0.conv1.weight` [64, 64, 1, 1].
      layers: name of a layer there → its path here.
      unused: layers there that belong to no part of the trunk, with all within them.
      vectors: name of a whole array there → its path here. The array is flattened.
      layouts: path of a layer here → what makes its kernel of the array there, if not a transposition.

    Returns:
      The variables, as in `registry.Translated`, and the names that are not used. An array that no rule
      mentions keeps its own name among the variables, so that a comparison shows it.
    """
    variables: dict[str, np.ndarray] = {}
    left = []
    for name, array in arrays.items():
        layer, _, leaf = name.rpartition(".")
        if _is_part_of(layer, unused) or (leaf == _BOOKKEEPING and layer in layers):
            left.append(name)
        elif vectors and name in vectors:
            variables[f"params/{vectors[name]}"] = array.reshape(-1)
        elif layer in layers and leaf in _STATISTICS:
            variables[f"batch_stats/{layers[layer]}/{_STATISTICS[leaf]}"] = array
        elif layer in layers and leaf == "bias":
            variables[f"params/{layers[layer]}/bias"] = array
        elif layer in layers and leaf == "weight":
            path = layers[layer]
            kind = "scale" if array.ndim == 1 else "kernel"
            layout = (layouts or {}).get(path, _layout)
            variables[f"params/{path}/{kind}"] = layout(array)
        else:
            variables[name] = array
    return variables, tuple(left)


def from_keras(
    arrays: Mapping[str, np.ndarray],
    layers: Mapping[str, str],
    *,
    unused: Collection[str] = (),
    optional: Mapping[str, str] | None = None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]] | None:
    """Renames the arrays of a Keras network of convolutions and dense layers; their layouts are Flax's.

    Args:
      arrays: by layer and number in it, such as `block1_conv1/0` (kernel) and `/1` (bias).
      layers: name of a layer there → its path here.
      unused: layers there that belong to no part of the trunk.
      optional: as `layers`, of what a file may lack.

    Returns:
      As `from_torch`; None if the file has less than half of the layers.
    """
    present = {array.rpartition("/")[0] for array in arrays}
    if 2 * len(present & set(layers)) < len(layers):
        return None
    paths = {**layers, **(optional or {})}
    variables: dict[str, np.ndarray] = {}
    left = []
    for array, value in arrays.items():
        layer, _, leaf = array.rpartition("/")
        if layer in unused:
            left.append(array)
        elif layer in paths and leaf in _KERAS_ORDER:
            variables[f"params/{paths[layer]}/{_KERAS_ORDER[leaf]}"] = value
        else:
            variables[array] = value
    return variables, tuple(left)


def to_torch(
    variables: Mapping[str, np.ndarray], names: TorchNames
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The inverse of `from_torch`.

    Args:
      variables: path here → array, such as `params/conv1_1/kernel` [3, 3, 3, 64].
      names: how the layers are called there.

    Returns:
      The arrays in the names and layouts there, contiguous; and the variables that have no place there.
    """
    layer_there = {here: there for there, here in names.layers.items()}
    vector_there = {here: (there, shape) for there, (here, shape) in names.vectors.items()}
    arrays: dict[str, np.ndarray] = {}
    left: dict[str, np.ndarray] = {}
    for path, array in variables.items():
        layer, _, leaf = path.partition("/")[2].rpartition("/")
        vector = vector_there.get(path.partition("/")[2])
        if vector:
            arrays[vector[0]] = array.reshape(vector[1])
        elif layer in layer_there and leaf in _LEAVES_THERE:
            layout = names.layouts.get(layer, _layout_there) if leaf == "kernel" else np.asarray
            name = f"{layer_there[layer]}.{_LEAVES_THERE[leaf]}"
            arrays[name] = np.ascontiguousarray(layout(array))
        else:
            left[path] = array
    for there in names.with_bias:
        kernel = arrays.get(f"{there}.weight")
        if kernel is not None:
            arrays[f"{there}.bias"] = np.zeros(kernel.shape[0], kernel.dtype)
    return arrays, left


def _is_part_of(layer: str, owners: Collection[str]) -> bool:
    """Whether a layer is one of `owners`, or within one: many put a `Sequential` in a head's place."""
    return any(f"{layer}.".startswith(f"{owner}.") for owner in owners)


def _layout(array: np.ndarray) -> np.ndarray:
    """[out, in, h, w] → [h, w, in, out]; [out, in] → [in, out]; [C] → [C]."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _layout_there(array: np.ndarray) -> np.ndarray:
    """The inverse of `_layout`."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
