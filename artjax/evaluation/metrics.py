"""Metrics over a whole split, computed in float64 on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from artjax.evaluation import bootstrap
from artjax.evaluation.calibration import brier_score, expected_calibration_error
from artjax.evaluation.intervals import independent_trials, share_interval
from artjax.evaluation.paired import paired
from artjax.evaluation.risk_coverage import area_under_risk_coverage
from artjax.evaluation.roc import average_precision as precision_of_steps
from artjax.evaluation.roc import placements


class Predictions(NamedTuple):
    """Predictions for one task, of the works of a split whose label is known.

    Attributes:
      labels: true classes, int [N], all 0 or more.
      log_probabilities: natural logarithms, float64 [N, classes]; nan where a network gave no finite
        output for a work, which then counts as wrong.
      work_ids: what images of one work share, str [N]; None where every image is a work of its own.
      clusters: what images share that are right or wrong together, str [N]: those of a work, and others;
        None where there are no others.
      others: by the name of a baseline, whether it names each image rightly, bool [N].
      expected_entropy: the mean of the entropies of the answers whose mean these are, in nats, float64
        [N]; None of a single answer.
    """

    labels: np.ndarray
    log_probabilities: np.ndarray
    work_ids: np.ndarray | None = None
    clusters: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = MappingProxyType({})
    expected_entropy: np.ndarray | None = None

    def only(self, indices: Sequence[int]) -> Predictions:
        """The predictions of some of the works."""
        return Predictions(
            self.labels[indices],
            self.log_probabilities[indices],
            None if self.work_ids is None else self.work_ids[indices],
            None if self.clusters is None else self.clusters[indices],
            {name: right[indices] for name, right in self.others.items()},
            None if self.expected_entropy is None else self.expected_entropy[indices],
        )

    @property
    def mutual_information(self) -> np.ndarray | None:
        """How far the answers are from each other whose mean these are, in nats, [N]; 0 if not at all.

        The entropy of the mean less the mean of the entropies: Houlsby et al., Bayesian Active Learning
        for Classification (2011), section 3; Smith & Gal, Understanding Measures of Uncertainty for
        Adversarial Example Detection (2018), section 2.2. None of a single answer.
        """
        if self.expected_entropy is None:
            return None
        return np.maximum(entropy(self.log_probabilities) - self.expected_entropy, 0.0)

    @property
    def groups(self) -> np.ndarray | None:
        """`clusters`, else `work_ids`: what images share that are not independent, [N]."""
        return self.work_ids if self.clusters is None else self.clusters

    @property
    def finite(self) -> np.ndarray:
        """Whether each work has probabilities at all, bool [N]. One of them may be 0, not all."""
        return np.isfinite(self.log_probabilities.max(axis=1))

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each work, int [N]; of equals the first; -1 where not `finite`."""
        return np.where(self.finite, self.log_probabilities.argmax(axis=1), -1)

    @property
    def label_ranks(self) -> np.ndarray:
        """Rank of the true class, int [N], 1 = most probable; equal ones are ranked by class number.

        It is classes + 1 where not `finite`.
        """
        rows = np.arange(len(self.labels))
        own = self.log_probabilities[rows, self.labels][:, None]
        classes = np.arange(self.log_probabilities.shape[1])
        before = (self.log_probabilities > own) | (
            (self.log_probabilities == own) & (classes < self.labels[:, None])
        )
        return np.where(self.finite, before.sum(axis=1) + 1, len(classes) + 1)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several parts of the works as one; of baselines those that each part has."""
    in_all = set.intersection(*(set(part.others) for part in parts))

    def together(of: Sequence[np.ndarray | None]) -> np.ndarray | None:
        known = [values for values in of if values is not None]
        return np.concatenate(known) if len(known) == len(of) else None

    return Predictions(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.log_probabilities for part in parts]),
        together([part.work_ids for part in parts]),
        together([part.clusters for part in parts]),
        {
            name: np.concatenate([part.others[name] for part in parts])
            for name in parts[0].others
            if name in in_all
        },
        together([part.expected_entropy for part in parts]),
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax along the last axis, in float64; all nan where a logit is not finite."""
    logits = logits.astype(np.float64)
    # An overflow to -inf would look like a probability of 0, and to inf makes only its own class nan.
    logits = np.where(np.isfinite(logits).all(axis=-1, keepdims=True), logits, np.nan)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def entropy(log_probabilities: np.ndarray) -> np.ndarray:
    """Entropy of the last axis in nats, float64, in [0, ln classes]; nan where a probability is nan.

    Shannon, A Mathematical Theory of Communication (1948), section 6. A probability of 0 adds nothing.
    """
    probabilities = np.exp(log_probabilities)
    with np.errstate(invalid="ignore"):  # 0 times an infinite logarithm
        terms = np.where(probabilities == 0, 0.0, probabilities * log_probabilities)
    return np.maximum(-terms.sum(axis=-1), 0.0)


def mean_log_probabilities(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Logarithm of the mean of several probabilities, float64, computed without leaving the logarithms.

    So a probability that float64 cannot hold is not taken for 0.

    Args:
      parts: natural logarithms of probabilities, float64, all of one shape.
    """
    total = parts[0]
    for part in parts[1:]:
        total = np.logaddexp(total, part)
    return total - math.log(len(parts))


def top1(predictions: Predictions) -> float:
    """Share of works whose most probable class is the true one, in [0, 1]."""
    return float((predictions.predicted == predictions.labels).mean())


def top5(predictions: Predictions) -> float:
    """Share of works whose true class is among the five most probable ones, in [0, 1]."""
    return float(((predictions.label_ranks <= 5) & predictions.finite).mean())


def loss(predictions: Predictions) -> float:
    """Mean negative log-likelihood of the true class in nats, without label smoothing.

    It is nan if a work has no finite output.
    """
    rows = np.arange(len(predictions.labels))
    return float(-predictions.log_probabilities[rows, predictions.labels].mean())


def macro_f1(predictions: Predictions) -> float:
    """Unweighted mean of the F1 scores of all classes that occur as a label or as a prediction.

    F1 = 2 TP / (2 TP + FP + FN): Manning et al., Introduction to Information Retrieval (2008),
    section 8.3, and 13.6 for the macro average. Equals scikit-learn's `f1_score(average="macro")`.
    """
    hits, labelled, predicted = _counts(predictions)
    twice = labelled + predicted
    occurs = twice > 0
    return float((2 * hits[occurs] / twice[occurs]).mean())


def balanced_accuracy(predictions: Predictions) -> float:
    """Unweighted mean of the recalls of all classes that have a work, in [0, 1].

    Brodersen et al., The Balanced Accuracy and Its Posterior Distribution (2010), for any number of
    classes. Equals scikit-learn's `balanced_accuracy_score`.
    """
    hits, labelled, _ = _counts(predictions)
    has_work = labelled > 0
    return float((hits[has_work] / labelled[has_work]).mean())


def auroc(predictions: Predictions) -> float | None:
    """Area under the ROC curve of each class against all others, in [0, 1]; the unweighted mean.

    The area of a class is the chance that a work of the class has a higher probability of it than a work
    of another class, where a tie counts half: Hanley & McNeil, The Meaning and Use of the Area under a
    ROC Curve (1982). One against the rest as in Fawcett, An Introduction to ROC Analysis (2006), section
    9.2, but unweighted. Equals the mean of scikit-learn's `roc_auc_score` over the classes that occur as
    a label.

    Returns:
      None if fewer than two classes have a work, or a probability is not a number.
    """
    classes = np.unique(predictions.labels)
    if len(classes) < 2 or np.isnan(predictions.log_probabilities).any():
        return None
    of_classes = [(predictions.log_probabilities[:, c], predictions.labels == c) for c in classes]
    return float(np.mean([placements(scores, own)[own].mean() for scores, own in of_classes]))


def average_precision(predictions: Predictions) -> float | None:
    """Mean average precision: of each class against all others, in [0, 1]; the unweighted mean.

    Over the classes that have a work; see `roc.average_precision`. Unlike the area under the ROC curve
    it falls when many others stand before the works of a rare class: a score that tells nothing has
    the share of the class. Equals the mean of scikit-learn's `average_precision_score` over the classes
    that occur as a label.

    Returns:
      None if a probability is not a number.
    """
    found = _average_precisions(predictions)
    return float(np.mean(list(found.values()))) if found else None


def _average_precisions(predictions: Predictions) -> dict[int, float]:
    """The average precision of each class that has a work; empty if a probability is not a number."""
    if np.isnan(predictions.log_probabilities).any():
        return {}
    return {
        int(c): precision_of_steps(predictions.log_probabilities[:, c], predictions.labels == c)
        for c in np.unique(predictions.labels)
    }


def by_class(predictions: Predictions, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and average precision of each class, ready for JSON.

    Manning et al., Introduction to Information Retrieval (2008), sections 8.3 and 8.4. Equals
    scikit-learn's `precision_recall_fscore_support(zero_division=nan)` and `average_precision_score`.

    Args:
      predictions: of one task.
      names: of all classes.

    Returns:
      For each class: `precision`, None where it was never predicted; `recall`, None where it has no
      work; `f1`, None where both are so; `average_precision`, None where it has no work; `n`, its number
      of images; and `works`, its number of works.
    """
    hits, labelled, predicted = _counts(predictions)
    precisions = _average_precisions(predictions)
    ids = predictions.work_ids

    def works(c: int) -> int:
        return int(labelled[c]) if ids is None else len(np.unique(ids[predictions.labels == c]))

    def share(part: int, of: int) -> float | None:
        return float(part / of) if of else None

    return {
        name: {
            "precision": share(hits[c], predicted[c]),
            "recall": share(hits[c], labelled[c]),
            "f1": share(2 * hits[c], labelled[c] + predicted[c]),
            "average_precision": precisions.get(c),
            "n": int(labelled[c]),
            "works": works(c),
        }
        for c, name in enumerate(names)
    }


def _counts(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each class: works named rightly, works with this label, works named so; each int [classes]."""
    classes = predictions.log_probabilities.shape[1]
    labels, predicted = predictions.labels, predictions.predicted
    hits, labelled, named = (
        np.bincount(of, minlength=classes)
        for of in (labels[labels == predicted], labels, predicted[predictions.finite])
    )
    return hits, labelled, named


class Metric(NamedTuple):
    """A metric of predictions.

    Attributes:
      function: computes it; None where it is not defined.
      template: formats its name and value in a report.
      chance: number of classes → its value for uniform guesses, which stands beside it in a report. If
        that is 1, the metric says nothing and is left out there. None where it is not shown.
    """

    function: Callable[[Predictions], float | None]
    template: str
    chance: Callable[[int], float] | None = None


METRICS: Mapping[str, Metric] = {
    "top1": Metric(top1, "top-1 {:.1%}"),
    "top5": Metric(top5, "top-5 {:.1%}", chance=lambda classes: min(1, 5 / classes)),
    "balanced_accuracy": Metric(
        balanced_accuracy, "balanced accuracy {:.1%}", chance=lambda classes: 1 / classes
    ),
    "macro_f1": Metric(macro_f1, "macro-F1 {:.3f}"),
    "auroc": Metric(auroc, "AUROC {:.3f}"),
    "average_precision": Metric(average_precision, "mean average precision {:.3f}"),
    "loss": Metric(loss, "loss {:.3f}"),
    "brier": Metric(brier_score, "Brier score {:.3f}"),
    "ece": Metric(expected_calibration_error, "ECE {:.3f}"),
    "aurc": Metric(area_under_risk_coverage, "AURC {:.3f}"),
}
"""All metrics, in the order of a report. A metric that is added here appears in every `metrics.json`."""


def summary(predictions: Predictions, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Computes `METRICS` and the 95 % interval of top-1, in plain Python values.

    Beside them are the independent trials that an interval of this width would need, the numbers of
    images, of works and of clusters, of images without a finite output, of classes, of classes that have
    a work, of classes that were predicted at all, and of classes over which `auroc` is the mean; and
    what `paired` says of each baseline whose answers are known.

    Args:
      predictions: of one task.
      names: of all classes, for `by_class` and the intervals of `class_intervals`. Without them both are
        left out.
    """
    right = predictions.predicted == predictions.labels
    n = len(right)
    interval = share_interval(right, predictions.groups)
    values = {name: metric.function(predictions) for name, metric in METRICS.items()}
    labelled = len(np.unique(predictions.labels))
    row: dict[str, Any] = {
        "n": n,
        "works": _number(predictions.work_ids, n),
        "clusters": _number(predictions.groups, n),
        "not_finite": int((~predictions.finite).sum()),
        **values,
        "top1_trials": independent_trials(float(right.mean()), interval, n),
        "top1_ci95": list(interval),
        "classes": predictions.log_probabilities.shape[1],
        "labelled_classes": labelled,
        "predicted_classes": len(np.unique(predictions.predicted[predictions.finite])),
        "auroc_classes": 0 if values["auroc"] is None else labelled,
        "paired": {
            name: paired(right, other, predictions.groups)._asdict()
            for name, other in predictions.others.items()
        },
    }
    if (apart := predictions.mutual_information) is not None:
        # Images without a finite output have none.
        row["predictive_entropy"] = _mean_of_finite(entropy(predictions.log_probabilities))
        row["mutual_information"] = _mean_of_finite(apart)
    if names is not None:
        row |= class_intervals(predictions) | {"by_class": by_class(predictions, names)}
        row["class_names"] = list(names)  # in their order, which the sorted keys of JSON lose
    return row


def _mean_of_finite(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _number(groups: np.ndarray | None, n: int) -> int:
    return n if groups is None else len(np.unique(groups))


def class_intervals(predictions: Predictions) -> dict[str, list[float] | None]:
    """The 95 % intervals of the metrics that are means over classes: `<metric>_ci95`.

    They are None where the metric is not defined, and as in `bootstrap_interval`.
    """
    labelled = len(np.unique(predictions.labels))
    found = class_statistics(predictions)
    return {
        f"{name}_ci95": bootstrap.bootstrap_interval(found[name], labelled)
        if name in found
        else None
        for name in ("balanced_accuracy", "macro_f1", "auroc")
    }


def class_statistics(predictions: Predictions) -> dict[str, bootstrap.Statistic]:
    """Balanced accuracy, macro-F1 and, where it is defined, AUROC as functions of sums over groups."""
    classes = predictions.log_probabilities.shape[1]
    labels, predicted, groups = predictions.labels, predictions.predicted, predictions.groups
    right = predicted == labels
    each = np.arange(len(labels)) if groups is None else groups
    _, first, group = np.unique(each, return_index=True, return_inverse=True)
    group = first.argsort().argsort()[group]  # by their order, so that names change no resample

    def table(of: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The number of works of each group and class, [G, C], among those at which."""
        cells = group[which] * classes + of[which]
        return np.bincount(cells, minlength=(group.max() + 1) * classes).reshape(-1, classes)

    everywhere = np.ones(len(labels), bool)
    recall, f1 = bootstrap.recalls_and_f1(
        table(labels, right), table(labels, everywhere), table(predicted, predictions.finite)
    )
    found = {"balanced_accuracy": recall, "macro_f1": f1}
    if auroc(predictions) is not None:
        found["auroc"] = bootstrap.areas(predictions.log_probabilities, labels, group)
    return found


def format_metrics(row: Mapping[str, Any], interval_of: str = "this network on other works") -> str:
    """Formats the result of `summary` for a report.

    Args:
      row: as from `summary`.
      interval_of: what the interval of top-1 speaks of; empty leaves it out.
    """
    formatted = []
    for name, metric in METRICS.items():
        chance = metric.chance and metric.chance(row["classes"])
        if chance == 1:
            continue
        formatted.append(_format(metric, row[name]))
        said = [] if chance is None else [f"chance {chance:.1%}"]
        ends = row.get(f"{name}_ci95") if interval_of else None
        if ends is not None:
            low, high = (_number_of(metric, end) for end in ends)
            of = f", of {interval_of}" if name == "top1" else ""
            said.append(f"95 % interval {low} to {high}{of}")
        if said:
            formatted[-1] += f" ({'; '.join(said)})"
    return ", ".join(formatted)


def _format(metric: Metric, value: float | None) -> str:
    name = metric.template.partition("{")[0]
    if value is None or not math.isfinite(value):
        return name + "undefined"
    return name + _number_of(metric, value)


def _number_of(metric: Metric, value: float) -> str:
    """A value without the name of the metric."""
    return metric.template.format(value).removeprefix(metric.template.partition("{")[0])
