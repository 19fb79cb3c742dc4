"""The parameters that a run does not train: written once into its workdir, beside the checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from artjax.errors import WorkdirError
from artjax.files import replacing
from artjax.runtime.mesh import first_process_first, is_first_process, on_host
from artjax.training.groups import flat
from artjax.training.network import Network

FILE = "frozen.safetensors"


def save(workdir: Path, frozen: dict[str, Any]) -> None:
    """Writes `frozen.safetensors` atomically. All processes must call this together; the first writes.

    Raises:
      WorkdirError: if it cannot be written.
    """
    arrays = {path: np.ascontiguousarray(array) for path, array in flat(on_host(frozen)).items()}
    with first_process_first():
        if is_first_process():
            _write(workdir, arrays)


def _write(workdir: Path, arrays: dict[str, np.ndarray]) -> None:
    try:
        with replacing(workdir / FILE) as partial:
            save_file(arrays, partial)
    except (OSError, SafetensorError) as error:
        raise WorkdirError(f"cannot write {workdir / FILE}: {error}") from error


def load(workdir: Path, network: Network) -> dict[str, Any]:
    """Reads `frozen.safetensors` onto the devices of a network; `{}` if it trains everything.

    Raises:
      WorkdirError: if the file is missing or damaged.
    """
    if not network.abstract_frozen:
        return {}
    file = workdir / FILE
    try:
        arrays = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WorkdirError(
            f"{file}, which holds the frozen parameters of this run, cannot be read ({error}); without "
            "it the run is lost: start it again in another --workdir"
        ) from error
    expected = {path: leaf.shape for path, leaf in flat(network.abstract_frozen).items()}
    if {path: array.shape for path, array in arrays.items()} != expected:
        raise WorkdirError(f"{file} does not belong to this run: its arrays are others")
    frozen: dict[str, Any] = network.with_arrays(network.abstract_frozen, arrays)
    return frozen
