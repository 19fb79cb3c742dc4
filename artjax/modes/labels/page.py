"""The page of labels to look at again, and the table beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from artjax import pages
from artjax.data.canvases import Canvases
from artjax.data.works import Split
from artjax.evaluation import embeddings, label_errors
from artjax.evaluation.label_errors import LabelsToCheck
from artjax.pages.pictures import write_pictures

_MOST, _FEWEST = 60, 12  # works of a task
_NEAREST = 4


class Collection(NamedTuple):
    """Where the works come from: the canvases, their splits by name, and class names by task."""

    data: Canvases
    splits: Mapping[str, Split]
    classes: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Nearest:
    """Embeddings of the works of a collection: file names, str [N], and float32 [N, C] of length 1."""

    file_names: np.ndarray
    points: np.ndarray

    def of(self, wanted: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
        """For each work the names of the nearest other works, with their cosines."""
        rows = np.flatnonzero(np.isin(self.file_names, list(wanted)))
        found = embeddings.nearest(self.points[rows], self.points, _NEAREST + 1)
        return {
            str(self.file_names[row]): [
                (str(self.file_names[other]), float(cosine))
                for other, cosine in zip(others, cosines, strict=True)
                if other != row
            ][:_NEAREST]
            for row, others, cosines in zip(rows, found.indices, found.similarities, strict=True)
        }


class _Row(NamedTuple):
    """A work on the page."""

    file_name: str
    label: str
    likely: str
    label_probability: float
    likely_probability: float
    nearest: list[tuple[str, float, str]]  # file name, cosine, label


def write(
    folder: Path,
    found: Mapping[str, LabelsToCheck],
    collection: Collection,
    nearest: Nearest | None = None,
) -> None:
    """Writes `index.html`, its pictures and `labels.csv`, in place of an older folder.

    Args:
      folder: its folder above is made if it is not there.
      found: by task.
      collection: of the works.
      nearest: their embeddings; without them the page shows no nearest works.

    Raises:
      WorkdirError: if they cannot be written.
    """
    data, splits, classes = collection
    shown = {task: _shown(of_task) for task, of_task in found.items()}
    files = {str(found[task].file_names[i]) for task, rows in shown.items() for i in rows}
    near = nearest.of(sorted(files)) if nearest else {}
    wanted = files | {name for others in near.values() for name, _ in others}
    with pages.replaced_folder(folder) as new:
        (new / "pictures").mkdir()
        feature = data.image_feature
        pictures = write_pictures(data, splits, wanted, feature, new / "pictures")
        html = pages.render(
            "modes/labels/page.html",
            name=data.prepared.name,
            rows={
                task: _rows(
                    found[task], rows, near, _labels(splits, task, classes[task]), classes[task]
                )
                for task, rows in shown.items()
            },
            agreement={task: of_task.agreement for task, of_task in found.items()},
            works={task: len(of_task.labels) for task, of_task in found.items()},
            not_judged={task: of_task.not_judged for task, of_task in found.items()},
            suspected={task: int(of_task.suspected.sum()) for task, of_task in found.items()},
            pictures=pictures,
        )
        (new / "index.html").write_text(html, encoding="utf-8")
        (new / "labels.csv").write_text(label_errors.table(found, classes), encoding="utf-8")


def _shown(of_task: LabelsToCheck) -> list[int]:
    """The works on the page: those that are suspected, or else a few of the least believable ones."""
    suspected = np.flatnonzero(of_task.suspected)[:_MOST].tolist()
    others = np.flatnonzero(~of_task.suspected).tolist()
    return suspected or others[:_FEWEST]


def _labels(splits: Mapping[str, Split], task: str, names: Sequence[str]) -> dict[str, str]:
    """The names of the labels of a task, by file name; "unknown" where it is."""
    return {
        str(name): names[label] if label >= 0 else "unknown"
        for split in splits.values()
        for name, label in zip(split.file_names, split.labels[task].tolist(), strict=True)
    }


def _rows(
    of_task: LabelsToCheck,
    shown: Sequence[int],
    near: Mapping[str, Sequence[tuple[str, float]]],
    labels: Mapping[str, str],
    names: Sequence[str],
) -> list[_Row]:
    return [
        _Row(
            file_name,
            names[of_task.labels[i]],
            names[of_task.likely[i]],
            float(of_task.label_probability[i]),
            float(of_task.likely_probability[i]),
            [(other, cosine, labels[other]) for other, cosine in near.get(file_name, ())],
        )
        for i, file_name in ((i, str(of_task.file_names[i])) for i in shown)
    ]
