"""ONNX by jax2onnx, for onnxruntime and everything that reads ONNX."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from artjax.errors import ExportError
from artjax.export import using
from artjax.export.program import BATCH, Program
from artjax.places import has_repository

KEY = "artjax"
"""Under which the metadata of the file have what must be known, as JSON."""

# Read by onnxruntime since 1.14 (2023), and by most other runtimes.
_OPSET = 18
_MOST_BYTES = 2**31 - 2**24  # a protocol buffer has less than 2 GiB


def check(program: Program) -> None:
    """Raises `ExportError` if jax2onnx or onnxruntime is missing, or the weights are too large."""
    for name in ("jax2onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            how = '-e ".[onnx]"' if has_repository() else '"artjax[onnx]"'
            raise ExportError(
                f"--format onnx needs {name}, which is not installed: pip install {how}"
            )
    size = sum(array.nbytes for array in program.variables.values())
    if size > _MOST_BYTES:
        raise ExportError(
            f"--format onnx: the weights of {program.run.config.model.name} are {size / 1e9:.1f} GB, "
            "and a file of ONNX holds less than 2.1 GB; use --format stablehlo or savedmodel"
        )


def write(program: Program, path: Path) -> None:
    """Writes the network, with labels and preprocessing in its `metadata_props`.

    Raises:
      ExportError: if ONNX has no operation for a part of the network.
    """
    import jax2onnx

    try:
        with _quiet(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            model: Any = jax2onnx.to_onnx(
                program.function,
                inputs=program.shapes(BATCH),
                input_names=list(program.inputs),
                output_names=list(program.tasks),
                model_name=program.run.config.model.name,
                opset=_OPSET,
            )
    except Exception as error:  # of any of the libraries behind it
        reason = next(iter(str(error).splitlines()), "")
        raise ExportError(
            f"--format onnx cannot hold {program.run.config.model.name}: jax2onnx says "
            f"{type(error).__name__}: {reason}; use --format stablehlo or savedmodel"
        ) from error
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(program.about())
    path.write_bytes(model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of onnx_ir about shapes that it need not know."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def load(path: Path, program: Program) -> Callable[..., dict[str, np.ndarray]]:
    """What onnxruntime computes of the file, on a CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def outputs(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        found = session.run(names, dict(zip(program.inputs, inputs, strict=True)))
        return dict(zip(names, found, strict=True))

    return outputs


def use(program: Program) -> using.Use:
    """How to use it, for the card."""
    return using.code(
        program,
        imports="import onnxruntime",
        needs="onnxruntime",
        opening='network = onnxruntime.InferenceSession("model.onnx")',
        call=f"found = network.run(list(about['tasks']), {{{using.named(program)}}})",
        values="dict(zip(about['tasks'], found))[task]",
        about="json.loads(network.get_modelmeta().custom_metadata_map['artjax'])",
    )
