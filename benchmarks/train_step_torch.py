"""The torch side of train_step.py: each line of input is a number of steps to do.

The first line of output has the versions as JSON; each line after it has the seconds that the steps
took. The model is torchvision's VGG where torchvision is installed, and else the same layers. The
memory layout is channels_last, which is faster in torch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import common

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError:
    torch = None  # `start` reports it
try:
    import torchvision
except (ImportError, RuntimeError):  # RuntimeError: its compiled part does not match torch
    torchvision = None

STAGES = {
    "vgg_small": ((16,), (32,), (64, 64), (128, 128)),
    "vgg11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


def create_model(name: str, classes: int) -> nn.Module:
    """The model of artjax's name."""
    if torchvision and name != "vgg_small":
        model: nn.Module = getattr(torchvision.models, name)(num_classes=classes)
        return model
    base = name if name == "vgg_small" else name.partition("_")[0]
    batch_norm = name == "vgg_small" or name.endswith("_bn")
    layers: list[nn.Module] = []
    before = 3
    for widths in STAGES[base]:
        for channels in widths:
            layers.append(nn.Conv2d(before, channels, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            before = channels
        layers.append(nn.MaxPool2d(2))
    if name == "vgg_small":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, classes)]
        return nn.Sequential(*layers)
    layers += [nn.AdaptiveAvgPool2d(7), nn.Flatten()]
    before = 512 * 7 * 7
    for width in (4096, 4096):
        layers += [nn.Linear(before, width), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, classes))


def start(
    name: str, size: str, batch: str, mode: str, classes: str
) -> tuple[str, Callable[[str], float]]:
    """Prepares the job; `mode` is MODE,DTYPE (eager or compile; float32 or bfloat16)."""
    if torch is None:
        raise common.CannotRunError("torch is not installed")
    mode, dtype = mode.split(",")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    model = create_model(name, int(classes)).to(device, memory_format=torch.channels_last).train()
    images = torch.rand(int(batch), 3, int(size), int(size), device=device) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, int(classes), (int(batch),), device=device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=0.01,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        fused=device == "cuda",
    )
    forward: Any = torch.compile(model) if mode == "compile" else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = functional.cross_entropy(forward(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    versions = {"torch": torch.__version__}
    if torchvision:
        versions["torchvision"] = torchvision.__version__

    def steps(line: str) -> float:
        begin = time.perf_counter()
        for _ in range(int(line)):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    return json.dumps(versions), steps


if __name__ == "__main__":
    common.serve(lambda: start(*sys.argv[1:]))
