"""Labels to look at again after a cross-validation: no work was predicted by what had learnt from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from artjax.data.works import Split
from artjax.evaluation.evaluate import Evaluated
from artjax.evaluation.label_errors import LabelsToCheck, labels_to_check
from artjax.evaluation.metrics import Predictions
from artjax.modes.labels import page
from artjax.runtime.mesh import is_first_process


class LabelsOfFolds:
    """Collects what each fold says of its test works."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[np.ndarray, Predictions, np.ndarray]]] = {}
        self._splits: dict[str, Split] = {}
        self._last: Evaluated | None = None

    def add(self, found: Evaluated) -> None:
        """Adds a fold: what its run or runs say of its test works."""
        for task, (known, of_task) in found.predictions.items():
            in_train = np.isin(of_task.labels, found.train.labels[task])
            part = found.split.file_names[known], of_task, in_train
            self._parts.setdefault(task, []).append(part)
        self._splits[f"fold{len(self._splits)}"] = found.split
        self._last = found

    def write(self, folder: Path) -> Mapping[str, LabelsToCheck]:
        """Writes the page and the table of all folds, in process 0.

        Returns:
          By task.

        Raises:
          WorkdirError: if they cannot be written.
        """
        assert self._last is not None
        found = {}
        for task, parts in self._parts.items():
            names, predictions, in_train = zip(*parts, strict=True)
            together = Predictions(
                np.concatenate([part.labels for part in predictions]),
                np.concatenate([part.log_probabilities for part in predictions]),
            )
            found[task] = labels_to_check(np.concatenate(names), together, np.concatenate(in_train))
        if is_first_process():
            of = page.Collection(self._last.data, self._splits, self._last.classes)
            page.write(folder, found, of)
        return found
