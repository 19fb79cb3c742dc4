"""Folds: all works of a collection divided anew, so that each is in the test split of one fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial

import numpy as np

from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.data.joined import JoinedImages
from artjax.data.splits import SPLITS, divide, shares_of
from artjax.data.works import Split
from artjax.errors import DataError

# Of all works, as in a collection that is cut once.
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class FoldedCanvases(Canvases):
    """Canvases that are divided anew, whatever the prepared splits are.

    With folds, the works are divided into parts of equal size, stratified by the labels that are asked
    for, with a work, its details and its near-duplicates in one part. The test split of a fold is its
    part; validation is cut from the rest in the same way. Without folds, there is one division, with the
    shares of a collection that is cut once.

    What the build keeps out of validation and test, it keeps out here: works with contradicting labels.
    They are in train of every fold. Where all works of a painter are in one split, they are in train
    where he is, and else in none.

    Attributes:
      folds: number of folds; 0 for one division.
      fold: number of this one, from 0.
      by: what works are kept in one split by, such as `artist`; empty to divide them one by one.
      seed: another one cuts other parts.
    """

    folds: int = 0
    fold: int = 0
    by: str = ""
    seed: int = 0

    @property
    def split_by(self) -> str:
        """What works are kept in one split by."""
        return self.by

    def duplicated_in_train(self, name: str) -> None:
        """None: near-duplicates are always in one split of a fold."""
        return None

    def split(self, name: str, label_features: dict[str, str]) -> Split:
        """Opens a split of the fold, with its works that have at least one of the labels.

        Raises:
          DataError: if no work is left.
        """
        key = tuple(sorted(label_features.items()))
        if key not in self._opened:
            whole = self._whole(key)
            self._opened[key] = whole, np.asarray(self._divided(whole))
        whole, splits = self._opened[key]
        rows = np.flatnonzero(splits == name)
        if not len(rows):
            what = f"fold {self.fold} of {self.folds}" if self.folds else "the division"
            apart = f", and all of one {self.by} are in one split" if self.by else ""
            raise DataError(
                f"{what} has no {name} work: '{self.prepared.name}' has only {len(whole)} works with a "
                f"label for {', '.join(label_features)}{apart}"
            )
        return replace(whole.only(rows), name=name)

    def kept_out(self, label_features: dict[str, str]) -> int:
        """How many pictures with one of the labels are never tested, for their contradicting labels."""
        return int(self._kept_out(self._whole(tuple(sorted(label_features.items())))).sum())

    @cached_property
    def _opened(self) -> dict[tuple[tuple[str, str], ...], tuple[Split, np.ndarray]]:
        """All works, and the split of each, by the labels that were asked for: a run asks often."""
        return {}

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
        """The split of each work; empty for those that are in none."""
        classes = [
            [(task, int(values[i])) for task, values in whole.labels.items() if values[i] >= 0]
            for i in range(len(whole))
        ]
        groups = self.groups(whole, self.by).tolist()
        kept_out = self._kept_out(whole)
        # Where painters are kept apart, each is divided with all his works.
        free = range(len(whole)) if self.by else np.flatnonzero(~kept_out).tolist()
        splits = ["train"] * len(whole)
        for part, i in zip(self._cut(groups, classes, free), free, strict=True):
            splits[i] = "" if kept_out[i] and part != "train" else part
        return splits

    def _cut(
        self, groups: list[str], classes: list[list[tuple[str, int]]], works: Sequence[int]
    ) -> list[str]:
        """The split of each of some works, given by their indices."""
        cut = partial(_cut, groups, classes, by_pictures=bool(self.by), seed=self.seed)
        if not self.folds:
            return cut(works, shares_of(SPLITS))
        fold_of = cut(works, {f"fold{number}": 1 / self.folds for number in range(self.folds)})
        rest = [i for i, fold in zip(works, fold_of, strict=True) if fold != f"fold{self.fold}"]
        validation = _VALIDATION_SHARE * self.folds / (self.folds - 1)
        of_rest = cut(rest, {"train": 1 - validation, "validation": validation})
        split_of = dict(zip(rest, of_rest, strict=True))
        return [split_of.get(i, "test") for i in works]

    def _kept_out(self, whole: Split) -> np.ndarray:
        """Whether a picture is for train only, bool [N].

        Where painters are kept apart, one of which a picture that looks the same has another label; else
        any work that looks like one of these, also through others.
        """
        if self.by:
            return np.isin(whole.file_names, sorted(self._in_conflict()))
        columns = (self._of_all(column).tolist() for column in ("file_name", "work_id"))
        works = dict(zip(*columns, strict=True))
        group_of = self.group_of_works()
        groups = {group_of[works[name]] for name in self._in_conflict() if name in works}
        return np.asarray([group_of[work] in groups for work in whole.work_ids.tolist()], bool)

    def _in_conflict(self) -> set[str]:
        """File names of the pictures that the build keeps out of validation and test."""
        if self.prepared.metadata.get("conflicts") != "train":
            return set()
        rows = reports.read_near_duplicates(self.reports) or []
        return {
            name for row in rows if row.conflict for name in (row.file_name, row.near_duplicate)
        }


def _cut(
    groups: Sequence[str],
    classes: Sequence[Sequence[tuple[str, int]]],
    works: Sequence[int],
    shares: Mapping[str, float],
    *,
    by_pictures: bool,
    seed: int,
) -> list[str]:
    """The part of each of some works, given by their indices."""
    parts = divide(
        [groups[i] for i in works],
        [classes[i] for i in works],
        shares=shares,
        by_pictures=by_pictures,
        seed=seed,
    )
    return [part or "" for part in parts]


def notes(data: Canvases, label_features: dict[str, str]) -> list[str]:
    """What is to be said of a division, in lines.

    Args:
      data: the canvases as a configuration wants them divided.
      label_features: for each task, the name of the feature that holds its label.

    Raises:
      DataError: if the works of a class are kept in one split, and the class is to be named.
    """
    for task, feature in label_features.items():
        if feature == data.split_by:
            raise DataError(
                f"task {task}: all works of one {feature} are in one split of '{data.prepared.name}' "
                f"(split_by), so no {feature} of test is in train; leave the task or split_by out"
            )
    if not isinstance(data, FoldedCanvases) or data.fold:
        return []
    lines = []
    if data.by:
        lines.append(f"splits: all works of one {data.by} are in one")
    if number := contradicting(data, label_features):
        lines.append(f"splits: {never_tested(number)}")
    return lines


def contradicting(data: Canvases, label_features: dict[str, str]) -> int:
    """How many pictures a division anew never tests, for their contradicting labels."""
    return data.kept_out(label_features) if isinstance(data, FoldedCanvases) else 0


def never_tested(number: int) -> str:
    """What is said of `contradicting`."""
    return f"{number:,} pictures have a near-duplicate with another label: they are never tested"


def divided_anew(data: Canvases, folds: int, fold: int, split_by: str, seed: int = 0) -> Canvases:
    """The canvases of a collection as a configuration wants them divided.

    Args:
      data: as they are prepared.
      folds: number of folds, or 0.
      fold: number of the one that is tested.
      split_by: what works are kept in one split by; empty for what the set was built with.
      seed: another one cuts other folds. A division without folds has no seed: runs with other seeds
        are tested on the same works.

    Raises:
      DataError: if the collection has an official list, which decides what is tested.
    """
    if folds:
        return fold_of(data, folds, fold, split_by, seed)
    return fold_of(data, 0, 0, split_by) if split_by not in ("", data.split_by) else data


def fold_of(
    data: Canvases, folds: int, fold: int, split_by: str = "", seed: int = 0
) -> FoldedCanvases:
    """The canvases of a collection, divided into folds, or once more without folds.

    Args:
      data: as they are prepared.
      folds: number of folds, or 0.
      fold: number of the one that is tested.
      split_by: what works are kept in one split by; empty for what the set was built with.
      seed: another one cuts other parts.

    Raises:
      DataError: if the collection has an official list, which decides what is tested.
    """
    if data.prepared.metadata.get("official"):
        asked = f"folds={folds}" if folds else f"split_by={split_by}"
        raise DataError(
            f"--config.{asked}: '{data.prepared.name}' has an official test list, which decides what is "
            f"tested; leave {asked.partition('=')[0]} out"
        )
    values = {field.name: getattr(data, field.name) for field in fields(Canvases)}
    by = split_by or data.split_by
    folded = FoldedCanvases(**values, folds=folds, fold=fold, by=by, seed=seed)
    folded.group_of_works(by)  # raises if there is no such label
    return folded
