"""What a network looked at in a picture, and the works of train that it takes for alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from artjax import config as config_lib
from artjax.data.works import take
from artjax.errors import ArtjaxError
from artjax.evaluation import alike
from artjax.evaluation.alike import TrainWorks, embeddings_of
from artjax.evaluation.predict import Answers
from artjax.explain import heat_maps, overlay
from artjax.pages.pictures import small_size
from artjax.prepare.seeing import Seen
from artjax.runs import Run, with_data

NEAREST = 5
SHOWN_PX = 320
"""Side of the canvas from which a picture is shown: more than small networks see."""


class Near(NamedTuple):
    """A work of train that is near.

    Attributes:
      similarity: cosine, in [-1, 1].
      file_name: of the work in its collection.
      labels: by task; without those that are not known.
      picture: a small copy in true proportions.
    """

    similarity: float
    file_name: str
    labels: Mapping[str, str]
    picture: Image.Image


class Explanation(NamedTuple):
    """What is shown beside an answer.

    Attributes:
      picture: in true proportions, as it was cleaned.
      heat_maps: for each task, the picture coloured where the network looks for the first label.
      nearest: the nearest works of train, the nearest first; empty where these are not at hand.
    """

    picture: Image.Image
    heat_maps: Mapping[str, Image.Image]
    nearest: tuple[Near, ...]


class Explainer:
    """Explains what the network of a run says of pictures.

    Attributes:
      why_no_nearest: why the nearest works of train are not known; empty if they are.
    """

    def __init__(self, run: Run, data_dir: Path | None, canvas_dir: Path | None) -> None:
        """Opens the works of train, if they are at hand.

        Args:
          run: whose network.
          data_dir: the present data directory, if it is another than in training.
          canvas_dir: the present folder for canvases, if it is another.
        """
        self._run = run
        self._train: TrainWorks | None = None
        self.why_no_nearest = ""
        try:
            self._train = TrainWorks.of(with_data(run, data_dir, canvas_dir))
        except ArtjaxError as error:
            self.why_no_nearest = str(error)

    def explain(self, pictures: Sequence[Seen], found: Answers) -> list[Explanation]:
        """What is shown beside the answers.

        Args:
          pictures: usable ones.
          found: what is said of them.
        """
        side = config_lib.canvas_size(self._run.config)
        images = np.stack([seen.canvases[side] for seen in pictures])
        shown = [_small(seen.canvases[SHOWN_PX], seen.aspect) for seen in pictures]
        aspect = np.asarray([seen.aspect for seen in pictures])
        maps = {
            task: heat_maps(self._run, images, of_task.argmax(axis=1), aspect=aspect, task=task)
            for task, of_task in found.probabilities.items()
        }
        nearest = self._nearest(pictures)
        return [
            Explanation(
                picture,
                {task: overlay(picture, of.maps[row], of.share) for task, of in maps.items()},
                nearest[row],
            )
            for row, picture in enumerate(shown)
        ]

    def _nearest(self, pictures: Sequence[Seen]) -> list[tuple[Near, ...]]:
        if self._train is None:
            return [()] * len(pictures)
        found = self._train.near(embeddings_of(self._run, pictures), NEAREST)
        return [tuple(self._shown(near) for near in of_picture) for of_picture in found]

    def _shown(self, near: alike.Near) -> Near:
        assert self._train is not None
        split = self._train.split
        image = take(split.images, split.rows[[near.work]])[0]
        picture = _small(image, float(split.aspect[near.work]))
        return Near(near.similarity, near.file_name, near.labels, picture)


def _small(canvas: np.ndarray, aspect: float) -> Image.Image:
    return Image.fromarray(canvas).resize(small_size(aspect), Image.Resampling.LANCZOS)
