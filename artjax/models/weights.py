"""Pretrained weights: reads a file of another library, and fits its arrays to a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from artjax.errors import WeightsError
from artjax.models import file_kinds, hub, named_weights, unknown_networks
from artjax.models.prefixes import prefixes, without
from artjax.models.registry import HEAD, Family, Translated, create_model, family_of, names
from artjax.models.weight_files import READERS

_SHOWN = 8  # names of arrays in an error message
# Names of files whose arrays have the names and shapes of a network here, and other arithmetic.
_OTHER_ARITHMETIC = {
    "tf_efficientnet": "timm's tf_efficientnet pads and normalises as TensorFlow does, and no network "
    "here does\nTake the weights of timm's efficientnet_b0, or torchvision's"
}
_COLLECTIONS = ("params/", "batch_stats/")  # with which the paths here begin


@dataclass(frozen=True)
class Weights:
    """The arrays of a file.

    Attributes:
      arrays: by their names in the file; floating-point ones are float32. In files of Keras the
        name is the layer and the array's number in it, such as `block1_conv1/0`.
      origin: `source` as it was given, `file` (name), `sha256` of the file, and `revision`: the commit
        on the hub, else None. For weights with a name also `provenance`: whose they are. If a training
        saved them among others, `read_from` is their key, such as `model_ema`.
      beside: the keys of other networks in the file, which were not read.
    """

    arrays: Mapping[str, np.ndarray]
    origin: Mapping[str, str | None]
    beside: tuple[str, ...] = ()


def read(source: str) -> Weights:
    """Reads weights. Nothing in the file is executed. What kind of file it is, its content says.

    Args:
      source: a name in `named_weights.NAMED`; a file of safetensors, of Keras (`.h5`, `.weights.h5`,
        `.keras`) or of PyTorch (`.pth`, `.pt`, `.ckpt`, `.bin` …; PyTorch is not needed); a folder with
        `model.safetensors`; or `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION` for a model of the Hugging
        Face hub (needs the extra `hub`).

    Raises:
      WeightsError: if there is no such name, file or model, or it cannot be read. The message says
        what the file is.
    """
    if named_weights.is_name(source):
        return Weights(*named_weights.read(source))
    file, revision = hub.fetch(source) if hub.is_model(source) else (Path(source), None)
    if not file.exists() and file.suffix.lower() not in file_kinds.SUFFIXES:
        raise named_weights.unknown(source)
    file = (file_kinds.weights_in(file) if file.is_dir() else None) or file
    try:
        other = file_kinds.why_not(file)
        if other is not None:
            raise WeightsError(f"{source}: this {other[0]}\n{other[1][0].upper()}{other[1][1:]}")
        reader = READERS.get(file_kinds.kind_of(file) or "")
        if reader is None:
            raise WeightsError(
                f"{source}: unknown kind of weights; files end with {', '.join(file_kinds.SUFFIXES)}, "
                "and models of the Hugging Face hub are written hf:OWNER/NAME"
            )
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        held = reader(source, file)
    except FileNotFoundError:
        raise WeightsError(f"{source}: there is no such file of weights") from None
    except PermissionError:
        raise WeightsError(f"{source}: no permission to read this file") from None
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read: {error.strerror or error}") from None
    arrays = {name: _as_float32(array) for name, array in held.arrays.items()}
    origin = {"source": source, "file": file.name, "sha256": sha256, "revision": revision}
    return Weights(arrays, origin | ({"read_from": held.where} if held.where else {}), held.beside)


def is_folder_of_others(folder: Path) -> bool:
    """Whether a folder is one of another library, and so no workdir: its file is read, or refused."""
    return file_kinds.weights_in(folder) is not None or file_kinds.why_not(folder) is not None


def _as_float32(array: np.ndarray) -> np.ndarray:
    # bfloat16 is none of NumPy's own types: its kind is "V".
    return array.astype(np.float32, copy=False) if array.dtype.kind in "fV" else array


def trunk_shapes(name: str, image_size: int, **options: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """Path → shape of every variable of a model without its heads, such as `params/conv1_1/kernel`.

    Args:
      name: of the model, in `registry.names()`.
      image_size: side of the images in pixels.
      options: as for `create_model`.
    """
    hashable = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
    }
    return dict(_trunk_shapes(name, image_size, tuple(hashable.items())))


@cache  # tracing a network takes half a second, and each fold of a cross-validation asks again
def _trunk_shapes(
    name: str, image_size: int, options: tuple[tuple[str, Any], ...]
) -> dict[str, jax.ShapeDtypeStruct]:
    model = create_model(name, {}, dtype=jnp.dtype("float32"), platform="cpu", **dict(options))
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    family = family_of(name)
    shapes = flatten_dict(variables, sep="/")
    return {path: leaf for path, leaf in shapes.items() if _part(family, path) != HEAD}


def variables_for(
    name: str, weights: Weights, expected: Mapping[str, jax.ShapeDtypeStruct], image_size: int
) -> dict[str, Any]:
    """The variables of a network without its heads, nested as `apply` takes them.

    Args and errors are as for `translated_for`.
    """
    translated = translated_for(name, weights, expected, image_size)
    nested: dict[str, Any] = unflatten_dict(translated.variables, sep="/")
    return nested


def translated_for(
    name: str, weights: Weights, expected: Mapping[str, jax.ShapeDtypeStruct], image_size: int
) -> Translated:
    """Renames the arrays of a file for a network, and checks that all of them fit.

    Args:
      name: of the model, in `registry.names()`.
      weights: what `read` returned.
      expected: path → shape of every variable of the network without its heads, as `trunk_shapes`
        returns them. If the network lacks a whole stage that the file has, such as the fully connected
        layers of a VGG with `head_layers`, the arrays of that stage are not used.
      image_size: side of the images in pixels.

    Returns:
      Exactly the `expected` variables, and the input that the weights need.

    Raises:
      WeightsError: if an array is missing, left over, of the wrong shape, or not finite; or if the names
        belong to another network.
    """
    source, family = weights.origin["source"], family_of(name)
    if family.translate is None:
        raise WeightsError(f"{source}: {name} cannot start from pretrained weights")
    for other, why in _OTHER_ARITHMETIC.items():
        if other in f"{source}/{weights.origin['file']}":
            raise WeightsError(f"{source}: {why}")
    try:
        translated = _translated(name, weights.arrays, expected, image_size)
    except ValueError as error:
        raise WeightsError(
            f"{source} does not fit {name}: {error}\n{_advice(weights, image_size)}"
        ) from None
    variables = translated.variables
    missing, unknown, shapes = _differences(family, variables, expected)
    said = [
        f"{problem}: {_some(found)}"
        for problem, found in (("missing", missing), ("unknown", unknown), ("shapes", shapes))
        if found
    ]
    if said:
        advice = _advice(weights, image_size)
        if not unknown and not shapes and {_part(family, path) for path in missing} == {"hidden"}:
            advice = (
                "The file has no fully connected layers: --config.model.head_layers replaces those "
                "of the network"
            )
        raise WeightsError(f"{source} does not fit {name}: {'; '.join(said)}\n{advice}")
    broken = [path for path in expected if not np.isfinite(variables[path]).all()]
    if broken:
        raise WeightsError(
            f"{source}: NaN or infinite values in {_some(broken)}\n"
            "The file is damaged, or its training diverged: take another copy"
        )
    used = {path: np.asarray(variables[path], np.float32) for path in expected}
    return replace(translated, variables=used)


def _translated(
    name: str,
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, jax.ShapeDtypeStruct],
    image_size: int,
) -> Translated:
    """The arrays after the prefix with which they fit best, and of equals the first of `prefixes`.

    Raises:
      ValueError: if no part of the arrays has the names of the network; it speaks of all of them.
    """
    family = family_of(name)
    assert family.translate is not None
    best: Translated | None = None
    fewest = 0
    refused: ValueError | None = None
    whole: list[str] = []  # what is within a network is no network, and the rest of it counts
    for prefix in prefixes(arrays):
        if prefix.startswith(tuple(whole)):
            continue
        try:
            found = family.translate(name, without(prefix, arrays), image_size)
        except ValueError as error:
            refused = error if refused is None or not prefix else refused
            continue
        whole.append(prefix)
        wrong = sum(map(len, _differences(family, found.variables, expected)))
        if best is None or wrong < fewest:
            best, fewest = replace(found, prefix=prefix + found.prefix), wrong
        if not wrong:
            break
    if best is None:
        raise refused or ValueError("it holds no arrays")
    return best


def _differences(
    family: Family,
    variables: Mapping[str, np.ndarray],
    expected: Mapping[str, jax.ShapeDtypeStruct],
) -> tuple[list[str], list[str], list[str]]:
    """What is missing, what is unknown, and which shapes differ."""
    stages = {_part(family, path) for path in expected}
    return (
        [path for path in expected if path not in variables],
        [
            path
            for path in variables
            if path not in expected
            and (not path.startswith(_COLLECTIONS) or _part(family, path) in stages)
        ],
        [
            f"{path} {list(variables[path].shape)} instead of {list(leaf.shape)}"
            for path, leaf in expected.items()
            if path in variables and variables[path].shape != leaf.shape
        ],
    )


def _part(family: Family, path: str) -> str:
    """`params/conv1_1/kernel` → the name of the stage of `conv1_1/kernel`, or `HEAD`."""
    return family.part_of(path.partition("/")[2])


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def fitting(weights: Weights, image_size: int, **options: Any) -> list[str]:
    """The names of all models whose trunk the arrays of a file fit; `options` as for `create_model`."""
    return _candidates(weights, image_size, options)[0]


def _advice(weights: Weights, image_size: int) -> str:
    """One line that says which models the arrays fit, or whose names they have."""
    fit, similar = _candidates(weights, image_size, {})
    if fit:
        return f"The file fits --config.model.name={' or '.join(fit)}"
    if similar:
        return f"Some of its names are those of {', '.join(similar)}, but it fits none of them"
    return f"It fits none of {', '.join(names())}: {unknown_networks.in_words(weights.arrays)}"


def why_none(weights: Weights, image_size: int) -> str:
    """One or two lines on weights that fit no network here: whose they are, and how near they come."""
    _, similar = _candidates(weights, image_size, {})
    whose = unknown_networks.in_words(weights.arrays)
    if not similar:
        return f"no network here has such names: {whose}\nThere are {', '.join(names())}"
    nearest = similar[0]
    side = _side(nearest, image_size)
    try:
        translated_for(nearest, weights, trunk_shapes(nearest, side), side)
    except WeightsError as error:
        return (
            f"nearly the weights of {' or '.join(similar)}: {whose}\n{str(error).splitlines()[0]}"
        )
    return whose


def _side(name: str, image_size: int) -> int:
    multiple = family_of(name).size_multiple(name)
    return max(1, image_size // multiple) * multiple


def _candidates(
    weights: Weights, image_size: int, options: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The models that the arrays fit, and those with some of the same names, the nearest first."""
    fit: list[str] = []
    similar: dict[str, int] = {}
    for name in names():
        family = family_of(name)
        if family.translate is None:
            continue
        side = _side(name, image_size)
        if not _has_names(name, weights.arrays, side):
            continue  # the shapes of a network take a second
        expected = trunk_shapes(name, side, **options)
        variables = _translated(name, weights.arrays, expected, side).variables
        wrong = sum(map(len, _differences(family, variables, expected)))
        if wrong:
            similar[name] = wrong
        else:
            fit.append(name)
    return fit, sorted(similar, key=lambda name: similar[name])


def _has_names(name: str, arrays: Mapping[str, np.ndarray], side: int) -> bool:
    """Whether some part of the arrays has names of a network."""
    try:
        _translated(name, arrays, {}, side)
    except ValueError:
        return False
    return True
