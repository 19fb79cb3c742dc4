"""A SavedModel of TensorFlow, by jax2tf."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from artjax.errors import ExportError
from artjax.export import using
from artjax.export.program import BATCH, Program
from artjax.runtime.tensorflow_import import import_tensorflow


def check(program: Program) -> None:
    """Raises `ExportError` if this JAX has no jax2tf any more."""
    _jax2tf()


def _jax2tf() -> Any:
    import_tensorflow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from jax.experimental import jax2tf
    except ImportError as error:
        raise ExportError(
            f"--format savedmodel needs jax.experimental.jax2tf, which JAX {jax.__version__} lacks "
            f"({error}); use --format stablehlo or onnx"
        ) from None
    return jax2tf


def write(program: Program, path: Path) -> None:
    """Writes a folder with the network for CPUs, whose signature names inputs and tasks."""
    tf, jax2tf = import_tensorflow(), _jax2tf()
    polymorphic = [
        f"({', '.join([BATCH, *map(str, rest)])})" for rest, _ in program.inputs.values()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that jax2tf still uses
        converted = jax2tf.convert(
            program.function,
            polymorphic_shapes=polymorphic,
            with_gradient=False,
            native_serialization_platforms=("cpu", "cuda", "tpu"),
        )
        specs = [
            tf.TensorSpec((None, *rest), dtype, name=name)
            for name, (rest, dtype) in program.inputs.items()
        ]
        module = tf.Module()
        module.f = tf.function(converted, autograph=False, input_signature=specs)
        tf.saved_model.save(module, str(path), signatures=module.f.get_concrete_function())


def load(path: Path, program: Program) -> Callable[..., dict[str, np.ndarray]]:
    """What TensorFlow computes of the folder."""
    tf = import_tensorflow()
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]

    def outputs(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        named = dict(zip(program.inputs, map(tf.constant, inputs), strict=True))
        return {task: of_task.numpy() for task, of_task in signature(**named).items()}

    return outputs


def use(program: Program) -> using.Use:
    """How to use it, for the card."""
    given = ", ".join(
        f"{name}=tf.constant({value})" for name, value in using.values_of(program).items()
    )
    return using.code(
        program,
        imports="import tensorflow as tf",
        needs="tensorflow",
        opening='network = tf.saved_model.load("saved_model").signatures["serving_default"]',
        call=f"found = network({given})",
        values="found[task].numpy()",
    )
