"""The page of the map: works of a split, near each other if the network takes them for alike."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image

from artjax import config as config_lib
from artjax.errors import DataError
from artjax.evaluation import train_embeddings
from artjax.explain.works_map import SIDE_PX, places, works_map
from artjax.modes.explain.looked_at import Settings, small_copies
from artjax.modes.explain.page import Page
from artjax.runs import Run, with_data

MOST = 1000
"""Works on a map; of more each would be too small to see."""
_FEWEST = 5
_UNKNOWN = (120, 120, 120)


def write(folder: Path, run: Run, name: str, settings: Settings) -> Page:
    """Draws the map of a split.

    Raises:
      DataError: if it has fewer than 5 works.
    """
    opened = with_data(run, settings.data_dir, settings.canvas_dir)
    split = opened.data.split(name, config_lib.label_features(run.config))
    total = len(split)
    if total < _FEWEST:
        raise DataError(f"the split {name} has {total} works; a map needs {_FEWEST} or more")
    rng = np.random.default_rng(run.config.seed)
    indices = np.sort(rng.choice(total, min(MOST, total), replace=False))
    where = places(train_embeddings.of_works(opened, split, indices), run.config.seed)
    split = split.only(indices)
    small = small_copies(opened, split, folder)
    task = next(iter(run.classes))
    colours = _colours(len(run.classes[task]))
    numbers = split.labels[task].tolist()
    pictures = []
    for file in split.file_names.tolist():
        with Image.open(folder / small[file].path) as picture:
            pictures.append(picture.convert("RGB"))
    frames = [colours[n] if n >= 0 else _UNKNOWN for n in numbers]
    works_map(pictures, where, frames).save(folder / "map.png")
    there = sorted(set(numbers) - {-1})
    values = {
        "split": name,
        "task": task,
        "side": SIDE_PX,
        "count": len(split),
        "total": total,
        "keys": [(run.classes[task][n], "#{:02x}{:02x}{:02x}".format(*colours[n])) for n in there],
    }
    return Page("map.html", values, [f"{len(split):,} of {total:,} works of {name} on the map"])


def _colours(count: int) -> list[tuple[int, int, int]]:
    """Colours that are told apart: around the circle, every other one darker."""
    found = []
    for i in range(count):
        red, green, blue = colorsys.hsv_to_rgb(i / count, 0.85, 0.95 if i % 2 else 0.6)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found
