"""The arrays in files of weights: safetensors, HDF5 and archives of Keras, and PyTorch's own."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.numpy

from artjax.errors import WeightsError
from artjax.models import checkpoints, file_kinds
from artjax.models.torch_files import NotReadableError, TorchFile


@dataclass(frozen=True)
class Read:
    """What a file holds.

    Attributes:
      arrays: by their names there.
      where: the key under which a training has saved them, such as `model_ema`; or empty.
      beside: other networks in the file, by their keys, which are not read.
    """

    arrays: Mapping[str, np.ndarray]
    where: str = ""
    beside: tuple[str, ...] = ()


def read_safetensors(source: str, file: Path) -> Read:
    """Reads the arrays of a `.safetensors` file. `source` is what error messages call it.

    Raises:
      WeightsError: if it is not such a file, or incomplete.
    """
    try:
        # bfloat16 is a type of ml_dtypes, which jax brings.
        return Read(safetensors.numpy.load_file(file))
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{source}: not a safetensors file, or incomplete: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None


def read_hdf5(source: str, file: Path) -> Read:
    """Reads the arrays of an HDF5 file that Keras 2 or 3 wrote: weights, or a whole model.

    Returns:
      Layer and number of the array in it, such as `block1_conv1/0` → array; in a network within a
      network, `vgg16.block1_conv1/0`.

    Raises:
      WeightsError: if h5py is missing, or it is not such a file, or incomplete.
    """
    with file.open("rb") as stream:
        return Read(_keras_arrays(source, stream))


def read_keras(source: str, file: Path) -> Read:
    """Reads the arrays of a `.keras` archive; names and errors are those of `read_hdf5`."""
    try:
        with zipfile.ZipFile(file) as archive:
            weights = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(
            f"{source}: not an archive of Keras 3, or incomplete: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None
    return Read(_keras_arrays(source, io.BytesIO(weights)))


def _keras_arrays(source: str, stream: BinaryIO) -> dict[str, np.ndarray]:
    try:
        import h5py  # only here: most machines never read such a file
    except ImportError:
        raise WeightsError(f"{source}: files of Keras need h5py: pip install h5py") from None

    try:
        with h5py.File(stream, "r") as root:
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
    """Of a group for each layer, whose attribute `weight_names` lists its arrays in order.

    The group of a network within the network lists those of all its layers: `block1_conv1/kernel:0`.
    """
    found = []
    for layer in map(_text, root.attrs.get("layer_names", ())):  # type: ignore[attr-defined]
        names = [_text(name) for name in root[layer].attrs["weight_names"]]
        owners = [name.split("/")[-2] if "/" in name else layer for name in names]
        within = len(set(owners)) > 1
        for i, (owner, name) in enumerate(zip(owners, names, strict=True)):
            label = f"{layer}.{owner}/{owners[:i].count(owner)}" if within else f"{layer}/{i}"
            found.append((label, np.asarray(root[layer][name])))
    return found


def _keras3_arrays(root: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Of `layers/conv2d_1/vars/0`, where the attribute `name` of `vars` is the name of the layer.

    A network within the network is a layer with `layers` of its own.
    """
    for group, layer in root.get("layers", {}).items():
        variables = layer.get("vars", {})
        name = _text(variables.attrs.get("name", group)) if "vars" in layer else group
        for i in variables:
            yield f"{prefix}{name}/{i}", np.asarray(variables[i])
        yield from _keras3_arrays(layer, f"{prefix}{name}.")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def read_torch(source: str, file: Path) -> Read:
    """Reads the arrays of a file that `torch.save` or `torch.jit.save` wrote, without PyTorch.

    A checkpoint of a training has more than one network: `checkpoints.network_in` says which is read.

    Raises:
      WeightsError: if it is no such file, holds no network, or is damaged.
    """
    try:
        with closing(TorchFile(file)) as opened:
            found = checkpoints.network_in(opened.held)
            arrays = {name: tensor.read() for name, tensor in found.tensors.items()}
    except (NotReadableError, MemoryError, RecursionError) as error:
        raise WeightsError(
            f"{source}: not a file of PyTorch, or damaged: {_first_line(error)}\n"
            "Copy or download it again"
        ) from None
    if not arrays:
        what = "the state of an optimizer, and no network" if found.optimizer else "no arrays"
        raise WeightsError(
            f"{source}: holds {what}\nGive the file with the network's state_dict(): a training often "
            "saves it as model.pth or under the key state_dict"
        )
    return Read(arrays, found.where, found.beside)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


READERS: Mapping[str, Callable[[str, Path], Read]] = {
    file_kinds.SAFETENSORS: read_safetensors,
    file_kinds.HDF5: read_hdf5,
    file_kinds.KERAS: read_keras,
    file_kinds.TORCH: read_torch,
}
"""By the kind of file."""
