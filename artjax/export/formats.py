"""The table of formats. To add one, write a file with its functions, and enter a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artjax.export import onnx_file, safetensors_file, saved_model, stablehlo
from artjax.export.program import Program
from artjax.export.using import Use

Outputs = Mapping[str, np.ndarray]
"""For each task, float32 [N, classes]."""


@dataclass(frozen=True)
class Format:
    """A value of `--format`.

    Attributes:
      file: what it is called in the folder of the export.
      check: raises `ExportError` if the format's library is missing, or it cannot hold the network.
      write: writes the program to a path, with what must be known of it.
      load: opens what was written, with the program that it is of → a function of the inputs, NumPy
        arrays in order. Of a program nothing of artjax is used to run it.
      use: how the card says to use it.
      program: whether it holds the computation, and not only weights.
    """

    file: str
    check: Callable[[Program], None]
    write: Callable[[Program, Path], None]
    load: Callable[[Path, Program], Callable[..., Outputs]]
    use: Callable[[Program], Use]
    program: bool = True


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format(
        "model.stablehlo",
        stablehlo.check,
        stablehlo.write,
        stablehlo.load,
        stablehlo.use,
    ),
    "onnx": Format(
        "model.onnx",
        onnx_file.check,
        onnx_file.write,
        onnx_file.load,
        onnx_file.use,
    ),
    "savedmodel": Format(
        "saved_model",
        saved_model.check,
        saved_model.write,
        saved_model.load,
        saved_model.use,
    ),
    "safetensors": Format(
        "model.safetensors",
        safetensors_file.check,
        safetensors_file.write,
        safetensors_file.load,
        safetensors_file.use,
        program=False,
    ),
}
