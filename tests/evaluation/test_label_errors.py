"""Labels that may be wrong, found by the predictions of works that were not learnt from."""

import csv
import io

import numpy as np
import pytest

from artjax.evaluation import label_errors
from artjax.evaluation.label_errors import labels_to_check, suspected_labels
from artjax.evaluation.metrics import Predictions


def with_wrong_labels(seed, works=400, classes=4, share=0.05):
    """Predictions of a good network, labels of which a share is wrong, and which of them are."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, works)
    logits = rng.normal(size=(works, classes))
    logits[np.arange(works), true] += 4
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wrong = rng.random(works) < share
    labels = np.where(wrong, (true + rng.integers(1, classes, works)) % classes, true)
    return Predictions(labels, log_probabilities), wrong


def off_diagonal(labels, probabilities):
    """The confident joint as the paper writes it (equations 1 and 2), work by work."""
    thresholds = {j: probabilities[labels == j, j].mean() for j in set(labels.tolist())}
    found = []
    for label, row in zip(labels, probabilities, strict=True):
        believed = [j for j, t in thresholds.items() if row[j] >= t]
        likeliest = max(believed, key=lambda j: row[j], default=label)
        found.append(likeliest != label and row.argmax() != label)
    return np.asarray(found)


@pytest.mark.parametrize("seed", range(3))
def test_suspected_labels_are_those_off_the_diagonal_of_the_confident_joint(seed):
    given, _ = with_wrong_labels(seed)
    probabilities = np.exp(given.log_probabilities)
    found = suspected_labels(given.labels, probabilities)
    np.testing.assert_array_equal(found, off_diagonal(given.labels, probabilities))
    assert 0 < found.sum() < 60


def test_wrong_labels_come_first():
    given, wrong = with_wrong_labels(0)
    names = np.asarray([f"{i}.jpg" for i in range(400)])
    found = labels_to_check(names, given)
    first = found.file_names[: wrong.sum()].tolist()
    assert np.mean([wrong[int(name.removesuffix(".jpg"))] for name in first]) > 0.9
    assert (np.diff(found.label_probability) >= 0).all()
    by_name = {n: i for i, n in enumerate(names.tolist())}
    rows = [by_name[name] for name in found.file_names.tolist()]
    np.testing.assert_array_equal(found.labels, given.labels[rows])
    np.testing.assert_array_equal(found.likely, given.predicted[rows])
    probabilities = np.exp(given.log_probabilities[rows])
    np.testing.assert_allclose(found.likely_probability, probabilities.max(axis=1))
    own = probabilities[np.arange(400), found.labels]
    np.testing.assert_allclose(found.label_probability, own)
    suspected = suspected_labels(given.labels, np.exp(given.log_probabilities))
    np.testing.assert_array_equal(found.suspected, suspected[rows])
    assert found.agreement == (given.predicted == given.labels).mean()


def test_works_whose_class_nobody_could_learn_are_not_judged():
    given, _ = with_wrong_labels(0, works=40)
    lost = given.log_probabilities.copy()
    lost[3] = np.nan
    in_train = np.arange(40) != 7
    names = np.arange(40).astype(str)
    found = labels_to_check(names, given._replace(log_probabilities=lost), in_train)
    assert set(names) - set(found.file_names) == {"3", "7"}
    assert found.not_judged == 2
    assert "2 more works are not judged" in label_errors.in_words("genre", found)[1]
    nobody = labels_to_check(names, given, np.zeros(40, bool))
    assert (len(nobody.labels), nobody.not_judged) == (0, 40)


def test_one_class_has_no_suspected_label():
    assert not suspected_labels(np.zeros(3, int), np.full((3, 2), 0.5)).any()


def test_the_table_has_every_work_once_and_names_the_classes():
    given, _ = with_wrong_labels(1, works=50, classes=2, share=0.2)
    found = {"genre": labels_to_check(np.arange(50).astype(str), given)}
    text = label_errors.table(found, {"genre": ("still life", "portrait")})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["rank"]) for row in rows] == list(range(1, 51))
    assert {row["file_name"] for row in rows} == set(np.arange(50).astype(str))
    for row in rows:
        i = int(row["file_name"])
        names = ("still life", "portrait")
        assert row["label"] == names[given.labels[i]]
        assert row["likely_label"] == names[given.predicted[i]]
    suspected = suspected_labels(given.labels, np.exp(given.log_probabilities))
    assert [r["suspected"] for r in rows].count("yes") == suspected.sum() > 0
