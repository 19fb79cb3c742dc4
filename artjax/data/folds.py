"""Folds: all works of a collection divided anew, so that each is in the test split of one fold."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from artjax.data.canvases import Canvases
from artjax.data.joined import JoinedImages
from artjax.data.splits import divide
from artjax.data.works import Split
from artjax.errors import DataError

# Of all works, as in a collection that is cut once.
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class FoldedCanvases(Canvases):
    """Canvases with the splits of one fold, whatever the prepared splits are.

    The works are divided into `folds` parts of equal size, stratified by the labels that are asked for,
    with a work, its details and its near-duplicates in one part. The test split of a fold is its part;
    validation is cut from the rest in the same way.

    Attributes:
      folds: number of folds.
      fold: number of this one, from 0.
    """

    folds: int = 0
    fold: int = 0

    def duplicated_in_train(self, name: str) -> None:
        """None: near-duplicates are always in one split of a fold."""
        return None

    def split(self, name: str, label_features: dict[str, str]) -> Split:
        """Opens a split of the fold, with its works that have at least one of the labels.

        Raises:
          DataError: if no work is left.
        """
        whole = self._whole(tuple(sorted(label_features.items())))
        rows = np.flatnonzero(np.asarray(self._divided(whole)) == name)
        if not len(rows):
            raise DataError(
                f"fold {self.fold} of {self.folds} has no {name} work: '{self.prepared.name}' has only "
                f"{len(whole)} works with a label for {', '.join(label_features)}"
            )
        return replace(whole.only(rows), name=name)

    def _whole(self, label_features: tuple[tuple[str, str], ...]) -> Split:
        """All works of all splits with at least one of the labels."""
        features = dict(label_features)
        names = sorted(self.prepared.splits)
        tables = [self.columns(name) for name in names]
        columns = {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}
        known = np.zeros(len(columns["aspect"]), bool)
        for feature in features.values():
            known |= columns[f"label/{feature}"] >= 0
        rows = np.flatnonzero(known)
        return Split(
            name="",
            images=JoinedImages([self.images(name) for name in names]),
            rows=rows,
            aspect=columns["aspect"][rows],
            labels={task: columns[f"label/{f}"][rows] for task, f in features.items()},
            file_names=columns["file_name"][rows],
            left_out=0,
            years=columns["year"][rows],
            work_ids=columns["work_id"][rows],
        )

    def _divided(self, whole: Split) -> list[str]:
        """The split of each work in this fold."""
        classes = [
            [(task, int(values[i])) for task, values in whole.labels.items() if values[i] >= 0]
            for i in range(len(whole))
        ]
        groups = self.groups(whole).tolist()
        parts = {f"fold{number}": 1 / self.folds for number in range(self.folds)}
        fold_of = divide(groups, classes, shares=parts)
        rest = [i for i, fold in enumerate(fold_of) if fold != f"fold{self.fold}"]
        validation = _VALIDATION_SHARE * self.folds / (self.folds - 1)
        cut = divide(
            [groups[i] for i in rest],
            [classes[i] for i in rest],
            shares={"train": 1 - validation, "validation": validation},
        )
        splits = ["test"] * len(whole)
        for i, split in zip(rest, cut, strict=True):
            splits[i] = split or "train"
        return splits


def fold_of(data: Canvases, folds: int, fold: int) -> FoldedCanvases:
    """The canvases of a collection, divided into folds.

    Raises:
      DataError: if the collection has an official list, which decides what is tested.
    """
    if data.prepared.metadata.get("official"):
        raise DataError(
            f"--config.folds={folds}: '{data.prepared.name}' has an official test list, which "
            "decides what is tested; leave folds out"
        )
    values = {field.name: getattr(data, field.name) for field in fields(Canvases)}
    return FoldedCanvases(**values, folds=folds, fold=fold)
