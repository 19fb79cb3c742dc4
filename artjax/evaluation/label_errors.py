"""Labels that may be wrong: confident learning on predictions of works that the network did not see.

Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (2021), by the
authors' own library, cleanlab.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artjax.evaluation.metrics import Predictions


@dataclass(frozen=True)
class LabelsToCheck:
    """The works of a task whose label can be judged, the least believable first.

    Attributes:
      file_names: str [N].
      labels: the given classes, int [N].
      likely: the most probable classes, int [N].
      label_probability: of the given class, in [0, 1], float64 [N], not falling.
      likely_probability: of the most probable class, float64 [N].
      suspected: whether confident learning takes the label for wrong, bool [N].
      not_judged: number of works left out: their class was not in train when they were predicted, or
        they have no finite prediction.
    """

    file_names: np.ndarray
    labels: np.ndarray
    likely: np.ndarray
    label_probability: np.ndarray
    likely_probability: np.ndarray
    suspected: np.ndarray
    not_judged: int

    @property
    def agreement(self) -> float:
        """Share of works whose label is the most probable class, in [0, 1]; nan without works."""
        agreed = self.likely == self.labels
        return float(agreed.mean()) if len(agreed) else float("nan")


def labels_to_check(
    file_names: np.ndarray, of_task: Predictions, in_train: np.ndarray | None = None
) -> LabelsToCheck:
    """Ranks the works of a task by the probability of their own label: self-confidence, section 3.3.

    Args:
      file_names: of the works, str [N].
      of_task: predictions by networks that have not learnt from the work, each by that of its fold.
      in_train: whether the network had a work of the same class to learn from, bool [N]; None = yes.
    """
    judged = of_task.finite if in_train is None else of_task.finite & in_train
    (rows,) = np.nonzero(judged)
    labels = of_task.labels[rows]
    probabilities = np.exp(of_task.log_probabilities[rows])
    suspected = suspected_labels(labels, probabilities)
    own = probabilities[np.arange(len(rows)), labels]
    order = np.argsort(own, kind="stable")
    return LabelsToCheck(
        file_names[rows][order],
        labels[order],
        probabilities.argmax(axis=1)[order] if len(rows) else labels,
        own[order],
        probabilities.max(axis=1, initial=0)[order],
        suspected[order],
        int((~judged).sum()),
    )


def suspected_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Which labels confident learning takes for wrong, bool [N].

    A class is believed of a work if its probability is at least the class's threshold, the mean over
    the works with this label; of several the most probable one (section 3.1, equations 1 and 2). Works
    that are counted off the diagonal of the confident joint are suspected (section 3.2, method 2), but
    for those whose label is the most probable class.

    Args:
      labels: the given classes, int [N], 0 or more.
      probabilities: float64 [N, classes], predicted without the work.
    """
    if len(np.unique(labels)) < 2:
        return np.zeros(len(labels), bool)
    # Takes seconds to import, which only a search for wrong labels should.
    from cleanlab.filter import find_label_issues

    found: np.ndarray = find_label_issues(
        labels, probabilities, filter_by="confident_learning", n_jobs=1
    )
    return found


def table(found: Mapping[str, LabelsToCheck], classes: Mapping[str, Sequence[str]]) -> str:
    """The table `labels.csv`: for each task its works, the least believable label first.

    Args:
      found: by task.
      classes: class names, by task.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["task", "rank", "file_name", "label", "likely_label"]
    writer.writerow([*columns, "label_probability", "likely_probability", "suspected"])
    for task, of_task in found.items():
        names = classes[task]
        for i, file_name in enumerate(of_task.file_names.tolist()):
            shown = (names[of_task.labels[i]], names[of_task.likely[i]])
            shares = (of_task.label_probability[i], of_task.likely_probability[i])
            suspected = "yes" if of_task.suspected[i] else "no"
            writer.writerow(
                [task, i + 1, file_name, *shown, *(f"{share:.6f}" for share in shares), suspected]
            )
    return text.getvalue()


def in_words(task: str, of_task: LabelsToCheck) -> list[str]:
    """What was found, in a line or two for the console."""
    works, suspected = len(of_task.labels), int(of_task.suspected.sum())
    lines = [
        f"{task}: {suspected:,} of {works:,} labels may be wrong (confident learning; "
        f"{of_task.agreement:.1%} of the works are named as they are labelled)"
    ]
    if of_task.not_judged:
        lines.append(
            f"  {of_task.not_judged:,} more works are not judged: no other work has their {task}, or "
            "they have no finite prediction"
        )
    return lines
