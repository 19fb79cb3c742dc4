"""How far what is no painting gets: trees on the facts of the files, together and each alone.

A network need not look at the paintings where these tell the classes apart. Of a file's name only its
form counts, without the folders, which may be the classes; neither its length nor its number, which say
how many files a folder has. The date in the file system is no fact, since copying and unpacking change
it, folder by folder.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artjax.data.reports import SourceFacts
from artjax.data.splits import SPLITS
from artjax.runtime.threads import on_one_thread

if TYPE_CHECKING:  # a training needs nothing of what builds
    from artjax.prepare.selection import Selection

# More works make it slower, but not noticeably better.
MOST_TRAIN_WORKS = 6000
TREES, LEAST_LEAF = 100, 3
_TREES_ALONE = 10
_TREES_AT_ONCE = 10  # of 6,000 works of 300 classes, 60 MB
_LEAST_OF_KIND = 5  # works with a word (a format, an ending), which else counts as "another one"
# Of a test to one side, as those of `evaluation.baselines`.
LEVEL = 0.025
_MOST_NAMED = 3
SEE = "--mode describe shows these facts by class"

Columns = dict[str, np.ndarray]
"""For each fact its numbers, float32 [N, columns of the fact]."""


def columns_of(rows: Sequence[SourceFacts], file_names: Sequence[str]) -> Columns:
    """The facts of works as numbers.

    Args:
      rows: a row for each work.
      file_names: of the same works.
    """

    def numbers(*columns: Sequence[float]) -> np.ndarray:
        return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)

    return {
        "shorter side": numbers([min(row.width, row.height) for row in rows]),
        "longer side": numbers([max(row.width, row.height) for row in rows]),
        "width : height": numbers([row.width / row.height for row in rows]),
        "bytes per pixel": numbers([row.bytes / (row.width * row.height) for row in rows]),
        "format": _words([row.format for row in rows]),
        "JPEG tables": numbers([row.luma_step for row in rows], [row.chroma_step for row in rows]),
        "colour profile": numbers([row.profile for row in rows]),
        "date in the file": numbers([_day(row.date) for row in rows]),
        "sharpness": numbers(
            [row.sharpness for row in rows],
            [row.half_sharpness for row in rows],
            [row.quarter_sharpness for row in rows],
        ),
        "border": numbers([row.border for row in rows]),
        "form of the name": _words([form_of(name) for name in file_names]),
    }


def form_of(file_name: str) -> str:
    """Which kinds of characters a file's name has, and its ending, such as `0Aa_ .JPG`.

    It has neither the number of the characters nor their order, nor the folders.
    """
    name = PurePosixPath(file_name)
    kinds = re.sub(r"[^\x00-\x7f]", "é", name.stem)
    for characters, kind in (("[a-z]", "a"), ("[A-Z]", "A"), ("[0-9]", "0")):
        kinds = re.sub(characters, kind, kinds)
    return f"{''.join(sorted(set(kinds)))} {name.suffix}"


def source_baseline(
    columns: Columns, rows: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, Any] | None:
    """What the facts say of validation and test, ready for JSON.

    Extremely randomised trees (Geurts, Ernst & Wehenkel, Extremely Randomized Trees (2006)), with
    settings that nothing is chosen for. A fit takes a second or two for 6,000 works.

    Args:
      columns: of all works.
      rows: those of train and of each other split whose label is known, int [n] each.
      labels: of all works, int [N].

    Returns:
      For each split but train: `NAME_top1`, in [0, 1]; `NAME_right`, a character for each of its rows,
      `1` where it is named rightly, else `0`; and `NAME_alone`, the top-1 of each fact alone, without
      those that are the same for all training works. None where a split has no work, or train one class
      only.
    """
    train = rows["train"]
    if len(np.unique(labels[train])) < 2 or not all(len(of) for of in rows.values()):
        return None
    chosen = np.random.default_rng(0).permutation(len(train))[:MOST_TRAIN_WORKS]
    train = train[np.sort(chosen)]
    others = [name for name in rows if name != "train"]
    held = np.concatenate([rows[name] for name in others])
    ends = np.cumsum([len(rows[name]) for name in others])[:-1]

    def right(features: np.ndarray, trees: int) -> list[np.ndarray]:
        named = _named(features[train], labels[train], features[held], trees)
        return np.split(named == labels[held], ends)

    varying = [name for name, of in columns.items() if np.ptp(of[train], axis=0).any()]
    result: dict[str, Any] = {"train_works": len(train)}
    together = right(np.concatenate([columns[name] for name in columns], axis=1), TREES)
    alone = {name: right(columns[name], _TREES_ALONE) for name in varying}
    for i, name in enumerate(others):
        result |= {
            f"{name}_top1": float(together[i].mean()),
            f"{name}_right": "".join(map(str, together[i].astype(int).tolist())),
            f"{name}_alone": {fact: float(of[i].mean()) for fact, of in alone.items()},
        }
    return result


class Told(NamedTuple):
    """What the facts tell of a task on a split.

    Attributes:
      split: its name.
      works: how many works it has; their details and second photographs count with them.
      top1: of trees on all facts, in [0, 1].
      constant: of the best constant answer, in [0, 1].
      alone: top-1 of trees on each fact, in [0, 1].
    """

    split: str
    works: int
    top1: float
    constant: float
    alone: Mapping[str, float]

    def facts_that_tell(self) -> list[str]:
        """The facts that alone are shown to be better than the constant answer, from the best.

        The level is divided by the number of facts (Bonferroni).
        """
        level = LEVEL / max(1, len(self.alone))
        better = [
            fact
            for fact, top1 in self.alone.items()
            if shown_better(top1, self.works, self.constant, level)
        ]
        return sorted(better, key=lambda fact: -self.alone[fact])

    def _best(self) -> list[str]:
        """The fact that tells most, if that is more than the constant answer."""
        best = max(self.alone, key=self.alone.__getitem__, default="")
        return [best] if best and self.alone[best] > self.constant else []

    def warning(self, task: str) -> str:
        """A sentence if all facts are shown to be better than the constant answer, else nothing."""
        if not shown_better(self.top1, self.works, self.constant):
            return ""
        telling = self.facts_that_tell()[:_MOST_NAMED] or self._best()
        shown = ", ".join(f"{fact} {self.alone[fact]:.1%}" for fact in telling)
        return (
            f"what is no painting tells the {task} of {self.top1:.1%} of the {self.split} works, where "
            f"one answer for all has {self.constant:.1%} (alone: {shown or 'no fact'}): a score may be "
            "that of the source"
        )


def told(
    baseline: Mapping[str, Any], split: str, labels: np.ndarray, work_ids: Sequence[str]
) -> Told:
    """What the facts tell on a split.

    Args:
      baseline: as from `source_baseline`.
      split: its name.
      labels: of the works of the split, int [n], 0 or more.
      work_ids: of the same works; empty where each is one of its own.
    """
    constant = float(np.bincount(labels).max() / len(labels))
    works = len(set(work_ids)) or len(labels)
    return Told(split, works, baseline[f"{split}_top1"], constant, baseline[f"{split}_alone"])


def source_warnings(selection: Selection) -> list[str]:
    """What a build says of its works: a warning for each label that the facts tell.

    None where facts are not known, or without scikit-learn.
    """
    works, pictures, splits = zip(
        *((*pair, split) for split, pairs in selection.kept.items() for pair in pairs), strict=True
    )
    facts = [picture.facts for picture in pictures if picture.facts]
    if len(facts) < len(pictures):
        return []
    columns = columns_of(facts, [work.file_name for work in works])
    lines = []
    for label, names in selection.catalogue.class_names.items():
        number = {name: i for i, name in enumerate(names)}
        labels = np.asarray([number.get(work.labels.get(label, ""), -1) for work in works])
        rows = {of: np.flatnonzero((labels >= 0) & (np.asarray(splits) == of)) for of in SPLITS}
        try:
            found = source_baseline(columns, rows, labels)
        except ModuleNotFoundError:
            return []
        if found is not None:
            ids = [works[i].work_id for i in rows["test"]]
            said = told(found, "test", labels[rows["test"]], ids).warning(label)
            lines += [f"warning: {said}; {SEE}"] if said else []
    return lines


def shown_better(top1: float, works: float, share: float, level: float = LEVEL) -> bool:
    """Whether an exact binomial test, to one side, says that a top-1 is above a share."""
    from scipy.stats import binomtest  # takes 0.6 s to import, which only a report should

    n = math.floor(works + 1e-6)
    right = math.floor(top1 * n + 1e-6)  # 0.29 * 100 is 28.999999999999996
    return bool(binomtest(right, n, min(share, 1.0), alternative="greater").pvalue <= level)


@on_one_thread("sklearn.ensemble")
def _named(features: np.ndarray, labels: np.ndarray, others: np.ndarray, trees: int) -> np.ndarray:
    """The classes that trees name for other works, int [M]."""
    # Imported here, because it takes a second that other modes need not wait.
    from sklearn.ensemble import ExtraTreesClassifier

    total: Any = 0
    with warnings.catch_warnings():
        # Many classes with few works each are what a small collection has.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        for seed in range(0, trees, _TREES_AT_ONCE):
            # All columns are tried for each cut: one that tells would be missed among many that do not.
            forest = ExtraTreesClassifier(
                _TREES_AT_ONCE, min_samples_leaf=LEAST_LEAF, max_features=None, random_state=seed
            )
            total = total + forest.fit(features, labels).predict_proba(others)
    named: np.ndarray = np.unique(labels)[total.argmax(axis=1)]
    return named


def _words(words: Sequence[str]) -> np.ndarray:
    """A column of 0 and 1 for each frequent word, float32 [N, words]."""
    kinds, counts = np.unique(np.asarray(words, np.str_), return_counts=True)
    frequent = kinds[counts >= _LEAST_OF_KIND]
    return (np.asarray(words, np.str_)[:, None] == frequent).astype(np.float32)


def _day(day: str) -> int:
    """The number of a day; 0 where it is unknown."""
    return date.fromisoformat(day).toordinal() if day else 0
