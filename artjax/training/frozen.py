"""The parameters that a run does not train: written once into its workdir, beside the checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from artjax.errors import WorkdirError
from artjax.runtime.mesh import first_process_first, is_first_process, on_host
from artjax.training.experiment import Experiment
from artjax.training.groups import flat

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
    partial = workdir / f".{FILE}.partial"
    try:
        save_file(arrays, partial)
        os.replace(partial, workdir / FILE)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise WorkdirError(f"cannot write {workdir / FILE}: {error}") from error


def load(workdir: Path, experiment: Experiment) -> dict[str, Any]:
    """Reads `frozen.safetensors` onto the devices of an experiment; `{}` if it trains everything.

    Raises:
      WorkdirError: if the file is missing or damaged.
    """
    if not experiment.abstract_frozen:
        return {}
    file = workdir / FILE
    try:
        arrays = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WorkdirError(
            f"{file}, which holds the frozen parameters of this run, cannot be read ({error}); without "
            "it the run is lost: start it again in another --workdir"
        ) from error
    expected = {path: leaf.shape for path, leaf in flat(experiment.abstract_frozen).items()}
    if {path: array.shape for path, array in arrays.items()} != expected:
        raise WorkdirError(f"{file} does not belong to this run: its arrays are others")
    return experiment.with_arrays(experiment.abstract_frozen, arrays)
