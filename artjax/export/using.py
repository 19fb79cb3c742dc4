"""The code that uses an export: a picture file becomes the input, and the answers are printed."""

from __future__ import annotations

from typing import NamedTuple

from artjax.export.program import Program


class Use(NamedTuple):
    """How an export is used.

    Attributes:
      code: that a reader of the card copies.
      needs: the packages that it imports, as `pip install` takes them.
    """

    code: str
    needs: str


def values_of(program: Program) -> dict[str, str]:
    """The expression of each input, by name."""
    image = {"image": "image[None]"}
    return image | ({"aspect": "np.float32([aspect])"} if program.inside else {})


def arguments(program: Program) -> str:
    """The inputs by position."""
    return ", ".join(values_of(program).values())


def named(program: Program) -> str:
    """The inputs as the inside of a dict."""
    return ", ".join(f'"{name}": {value}' for name, value in values_of(program).items())


def code(
    program: Program,
    *,
    imports: str,
    needs: str,
    opening: str,
    call: str,
    values: str,
    about: str = 'json.load(open("artjax.json"))',
) -> Use:
    """A program that prints the five most probable labels of `picture.jpg`.

    Args:
      program: what is exported.
      imports: of the library that runs it.
      needs: its package.
      opening: the statement that opens the file as `network`.
      call: the statement that makes `found`.
      values: the expression of the result of a `task`, [1, classes].
      about: the expression of what must be known.
    """
    logits = (
        []
        if program.inside
        else ["    values = np.exp(values - values.max())", "    values /= values.sum()"]
    )
    lines = [
        "import json",
        imports,
        "import numpy as np",
        "from PIL import Image, ImageOps",
        "",
        opening,
        f"about = {about}",
        'picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")',
        *picture(program),
        call,
        'for task, labels in about["tasks"].items():',
        f"    values = {values}[0]",
        *logits,
        "    for i in np.argsort(-values)[:5]:",
        '        print(f"{task}: {labels[i]} {values[i]:.4f}")',
    ]
    return Use("\n".join(lines), f"{needs} numpy pillow")


def picture(program: Program) -> list[str]:
    """The statements that make `image` (and `aspect`) of an upright `picture`."""
    preprocessing = program.run.preprocessing
    if program.inside:
        return [
            'side = about["preprocessing"]["canvas_px"]',
            "image = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))",
            "aspect = picture.width / picture.height",
        ]
    filters = {"linear": "BILINEAR", "cubic": "BICUBIC"}
    lines = [
        'how = about["preprocessing"]',
        'side = how["crop_share"] * min(picture.size)',
        "left, top = (picture.width - side) / 2, (picture.height - side) / 2",
        'size, box = (how["image_px"],) * 2, (left, top, left + side, top + side)',
        f"picture = picture.resize(size, Image.Resampling.{filters[preprocessing.interpolation]}, box)",
        'image = (np.float32(picture) / 255 - np.float32(how["mean"])) / np.float32(how["std"])',
    ]
    return lines + ["image = image[..., ::-1].copy()"] * (preprocessing.channel_order == "BGR")
