"""Compares published weights here with the original implementation, and names pictures by them.

Needs torch and torchvision beside the extra `weights`; artjax itself never imports them.

    python tools/real_weights.py FOLDER     # parity on ten of its pictures, and their likeliest words

`tools/weights_parity.py` compares all networks, on weights that a formula makes. This one takes those of
`--config.model.weights=squeezenet1_1`, puts them into torchvision's module, and fails above 1e-4 of the
largest value of a stage. What is in the pictures, ImageNet's words should say.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from weights_parity import (
    HIGHEST,
    _classifier,
    _import_torch,
    originals,
    our_outputs,
    outputs_of,
)

NAME = "squeezenet1_1"
SIDE, OF = 224, 256
PICTURES = 10  # whose words are shown
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def state_of(network: Any) -> dict[str, np.ndarray]:
    """The published arrays under the names of the original: layer for layer in the order of both.

    This mapping knows nothing of ours, which goes by names.
    """
    from artjax.models import weights

    arrays = weights.read(NAME).arrays

    def order(layer: str) -> tuple[int, int]:
        number = int(re.search(r"\d+", layer).group())
        return number, ("squeeze1x1", "expand1x1", "expand3x3", "").index(layer.partition("/")[2])

    layers = sorted({name.rpartition("/")[0] for name in arrays}, key=order)
    modules = [name.removesuffix(".weight") for name in network.state_dict() if "weight" in name]
    state = {}
    for module, layer in zip(modules, layers, strict=True):
        state[f"{module}.weight"] = arrays[f"{layer}/0"].transpose(3, 2, 0, 1).copy()
        state[f"{module}.bias"] = arrays[f"{layer}/1"]
    return state


def crops_of(files: list[Path]) -> np.ndarray:
    """The central squares of 224 px of pictures whose shorter side is scaled to 256, uint8 [N, …]."""
    crops = []
    for file in files:
        image = Image.open(file).convert("RGB")
        scale = OF / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = (width - SIDE) // 2, (height - SIDE) // 2
        scaled = image.resize((width, height), Image.Resampling.BILINEAR)
        crops.append(np.asarray(scaled.crop((left, top, left + SIDE, top + SIDE))))
    return np.stack(crops)


def main() -> None:
    """Prints the parity of each stage, and the words."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with pictures; folders in it count, too")
    folder = parser.parse_args().folder
    _import_torch()
    import torch
    from torchvision.models import _meta

    from artjax.models.translation import CAFFE

    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        sys.exit(f"{folder}: no pictures ({', '.join(SUFFIXES)})")
    files = [
        found[i] for i in np.linspace(0, len(found) - 1, min(PICTURES, len(found))).astype(int)
    ]
    pixels = np.asarray(CAFFE.normalise(crops_of(files)))
    original = next(o for o in originals() if o.model == NAME)
    network = original.create().eval()
    state = state_of(network)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    expected = outputs_of(original, network, pixels)
    ours = our_outputs(NAME, Path(NAME), pixels)
    kernel, bias = (state[f"{original.classifier}.{leaf}"] for leaf in ("weight", "bias"))
    ours["logits"] = _classifier(original, kernel, bias)(ours)
    worst = 0.0
    for stage, values in expected.items():
        away = float(np.abs(ours[stage].reshape(values.shape) - values).max())
        largest = float(np.abs(values).max())
        worst = max(worst, away / largest)
        print(f"{stage:8} largest value {largest:8.3f}, largest difference {away:.1e}")
    logits = ours["logits"] - ours["logits"].max(1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for file, of in zip(files, shares, strict=True):
        best = np.argsort(-of)[:5]
        words = ", ".join(f"{_meta._IMAGENET_CATEGORIES[i]} {of[i]:.0%}" for i in best)
        print(f"{file.relative_to(folder)}: {words}")
    if worst > HIGHEST:
        sys.exit(f"the largest difference is {worst:.1e} of the largest value, above {HIGHEST:g}")


if __name__ == "__main__":
    main()
