"""Which works of train a network takes for alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax.data.works import Split
from artjax.evaluation import embeddings, train_embeddings
from artjax.evaluation.embeddings import Neighbours
from artjax.evaluation.predict import batch_of
from artjax.prepare.seeing import Seen
from artjax.runs import OpenRun, Run, with_data

MOST = 20_000
"""Train works that are embedded where the run has kept none; as many as `eval.kept_works` keeps."""


class Near(NamedTuple):
    """A work of train that is near a picture.

    Attributes:
      work: its number in `TrainWorks.split`.
      file_name: in the collection.
      labels: by task; without those that are not known.
      similarity: cosine of the embeddings, in [-1, 1].
    """

    work: int
    file_name: str
    labels: dict[str, str]
    similarity: float


class TrainWorks(NamedTuple):
    """Works of train, and where the network of a run sees them.

    Attributes:
      opened: the run, with its data.
      split: these works; others of train were not drawn.
      embeddings: float32 [M, C], each of length 1.
    """

    opened: OpenRun
    split: Split
    embeddings: np.ndarray

    @classmethod
    def of(cls, opened: OpenRun) -> TrainWorks:
        """Those that the run has kept (`eval.kept_works`); without these it is one pass over train."""
        run = opened.run
        kept = train_embeddings.kept(run.workdir, run.step)
        if kept is None:
            kept = train_embeddings.of_train(opened, run.config.eval.kept_works or MOST)
        train = opened.data.split("train", config_lib.label_features(run.config))
        return cls(opened, train.only(kept.indices), kept.works.astype(np.float32))

    def near(self, queries: np.ndarray, count: int) -> list[tuple[Near, ...]]:
        """The nearest works of each query, the nearest first; exact search.

        Args:
          queries: embeddings by the same network, float32 [N, C], each of length 1.
          count: of works for each query, 1 or more.
        """
        found = embeddings.nearest(queries, self.embeddings, count)
        return [self._named(Neighbours(*row)) for row in zip(*found, strict=True)]

    def _named(self, of_query: Neighbours) -> tuple[Near, ...]:
        return tuple(
            Near(int(i), str(self.split.file_names[i]), self._labels(int(i)), float(similarity))
            for i, similarity in zip(*of_query, strict=True)
        )

    def _labels(self, index: int) -> dict[str, str]:
        classes = self.opened.run.classes
        numbers = {task: int(of_task[index]) for task, of_task in self.split.labels.items()}
        return {task: classes[task][number] for task, number in numbers.items() if number >= 0}


def nearest_works(
    run: Run,
    pictures: Sequence[Seen],
    count: int = 5,
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
) -> list[tuple[Near, ...]]:
    """The nearest works of train of some pictures. For many calls keep a `TrainWorks`.

    Args:
      run: whose network and train.
      pictures: usable ones, on canvases of the run's size.
      count: of works for each picture, 1 or more.
      data_dir: the present data directory, if it is another than in training.
      canvas_dir: the present folder for canvases, if it is another.

    Raises:
      WorkdirError: if the data has changed since training.
      DataError: if the data cannot be found.
    """
    train = TrainWorks.of(with_data(run, data_dir, canvas_dir))
    return train.near(embeddings_of(run, pictures), count)


def embeddings_of(run: Run, pictures: Sequence[Seen]) -> np.ndarray:
    """The embeddings of pictures by the network of a run, float32 [N, C], each of length 1."""
    outputs = run.network.trunk_outputs(run.variables, batch_of(run, pictures))
    return embeddings.unit(np.asarray(outputs)[: len(pictures)])
