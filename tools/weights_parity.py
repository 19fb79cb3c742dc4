"""Compares every family, with weights read from files, to the original implementations.

Needs torch, torchvision and timm beside the extra `test`; artjax itself never imports them.

    python tools/weights_parity.py                       # prints the table; fails above 1e-4
    python tools/weights_parity.py --only resnet50       # the models with these names
    python tools/weights_parity.py --golden tests/models/golden   # writes the numbers that tests compare

The weights are not trained ones: a formula makes them, so that the activations stay of order one and any
array in the wrong place shows.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HIGHEST = 1e-4  # absolute difference, in float32
SIDE = 64
PICKED = 12  # numbers of each stage in a golden file


# Of a block, in ResNets, in timm's and in torchvision's EfficientNet.
_LAST_NORM = re.compile(r"bn[23]\.|block\.[23]\.1\.")


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """float32 in [low, high), by a hash of the index and the name: the same wherever it is computed."""
    x = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32)
    x *= np.uint32(2654435761)
    x += np.uint32(zlib.crc32(name.encode()))
    for multiplier in (0x45D9F3B, 0x119DE1F3):
        x ^= x >> np.uint32(16)
        x *= np.uint32(multiplier)
    x ^= x >> np.uint32(16)
    values = x.astype(np.float32)
    values *= np.float32((high - low) * 2.0**-32)
    values += np.float32(low)
    return values.reshape(shape)


def made(name: str, shape: tuple[int, ...], fan_in: int | None = None) -> np.ndarray:
    """An array of a network, by its name and shape in PyTorch (or Keras, with `fan_in`).

    Kernels follow He et al. (2015). BatchNorm's statistics and the layer scales are far from their usual
    0 and 1. The last norm of a residual block is small, so that 16 blocks do not add up.
    """
    leaf = name.rpartition(".")[2]
    if leaf in ("gamma", "layer_scale"):
        return uniform(name, shape, 0.2, 0.6)
    if leaf == "running_var":
        return uniform(name, shape, 0.5, 1.5)
    if len(shape) == 1:
        if leaf != "weight":
            return uniform(name, shape, -0.2, 0.2)
        return uniform(name, shape, *((0.1, 0.4) if _LAST_NORM.search(name) else (0.6, 1.4)))
    limit = float(np.sqrt(6 / (fan_in or np.prod(shape[1:]))))
    return uniform(name, shape, -limit, limit)


def made_pixels(side: int) -> np.ndarray:
    """Input of a network, float32 [2, side, side, 3]."""
    return uniform("pixels", (2, side, side, 3), -1, 1)


def picked(values: np.ndarray) -> np.ndarray:
    """A few of the numbers of a stage [B, …], evenly spread."""
    flat = np.asarray(values, np.float32).ravel()
    return flat[np.linspace(0, flat.size - 1, PICKED).astype(int)]


@dataclass(frozen=True)
class Original:
    """A network of PyTorch.

    Attributes:
      library: `torchvision` or `timm`.
      model: its name there and here.
      stages: our stage → the module there whose output it equals.
      classifier: the last layer of its own classifier.
    """

    library: str
    model: str
    stages: Mapping[str, str]
    classifier: str

    def create(self) -> Any:
        """The network, without weights of its own."""
        import timm
        import torchvision

        if self.library == "timm":
            return timm.create_model(self.model, pretrained=False)
        return getattr(torchvision.models, self.model)(weights=None)


def originals() -> Iterator[Original]:
    """Every network that a family can take weights from."""
    pools = {"vgg11": (2, 5, 10, 15, 20), "vgg13": (4, 9, 14, 19, 24)}
    pools |= {"vgg16": (4, 9, 16, 23, 30), "vgg19": (4, 9, 18, 27, 36)}
    pools |= {"vgg11_bn": (3, 7, 14, 21, 28), "vgg13_bn": (6, 13, 20, 27, 34)}
    pools |= {"vgg16_bn": (6, 13, 23, 33, 43), "vgg19_bn": (6, 13, 26, 39, 52)}
    for name, indices in pools.items():
        stages = {f"stage{s}": f"features.{i}" for s, i in enumerate(indices, start=1)}
        yield Original("torchvision", name, stages | {"hidden": "classifier.4"}, "classifier.6")
        yield Original("timm", name, stages | {"hidden": "pre_logits"}, "head.fc")
    for name, ends in (("squeezenet1_0", (2, 6, 11, 12)), ("squeezenet1_1", (2, 5, 8, 12))):
        names = ("stem", "stage1", "stage2", "stage3")
        stages = {stage: f"features.{i}" for stage, i in zip(names, ends, strict=True)}
        yield Original("torchvision", name, stages, "classifier.1")
    residual = {"stem": "maxpool"} | {f"stage{s}": f"layer{s}" for s in (1, 2, 3, 4)}
    for name in ("resnet18", "resnet34", "resnet50"):
        yield Original("torchvision", name, residual | {"pooled": "avgpool"}, "fc")
        yield Original("timm", name, residual | {"pooled": "global_pool"}, "fc")
    inverted = {"stem": "features.0"} | {f"stage{s}": f"features.{s}" for s in range(1, 8)}
    inverted |= {"top": "features.8", "pooled": "avgpool"}
    yield Original("torchvision", "efficientnet_b0", inverted, "classifier.1")
    inverted = {"stem": "bn1"} | {f"stage{s}": f"blocks.{s - 1}" for s in range(1, 8)}
    inverted |= {"top": "bn2", "pooled": "global_pool"}
    yield Original("timm", "efficientnet_b0", inverted, "classifier")
    stages = {"stem": "features.0"} | {f"stage{s}": f"features.{2 * s - 1}" for s in (1, 2, 3, 4)}
    yield Original(
        "torchvision", "convnext_tiny", stages | {"pooled": "classifier.0"}, "classifier.2"
    )
    stages = {"stem": "stem"} | {f"stage{s}": f"stages.{s - 1}" for s in (1, 2, 3, 4)}
    yield Original("timm", "convnext_tiny", stages | {"pooled": "head.norm"}, "head.fc")


def _channels_last(output: Any) -> np.ndarray:
    array = output.detach().numpy()
    return np.moveaxis(array, 1, -1).squeeze() if array.ndim == 4 else array


def outputs_of(original: Original, network: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The output of each stage [B, …] with channels last, and `logits` [B, 1000]."""
    import torch

    found: dict[str, np.ndarray] = {}
    for stage, module in original.stages.items():
        # A copy, because a ReLU may follow in place.
        network.get_submodule(module).register_forward_hook(
            lambda _, __, output, stage=stage: found.update({stage: _channels_last(output.clone())})
        )
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    if original.model.startswith("squeezenet"):
        found["pooled"] = found["stage3"].mean((1, 2))
    return found | {"logits": logits.numpy()}


def differences(
    model: str,
    file: Path,
    pixels: np.ndarray,
    expected: Mapping[str, np.ndarray],
    classify: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None,
) -> dict[str, float]:
    """Reads a file, applies our network, and returns the largest difference of each stage."""
    ours = our_outputs(model, file, pixels)
    if classify:
        ours["logits"] = classify(ours)
    return {
        stage: float(np.abs(ours[stage].reshape(values.shape) - values).max())
        for stage, values in expected.items()
        if stage in ours
    }


def our_outputs(model: str, file: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The output of each stage of our network, with the weights of a file."""
    import jax
    import jax.numpy as jnp

    from artjax.models import create_model, weights

    side = pixels.shape[1]
    expected = weights.trunk_shapes(model, side)
    variables = weights.variables_for(model, weights.read(str(file)), expected, side)
    network = create_model(model, {}, dtype=jnp.float32, platform="cpu")
    apply = jax.jit(lambda v, x: network.apply(v, x, mutable=["stages"])[1]["stages"])
    return {stage: np.asarray(values[0]) for stage, values in apply(variables, pixels).items()}


def _classifier(
    original: Original, kernel: np.ndarray, bias: np.ndarray
) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """The original classifier, for our features."""
    kernel = kernel.reshape(kernel.shape[0], -1).T
    if original.model.startswith("squeezenet"):  # it has a ReLU before the mean over the image
        return lambda ours: np.maximum(ours["stage3"] @ kernel + bias, 0).mean((1, 2))
    return lambda ours: ours.get("pooled", ours.get("hidden")) @ kernel + bias


def torch_rows(original: Original, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Format and differences, for the files that PyTorch writes."""
    import safetensors.torch
    import torch

    network = original.create().eval()
    state = {
        name: torch.from_numpy(made(name, tuple(value.shape)))
        if value.is_floating_point()
        else value
        for name, value in network.state_dict().items()
    }
    kernel, bias = (state[f"{original.classifier}.{leaf}"].numpy() for leaf in ("weight", "bias"))
    pixels = made_pixels(SIDE)
    network.load_state_dict(state)
    expected = outputs_of(original, network, pixels)
    classify = _classifier(original, kernel, bias)
    file = folder / "model.safetensors"
    safetensors.torch.save_file(state, file)
    yield "safetensors", differences(original.model, file, pixels, expected, classify)
    if original.library == "torchvision":
        file = folder / "model.pth"
        torch.save(state, file)
        yield "pth", differences(original.model, file, pixels, expected, classify)
    if original.model == "resnet50":
        for dtype in (torch.float16, torch.bfloat16):
            rounded = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}
            fresh = original.create().eval()
            fresh.load_state_dict(rounded)  # in float32
            expected = outputs_of(original, fresh, pixels)
            file = folder / "rounded.safetensors"
            safetensors.torch.save_file(rounded, file)
            found = differences(original.model, file, pixels, expected, None)
            yield f"safetensors {str(dtype).removeprefix('torch.')}", found


def keras_rows(model: str, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Format and differences, for the files that Keras writes. The pixels are RGB in [0, 255]."""
    import keras

    from artjax.models import family_of, weights

    theirs = getattr(keras.applications, model.upper())(
        weights=None, input_shape=(224, 224, 3), classifier_activation=None
    )
    for variable in theirs.variables:
        shape = tuple(variable.shape)
        array = made(variable.path, shape, fan_in=int(np.prod(shape[:-1])))
        # The pixels are large; the activations should not be.
        variable.assign(array / 64 if variable.path == "block1_conv1/kernel" else array)
    pixels = uniform("pixels", (1, 224, 224, 3), 0, 255)
    names = {f"stage{s}": f"block{s}_pool" for s in range(1, 6)} | {"hidden": "fc2"}
    layers = [theirs.get_layer(layer).output for layer in names.values()]
    prepared = getattr(keras.applications, model).preprocess_input(pixels.copy())
    *found, logits = keras.Model(theirs.input, [*layers, theirs.output])(prepared)
    expected = {stage: np.asarray(v) for stage, v in zip(names, found, strict=True)}
    expected["logits"] = np.asarray(logits)
    kernel, bias = (np.asarray(v) for v in theirs.get_layer("predictions").variables)

    def classify(ours: Mapping[str, np.ndarray]) -> np.ndarray:
        return ours["hidden"] @ kernel + bias

    for label, name, save in (
        ("h5, Keras 3", "model.weights.h5", theirs.save_weights),
        ("h5, whole model", "model.h5", theirs.save),
        ("h5, Keras 2", "legacy.h5", lambda file: save_as_keras2(theirs, file)),
    ):
        file = folder / name
        save(file)
        read = weights.read(str(file))
        preprocessing = family_of(model).translate(model, read.arrays, 224).preprocessing
        ours = np.asarray(preprocessing.normalise(pixels))
        yield label, differences(model, file, ours, expected, classify)
        file.unlink()


def save_as_keras2(theirs: Any, file: Path) -> None:
    """Writes the layout of the files that Keras publishes: `block1_conv1/block1_conv1_W_1:0` …."""
    import h5py

    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = [layer.name.encode() for layer in theirs.layers]
        for layer in theirs.layers:
            group = root.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0" for kind in ("W", "b")][: len(layer.variables)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.variables, strict=True):
                group[name] = np.asarray(variable)


def write_golden(original: Original, folder: Path) -> None:
    """Writes names and shapes of the original's arrays, and a few outputs of each stage."""
    import torch

    network = original.create().eval()
    shapes = {n: list(v.shape) for n, v in network.state_dict().items() if v.is_floating_point()}
    network.load_state_dict(
        {name: torch.from_numpy(made(name, tuple(shape))) for name, shape in shapes.items()},
        strict=False,  # there is no formula for num_batches_tracked
    )
    outputs = outputs_of(original, network, made_pixels(SIDE))
    stages = {stage: [float(v) for v in picked(outputs[stage])] for stage in outputs}
    golden = {"model": original.model, "library": original.library, "side": SIDE}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    for key, table in (("stages", stages), ("shapes", shapes)):
        rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items())
        lines.append(f" {json.dumps(key)}: {{\n{rows}\n }}")
    folder.mkdir(exist_ok=True)
    file = folder / f"{original.model}-{original.library}.json"
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(file)


GOLDEN = (
    ("torchvision", "vgg11"),
    ("torchvision", "vgg16_bn"),
    ("timm", "vgg16_bn"),
    ("torchvision", "squeezenet1_0"),
    ("torchvision", "squeezenet1_1"),
    ("torchvision", "resnet18"),
    ("torchvision", "resnet50"),
    ("torchvision", "efficientnet_b0"),
    ("timm", "efficientnet_b0"),
    ("torchvision", "convnext_tiny"),
    ("timm", "convnext_tiny"),
)


def _import_torch() -> None:
    """Lets a torchvision without its compiled operators be imported; the networks do not use them."""
    import torch

    register = torch.library.register_fake

    def register_known(name: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *arguments, **options)

    torch.library.register_fake = register_known


def main() -> None:
    """Prints the table, or writes the golden files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of models")
    parser.add_argument("--golden", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    _import_torch()
    chosen = [o for o in originals() if not arguments.only or o.model in arguments.only]
    if arguments.golden:
        for original in chosen:
            if (original.library, original.model) in GOLDEN:
                write_golden(original, arguments.golden)
        return
    worst = 0.0
    print(f"{'model':15} {'original':12} {'format':22} largest absolute difference", flush=True)

    def show(model: str, library: str, rows: Iterator[tuple[str, dict[str, float]]]) -> None:
        nonlocal worst
        for label, found in rows:
            worst = max(worst, *found.values())
            stages = "  ".join(f"{stage} {value:.1e}" for stage, value in found.items())
            print(f"{model:15} {library:12} {label:22} {stages}", flush=True)

    for original in chosen:
        with tempfile.TemporaryDirectory() as folder:
            show(original.model, original.library, torch_rows(original, Path(folder)))
    for model in ("vgg16", "vgg19"):
        if not arguments.only or model in arguments.only:
            with tempfile.TemporaryDirectory() as folder:
                show(model, "keras", keras_rows(model, Path(folder)))
    print(f"largest of all: {worst:.1e}; allowed: {HIGHEST:.0e}", flush=True)
    others = 0
    if not arguments.only:  # vision transformers have originals in transformers, too
        command = [sys.executable, str(Path(__file__).with_name("vit_parity.py"))]
        others = subprocess.run([*command, "--originals", sys.executable], check=False).returncode
    sys.exit(int(others != 0 or not worst <= HIGHEST))


if __name__ == "__main__":
    main()
