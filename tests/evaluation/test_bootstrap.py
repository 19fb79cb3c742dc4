"""Intervals of metrics that are means over classes."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as oracle

from artjax.evaluation import bootstrap, metrics
from artjax.evaluation.metrics import Predictions

NAMES = ("balanced_accuracy", "macro_f1", "auroc")


def guesses(rng, works, classes, skill=2.0, images=1):
    """Predictions of drawn works, with a part that the images of a work share."""
    labels = np.repeat(rng.integers(0, classes, works), images)
    logits = rng.normal(size=(works, classes)).repeat(images, axis=0)
    if images > 1:
        logits = np.sqrt(0.7) * logits + np.sqrt(0.3) * rng.normal(size=logits.shape)
    logits[np.arange(len(labels)), labels] += skill
    ids = np.arange(works).repeat(images)
    return Predictions(labels, special.log_softmax(logits, axis=1), ids)


@pytest.fixture
def statistics(monkeypatch):
    """The three statistics of the last predictions, in the order of `NAMES`."""
    kept = []
    monkeypatch.setattr(
        bootstrap, "bootstrap_interval", lambda statistic, classes: kept.append(statistic)
    )
    return kept


@pytest.mark.parametrize("images", [1, 3])
def test_numbers_of_resamples_equal_scikit_learn(statistics, images):
    given = guesses(np.random.default_rng(0), 40, 5, images=images)
    metrics.class_intervals(given)
    rng = np.random.default_rng(1)
    areas = []
    for _ in range(20):
        times = np.bincount(rng.integers(0, 40, 40), minlength=40)
        rows = np.repeat(np.arange(len(given.labels)), times[given.work_ids])
        labels, logs = given.labels[rows], given.log_probabilities[rows]
        assert set(labels) == set(range(5))
        recall, f1, area = (of.value((times @ of.parts)[None])[0] for of in statistics)
        predicted = logs.argmax(axis=1)
        assert recall == pytest.approx(oracle.balanced_accuracy_score(labels, predicted))
        assert f1 == pytest.approx(oracle.f1_score(labels, predicted, average="macro"))
        whole = oracle.roc_auc_score(labels, np.exp(logs), multi_class="ovr", average="macro")
        areas.append((area, whole))
    ours, exact = np.transpose(areas)
    assert np.corrcoef(ours, exact)[0, 1] > 0.95
    np.testing.assert_allclose(ours, exact, atol=0.02)


def test_numbers_of_all_works_are_those_of_the_metrics(statistics):
    given = guesses(np.random.default_rng(0), 60, 4)
    logs = given.log_probabilities.round(0)  # with ties
    logs[:7] = np.nan
    for part in (
        given,
        Predictions(given.labels, logs),
        given._replace(log_probabilities=logs * 0),
    ):
        statistics.clear()
        metrics.class_intervals(part)
        for name, of in zip(NAMES, statistics, strict=False):
            found = of.value(of.parts.sum(axis=0, keepdims=True))[0]
            assert found == pytest.approx(getattr(metrics, name)(part)), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("works", "classes", "images"), [(80, 2, 1), (100, 5, 1), (60, 15, 1), (60, 5, 4)]
)
def test_the_intervals_cover_the_truth_in_95_of_100_cases(monkeypatch, works, classes, images):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)  # for the time; more change little
    rng, repeats = np.random.default_rng(0), 200
    skill = 1.0 if classes == 2 else 2.0
    many = guesses(rng, 20_000, classes, skill, images)
    truth = {name: getattr(metrics, name)(many) for name in NAMES}
    covered = dict.fromkeys(NAMES, 0)
    for _ in range(repeats):
        found = metrics.class_intervals(guesses(rng, works, classes, skill, images))
        for name in NAMES:
            low, high = found[f"{name}_ci95"]
            covered[name] += low <= truth[name] <= high
    for name, times in covered.items():
        assert 0.91 <= times / repeats <= 0.995, name


def test_what_resamples_cannot_tell_has_no_interval():
    labels = np.arange(40) % 4
    right = Predictions(labels, np.log(np.eye(4)[labels] * 0.9 + 0.025))
    assert set(metrics.class_intervals(right).values()) == {None}  # not [1, 1]
    given = guesses(np.random.default_rng(0), 40, 4)
    each = given.only(np.unique(given.labels, return_index=True)[1])
    assert set(metrics.class_intervals(each).values()) == {None}  # a work of each class
    one_work = given._replace(work_ids=np.zeros(40, int))
    assert set(metrics.class_intervals(one_work).values()) == {None}
    logs = given.log_probabilities.copy()
    logs[3] = np.nan
    broken = metrics.class_intervals(given._replace(log_probabilities=logs))
    assert broken["auroc_ci95"] is None
    assert broken["macro_f1_ci95"] is not None


def test_the_report_shows_the_intervals():
    row = metrics.summary(guesses(np.random.default_rng(0), 80, 6), [*"abcdef"])
    said = metrics.format_metrics(row)
    low, high = row["balanced_accuracy_ci95"]
    assert f"(chance 16.7%; 95 % interval {low:.1%} to {high:.1%})" in said
    low, high = row["auroc_ci95"]
    assert f"AUROC {row['auroc']:.3f} (95 % interval {low:.3f} to {high:.3f})" in said
    assert "interval" not in metrics.format_metrics(row, interval_of="")
    assert row == metrics.summary(guesses(np.random.default_rng(0), 80, 6), [*"abcdef"])
