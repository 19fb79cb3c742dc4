"""The weights alone, as safetensors: in torchvision's names and layouts where it has the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

from artjax.errors import ExportError
from artjax.export import using
from artjax.export.program import Program
from artjax.models import family_of
from artjax.models.translation import TorchNames, to_torch
from artjax.training.groups import nested


def check(program: Program) -> None:
    """It holds every network."""


def torch_names(program: Program) -> TorchNames | None:
    """How torchvision calls the layers; None if it lacks this network."""
    model = program.run.config.model
    family = family_of(model.name)
    if family.torch_names is None or model.activation != "relu":
        return None
    try:
        return family.torch_names(model.name)
    except KeyError:
        return None


def arrays_of(program: Program) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the file, and the names of those that torchvision has no place for.

    The head of a single task is torchvision's classifier, if that is a linear layer there. Everything
    else without a place there keeps its own name and layout, such as `params/head_artist/kernel`.
    """
    names = torch_names(program)
    if names is None:
        arrays = {path: np.ascontiguousarray(of) for path, of in program.variables.items()}
        return arrays, list(arrays)
    arrays, left = to_torch(program.variables, _with_head(names, program))
    return arrays | {path: np.ascontiguousarray(of) for path, of in left.items()}, list(left)


def _with_head(names: TorchNames, program: Program) -> TorchNames:
    """The names with torchvision's classifier for the head, where both are one linear layer."""
    if not names.classifier or len(program.tasks) > 1 or program.run.config.model.head_layers:
        return names
    head = {names.classifier: f"head_{program.tasks[0]}"}
    return TorchNames(
        {**names.layers, **head},
        names.classifier,
        names.vectors,
        names.layouts,
        names.with_bias,
    )


def write(program: Program, path: Path) -> None:
    """Writes the file, with labels, preprocessing and names in its metadata."""
    arrays, own = arrays_of(program)
    torch = len(own) < len(arrays)
    about = program.about() | {"names": "torchvision" if torch else "artjax", "own_names": own}
    # `format` is what transformers and timm look for.
    metadata = {"format": "pt" if torch else "flax", "artjax": json.dumps(about)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def variables_in(path: Path, program: Program) -> dict[str, np.ndarray]:
    """The variables in a file, in the names of artjax: what `translate` makes of it, and the head."""
    arrays = safetensors.numpy.load_file(path)
    names = torch_names(program)
    own = {name: of for name, of in arrays.items() if name in program.variables}
    if names is None:
        return own
    model = program.run.config.model
    translate = family_of(model.name).translate
    assert translate is not None
    there = {name: of for name, of in arrays.items() if name not in own}
    trunk = translate(model.name, there, program.run.config.image_size).variables
    head = {}
    if names.classifier and f"{names.classifier}.weight" in there and len(program.tasks) == 1:
        of_task = f"params/head_{program.tasks[0]}"
        if f"{of_task}/kernel" in program.variables:
            head[f"{of_task}/kernel"] = there[f"{names.classifier}.weight"].T
            head[f"{of_task}/bias"] = there[f"{names.classifier}.bias"]
    return {**trunk, **head, **own}


def load(path: Path, program: Program) -> Callable[..., dict[str, np.ndarray]]:
    """The network with the weights of the file.

    Raises:
      ExportError: if one of its arrays is not the run's, bit for bit.
    """
    found = variables_in(path, program)
    for name in sorted(found.keys() | program.variables.keys()):
        ours, theirs = program.variables.get(name), found.get(name)
        if ours is None or theirs is None or not np.array_equal(ours, theirs, equal_nan=True):
            raise ExportError(
                f"{path}: {name} is not what the run has; this is a mistake of artjax"
            )
    return _network(found, program)


def _network(
    variables: Mapping[str, np.ndarray], program: Program
) -> Callable[..., dict[str, np.ndarray]]:
    tree = nested(variables)
    apply = jax.jit(program.run.network.model.apply)

    def outputs(image: np.ndarray) -> dict[str, np.ndarray]:
        return {task: np.asarray(of_task) for task, of_task in apply(tree, image).items()}

    return outputs


def use(program: Program) -> using.Use:
    """How to use it, for the card."""
    _, own = arrays_of(program)
    heads = [name for name in own if name.partition("/")[2].startswith("head_")]
    model = program.run.config.model.name
    if torch_names(program) is None:
        code = (
            "from safetensors.numpy import load_file\n\n"
            'weights = load_file("model.safetensors")  # names and layouts of artjax (Flax)\n'
            "for name, array in weights.items():\n    print(name, array.shape)"
        )
        return using.Use(code, "safetensors numpy")
    imports = "import torchvision\nfrom safetensors.torch import load_file\n\n"
    if own:
        code = (
            'weights = load_file("model.safetensors")\n'
            f"network = torchvision.models.{model}().eval()\n"
            'trunk = {name: array for name, array in weights.items() if "/" not in name}\n'
            "network.load_state_dict(trunk, strict=False)  # all but its classifier\n"
            f"# What torchvision has no place for, names and layouts of Flax: {', '.join(heads)}"
        )
    else:
        classes = len(program.run.classes[program.tasks[0]])
        code = (
            f"network = torchvision.models.{model}(num_classes={classes}).eval()\n"
            'network.load_state_dict(load_file("model.safetensors"))'
        )
    return using.Use(imports + code, "safetensors torch torchvision")
