"""The torch side of features.py: each line of input is a number of batches to compute."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import common

try:
    import torch
except ModuleNotFoundError:
    torch = None  # `start` reports it

TIMM = {
    "vit_small_patch16": "vit_small_patch16_224",
    "vit_base_patch16": "vit_base_patch16_224",
    "dinov2_small": "vit_small_patch14_dinov2",
    "dinov2_base": "vit_base_patch14_dinov2",
    "clip_base_patch16": "vit_base_patch16_clip_224",
    "siglip_base_patch16": "vit_base_patch16_siglip_224",
}


def _import_libraries() -> None:
    """Imports torchvision, whose compiled part may not match a CPU build of torch."""
    register = torch.library.register_fake

    def without_torchvision(name: str, *rest: object, **named: object) -> object:
        if name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *rest, **named)

    torch.library.register_fake = without_torchvision


def start(name: str, size: str, batch: str, mode: str) -> tuple[str, Callable[[str], float]]:
    """Prepares the job; `mode` is eager or compile."""
    if torch is None:
        raise common.CannotRunError("torch is not installed")
    _import_libraries()
    versions = {"torch": torch.__version__}
    if name in TIMM:
        import timm

        model = timm.create_model(TIMM[name], num_classes=0, img_size=int(size))
        versions["timm"] = timm.__version__
    else:
        import torchvision

        model = getattr(torchvision.models, name)()
        versions["torchvision"] = torchvision.__version__
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device, memory_format=torch.channels_last).eval()
    images = torch.rand(int(batch), 3, int(size), int(size), device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    forward = torch.compile(model) if mode == "compile" else model

    def batches(line: str) -> float:
        with torch.inference_mode():
            since = time.perf_counter()
            for _ in range(int(line)):
                forward(images)
            if device == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - since

    batches("1")
    return json.dumps(versions), batches


if __name__ == "__main__":
    common.serve(lambda: start(*sys.argv[1:]))
