"""How far a frozen trunk gets with nothing trained: the labels of the nearest works of train.

A head on the same features is worth what it is above this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from artjax.data.works import Split
from artjax.evaluation import train_embeddings
from artjax.evaluation.embeddings import nearest
from artjax.runs import OpenRun

NAME = "nearest_neighbours"
COUNTS = (1, 5, 10, 20)
"""Numbers of neighbours that are tried on validation."""
TEMPERATURE = 0.07


class Works(NamedTuple):
    """Works of a split.

    Attributes:
      embeddings: float32 [N, C], each of length 1.
      labels: int [N], -1 = unknown.
    """

    embeddings: np.ndarray
    labels: np.ndarray

    @property
    def known(self) -> Works:
        """Those with a label."""
        known = self.labels >= 0
        return Works(self.embeddings[known], self.labels[known])


def voted(queries: np.ndarray, train: Works, classes: int) -> np.ndarray:
    """The class that the nearest train works give each query, for each of `COUNTS`, int [COUNTS, N].

    Each neighbour votes for its class with the weight exp(cosine / 0.07): Wu et al., Unsupervised
    Feature Learning via Non-Parametric Instance Discrimination (2018), section 3.4. Of classes with
    equal votes it is the first.

    Args:
      queries: embeddings, float32 [N, C].
      train: works with known labels, at least one.
      classes: number of classes.
    """
    found = nearest(queries, train.embeddings, max(COUNTS))
    weights = np.exp(found.similarities.astype(np.float64) / TEMPERATURE)
    labels = train.labels[found.indices]
    rows = np.arange(len(queries))[:, None]
    answers = []
    for count in COUNTS:
        votes = np.zeros((len(queries), classes))
        np.add.at(votes, (rows, labels[:, :count]), weights[:, :count])
        answers.append(votes.argmax(axis=1))
    return np.stack(answers)


def right_works(
    train: Works, validation: Works, asked: Works, classes: int
) -> tuple[np.ndarray, int] | None:
    """Whether neighbours in train name each work rightly, of those asked whose label is known, bool [N].

    Args:
      train: among these are the neighbours.
      validation: its top-1 chooses the number of neighbours; of equals the fewest.
      asked: what is named.
      classes: number of classes.

    Returns:
      That, and the number of neighbours; None if train or validation has no known label.
    """
    train, validation, asked = train.known, validation.known, asked.known
    if not len(train.labels) or not len(validation.labels):
        return None
    right = voted(validation.embeddings, train, classes) == validation.labels
    best = int(right.mean(axis=1).argmax())
    return voted(asked.embeddings, train, classes)[best] == asked.labels, COUNTS[best]


def of_run(opened: OpenRun, splits: Mapping[str, Split], name: str) -> dict[str, np.ndarray]:
    """By task, what `right_works` says of a split, in the features of the run.

    It is for a run whose features are the outputs of the last stage; they are on the disk, or are
    computed here. All processes must call this together.

    Args:
      opened: the run, with its data.
      splits: train, validation and the split that is asked for.
      name: of that one.

    Returns:
      Nothing for another run, and for train, whose works would be their own neighbours.
    """
    network = opened.run.network
    if name == "train" or opened.features is None or not network.freezes_trunk:
        return {}
    embeddings = {
        of: train_embeddings.of_works(opened, splits[of]) for of in {"train", "validation", name}
    }
    result = {}
    for task, classes in network.classes.items():
        works = {of: Works(embeddings[of], splits[of].labels[task]) for of in embeddings}
        found = right_works(works["train"], works["validation"], works[name], classes)
        if found is not None:
            result[task] = found[0]
    return result
