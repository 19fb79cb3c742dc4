"""The page of class pictures: what the network would most like to see of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from artjax import config as config_lib
from artjax.evaluation.predict import none_usable
from artjax.explain import class_pictures
from artjax.explain.class_pictures import AT_ONCE
from artjax.modes.explain.page import Page, in_parts
from artjax.prepare.seeing import see
from artjax.runs import Run


def write(folder: Path, run: Run, pictures: Sequence[Path]) -> Page:
    """Draws all classes of all tasks; after Ctrl-C those that were done.

    Args:
      folder: a new one.
      run: the run; its seed is that of the pictures.
      pictures: none for noise, or the one with which all begin.

    Raises:
      DataError: if that is not usable.
    """
    start = _start(run, pictures[0]) if pictures else None
    (folder / "pictures").mkdir()
    tasks: list[dict[str, Any]] = []
    interrupted = False
    total = sum(map(len, run.classes.values()))
    with tqdm(total=total, desc="drawing classes", unit="class", disable=None) as bar:
        try:
            for position, (task, names) in enumerate(run.classes.items()):
                tasks.append({"task": task, "pictures": []})
                for numbers in in_parts(range(len(names)), AT_ONCE):
                    drawn = class_pictures(
                        run, numbers, task=task, start=start, seed=run.config.seed
                    )
                    for number, image, probability in zip(numbers, *drawn, strict=True):
                        path = f"pictures/{position}-{number:04d}.png"
                        Image.fromarray(image).save(folder / path)
                        tasks[-1]["pictures"].append((names[number], path, float(probability)))
                    bar.update(len(numbers))
        except KeyboardInterrupt:
            interrupted = True
    done = sum(len(of["pictures"]) for of in tasks)
    values = {
        "tasks": tasks,
        "size": run.config.image_size,
        "start": str(pictures[0]) if pictures else "",
    }
    return Page("classes.html", values, [f"{done:,} of {total:,} classes drawn"], (), interrupted)


def _start(run: Run, path: Path) -> tuple[np.ndarray, float]:
    side = config_lib.canvas_size(run.config)
    seen = see(path, run.record.short_side_px, [side])
    if seen.reason:
        raise none_usable([(path, seen.reason)])
    return seen.canvases[side], seen.aspect
