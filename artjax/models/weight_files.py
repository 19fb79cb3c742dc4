"""The arrays in files of weights: safetensors, HDF5 of Keras, and PyTorch's own."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from artjax.errors import WeightsError

Arrays = dict[str, np.ndarray]

# What training scripts put around a network, or around its state_dict.
_CONTAINERS = ("state_dict", "model_state_dict", "model")
_PARALLEL = "module."

_AS_SAFETENSORS = (
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'NAME.safetensors')"
)


def read_safetensors(source: str, file: Path) -> Arrays:
    """Reads the arrays of a `.safetensors` file. `source` is what error messages call it.

    Raises:
      WeightsError: if it is not such a file, or incomplete.
    """
    try:
        # bfloat16 is a type of ml_dtypes, which jax brings.
        return safetensors.numpy.load_file(file)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{source}: not a safetensors file, or incomplete: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None


def read_keras(source: str, file: Path) -> Arrays:
    """Reads the arrays of an HDF5 file that Keras 2 or 3 wrote: weights, or a whole model.

    Returns:
      Layer and number of the array in it, such as `block1_conv1/0` → array.

    Raises:
      WeightsError: if h5py is missing, or it is not such a file, or incomplete.
    """
    try:
        import h5py  # only here: most machines never read such a file
    except ImportError:
        raise WeightsError(f"{source}: files of Keras need h5py: pip install h5py") from None

    try:
        with h5py.File(file) as root:
            arrays = dict(_legacy_arrays(root.get("model_weights", root)) or _keras3_arrays(root))
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{source}: not an HDF5 file, or incomplete: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None
    if not arrays:
        raise WeightsError(f"{source}: no weights of Keras in this HDF5 file")
    return arrays


def _legacy_arrays(root: Mapping[str, Any]) -> list[tuple[str, np.ndarray]]:
    """Of a group for each layer, whose attribute `weight_names` lists its arrays in order."""
    return [
        (f"{_text(layer)}/{i}", np.asarray(root[_text(layer)][_text(weight)]))
        for layer in root.attrs.get("layer_names", ())  # type: ignore[attr-defined]
        for i, weight in enumerate(root[_text(layer)].attrs["weight_names"])
    ]


def _keras3_arrays(root: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Of `layers/conv2d_1/vars/0`, where the attribute `name` of `vars` is the name of the layer."""
    for group, layer in root.get("layers", {}).items():
        variables = layer.get("vars", {})
        name = _text(variables.attrs.get("name", group)) if len(variables) else group
        for i in variables:
            yield f"{name}/{i}", np.asarray(variables[i])


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def read_torch(source: str, file: Path) -> Arrays:
    """Reads the arrays of a file that `torch.save` wrote. Only arrays are unpickled, no code.

    Raises:
      WeightsError: if PyTorch is missing, the file holds other objects, or it is damaged.
    """
    try:
        import torch
    except ImportError:
        raise WeightsError(
            f"{source}: reading it needs PyTorch; where that is installed, make a safetensors file of "
            f"it: {_AS_SAFETENSORS}"
        ) from None

    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that it then refuses
            held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{source}: holds more than arrays, and unpickling that could run any code; or it is "
            "damaged\nSave the network's state_dict() alone, best as safetensors"
        ) from None
    except Exception as error:  # a damaged file causes one of many kinds, struct.error among them
        raise WeightsError(
            f"{source}: not a file of PyTorch, or incomplete: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None
    for container in _CONTAINERS:
        if isinstance(held, dict) and isinstance(held.get(container), dict):
            held = held[container]
    if not isinstance(held, dict) or not any(isinstance(v, torch.Tensor) for v in held.values()):
        raise WeightsError(f"{source}: holds no state_dict of a network")
    arrays = {
        str(name): (value.float() if value.is_floating_point() else value).detach().numpy()
        for name, value in held.items()
        if isinstance(value, torch.Tensor)
    }
    if all(name.startswith(_PARALLEL) for name in arrays):
        arrays = {name.removeprefix(_PARALLEL): array for name, array in arrays.items()}
    return arrays


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


READERS: Mapping[str, Callable[[str, Path], Arrays]] = {
    ".safetensors": read_safetensors,
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".pth": read_torch,
    ".pt": read_torch,
    ".bin": read_torch,
}
"""By the end of the file's name."""
