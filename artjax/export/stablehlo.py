"""StableHLO as `jax.export` serialises it: for CPU, GPU and TPU, readable by JAX without artjax."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from artjax.export import using
from artjax.export.program import BATCH, Program

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def check(program: Program) -> None:
    """It holds every network."""


def write(program: Program, path: Path) -> None:
    """Writes what `jax.export.deserialize` reads; the weights are constants in it."""
    (batch,) = export.symbolic_shape(BATCH)
    exported = export.export(jax.jit(program.function), platforms=_PLATFORMS)(
        *program.shapes(batch)
    )
    path.write_bytes(exported.serialize())


def load(path: Path, program: Program) -> Callable[..., dict[str, np.ndarray]]:
    """What is in the file, to be called on a CPU."""
    call = export.deserialize(bytearray(path.read_bytes())).call
    device = program.run.network.mesh.devices.flat[0]

    def outputs(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        with jax.default_device(device):
            found: Any = call(*inputs)
        return {task: np.asarray(of_task) for task, of_task in found.items()}

    return outputs


def use(program: Program) -> using.Use:
    """How to use it, for the card."""
    return using.code(
        program,
        imports="import jax.export",
        needs="jax",
        opening='network = jax.export.deserialize(open("model.stablehlo", "rb").read())',
        call=f"found = network.call({using.arguments(program)})",
        values="found[task]",
    )
