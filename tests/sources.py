"""Pictures of which one class has another source, and facts of files that tell, or do not."""

from pathlib import Path

import numpy as np
from PIL import Image

from artjax.data.reports import SourceFacts

CLASSES = ("ada", "bo")


def picture(rng: np.random.Generator, upscaled: bool = False) -> Image.Image:
    """Detail at all sizes, as in pictures of the world; or what is left of it at a fifth of the size."""
    height, width = (int(side) for side in rng.integers(60, 80, 2))
    octaves = [
        Image.fromarray(rng.normal(0, 30, (height // n + 2, width // n + 2)).astype(np.float32))
        for n in (1, 2, 4, 8, 16)
    ]
    total = sum(np.asarray(o.resize((width, height), Image.Resampling.BICUBIC)) for o in octaves)
    grey = Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))
    if upscaled:
        grey = grey.resize((width // 5, height // 5), Image.Resampling.LANCZOS)
        grey = grey.resize((width, height), Image.Resampling.BICUBIC)
    return grey.convert("RGB")


def write_folders(folder: Path, works: int, upscaled: bool) -> None:
    """A folder for each class, with labels at random; pictures of "bo" were scaled up, if so asked."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(works):
        name = CLASSES[i % 2]
        made = picture(rng, upscaled and name == "bo")
        made.save(folder / name / f"{i:03d}.png")


def drawn_facts(works: int, seed: int = 0) -> list[SourceFacts]:
    """Facts of files that are drawn without regard to anything."""
    rng = np.random.default_rng(seed)
    return [
        SourceFacts(
            width=int(rng.integers(500, 900)),
            height=int(rng.integers(500, 900)),
            bytes=int(rng.integers(50_000, 90_000)),
            format=str(rng.choice(["JPEG RGB 4:2:0", "PNG RGB"])),
            luma_step=float(rng.integers(0, 20)),
            chroma_step=float(rng.integers(0, 20)),
            profile=int(rng.integers(2)),
            date=str(rng.choice(["", "2014-03-31", "2020-01-01"])),
            sharpness=float(rng.random()),
            half_sharpness=float(rng.random()),
            quarter_sharpness=float(rng.random()),
            border=float(rng.random()),
        )
        for _ in range(works)
    ]
