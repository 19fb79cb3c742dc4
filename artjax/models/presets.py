"""The inputs that published weights expect, by name: `--config.preprocessing.preset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from artjax.models.preprocessing import Preprocessing

# The numbers of one preset differ by less between publishers, who round them differently.
_NEAR = 3 / 255

_HALF = (0.5, 0.5, 0.5)
_IMAGENET = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "channel_order": "RGB",
}
# In RGB, as everywhere here: Caffe's own files list the means of blue, green and red.
_CAFFE = {
    "mean": (122.679 / 255, 116.669 / 255, 104.006 / 255),
    "std": (1 / 255, 1 / 255, 1 / 255),
    "channel_order": "BGR",
}
# The authors of VGG counted other pixels; their weights bring their own numbers here.
_CAFFE_OF_VGG = ("caffe", (123.68 / 255, 116.779 / 255, 103.939 / 255), _CAFFE["std"])
CLIP = Preprocessing(
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    interpolation="cubic",
)
"""OpenAI's CLIP: its own mean and deviation, the whole central square, and a cubic filter."""
SIGLIP = Preprocessing(interpolation="cubic")
"""Google's SigLIP: pixels in [-1, 1]. Its own squashes the whole image to a square; here it is cut."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "imagenet": _IMAGENET,
    "caffe": _CAFFE,
    "tf": {"mean": _HALF, "std": _HALF, "channel_order": "RGB"},
    "clip": asdict(CLIP),
    "siglip": asdict(SIGLIP),
    "unit": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "channel_order": "RGB"},
}
"""Fields of `Preprocessing`, by the name of the preset.

`imagenet`: RGB by the statistics of ImageNet (torchvision, timm). `caffe`: BGR, 0 to 255, minus the mean
of ImageNet's pixels. `tf`: RGB in [-1, 1] (TensorFlow, JAX). `unit`: RGB in [0, 1]. These leave crop and
filter as the weights expect; `clip` and `siglip` are of one publisher each, and set them too.
"""


def with_preset(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Preprocessing` that a configuration sets: those of its preset, and its own instead.

    Args:
      fields: `config.preprocessing`; an empty value is one that is not set.
    """
    own = {name: value for name, value in fields.items() if value}
    preset = own.pop("preset", "")
    return {**(PRESETS[preset] if preset else {}), **own}


def probably_meant(mean: Sequence[float], std: Sequence[float]) -> str:
    """The preset whose numbers these are, on the scale of 0 to 255 or of 0 to 1; empty if none is near.

    Args:
      mean: of red, green and blue, or of blue, green and red; () if it is not set.
      std: likewise; not considered where it is not positive.
    """
    std = std if all(value > 0 for value in std) else ()
    known = [*((name, of["mean"], of["std"]) for name, of in PRESETS.items()), _CAFFE_OF_VGG]
    found = [
        (max(away), name)
        for name, its_mean, its_std in known
        for order in (1, -1)
        if (away := [*_away(mean, its_mean[::order]), *_away(std, its_std[::order])])
    ]
    nearest, name = min(found, key=lambda one: one[0], default=(1.0, ""))
    return name if nearest < _NEAR else ""


def _away(values: Sequence[float], of_preset: Sequence[float]) -> list[float]:
    """The largest difference, on the better of both scales; [] where no three values are set."""
    if len(values) != 3:
        return []
    scaled = ([value / scale for value in values] for scale in (1, 255))
    return [min(max(abs(a - b) for a, b in zip(of, of_preset, strict=True)) for of in scaled)]
