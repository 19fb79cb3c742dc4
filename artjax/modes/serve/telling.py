"""An answer as plain values for JSON; pictures in it are data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from artjax.evaluation.predict import ranked
from artjax.modes.serve.answering import Told

_TOP = 5
_JPEG_QUALITY = 85


def as_json(told: Told, classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What is said of a usable picture.

    Args:
      told: from `Answering.answer`.
      classes: of each task, the names in the order of the probabilities.

    Returns:
      `picture`: the cleaned picture, small, in true proportions. `tasks`: for each task `labels`, up to
      five of `label` and `probability`, the most probable first, `unsure` (None where that is not
      known), and `heat_map`, the picture coloured where the network looks for the first label.
      `unlike_train` (None where that is not known). `nearest`: the nearest works of train, the nearest
      first, each with `similarity` (cosine), `file_name`, `labels` by task, and `picture`.
    """
    answer, explanation = told.answer, told.explanation
    assert explanation is not None  # it is usable
    return {
        "picture": data_url(explanation.picture),
        "tasks": {
            task: {
                "labels": [
                    {"label": classes[task][c], "probability": float(of_task[c])}
                    for c in ranked(of_task)[:_TOP]
                ],
                "unsure": answer.unsure[task],
                "heat_map": data_url(explanation.heat_maps[task]),
            }
            for task, of_task in answer.probabilities.items()
        },
        "unlike_train": None if answer.unlikeness is None else answer.unlikeness > 1,
        "nearest": [
            {
                "similarity": near.similarity,
                "file_name": near.file_name,
                "labels": dict(near.labels),
                "picture": data_url(near.picture),
            }
            for near in explanation.nearest
        ],
    }


def data_url(picture: Image.Image) -> str:
    """A picture as a JPEG in a data URL."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
