import warnings

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as oracle

from artjax.evaluation import metrics
from artjax.evaluation.metrics import Predictions


# With 200 works every class occurs as a label or a prediction. With 9, some occur once, some never.
@pytest.mark.parametrize(("works", "classes"), [(200, 7), (9, 12)])
def test_all_numbers_equal_scikit_learn(works, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - 1, works)
    logits = rng.normal(size=(works, classes)).astype(np.float32)
    given = Predictions(labels, metrics.log_softmax(logits))
    probabilities = special.softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.exp(given.log_probabilities), probabilities, rtol=1e-12)
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(given.predicted, predicted)
    assert metrics.top1(given) == pytest.approx(oracle.accuracy_score(labels, predicted))
    top5 = oracle.top_k_accuracy_score(labels, probabilities, k=5, labels=range(classes))
    assert metrics.top5(given) == pytest.approx(top5)
    loss = oracle.log_loss(labels, probabilities, labels=range(classes))
    assert metrics.loss(given) == pytest.approx(loss)
    f1 = oracle.f1_score(labels, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(given) == pytest.approx(f1)
    with warnings.catch_warnings():
        # It warns of predictions of classes without a work, and leaves these classes out.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true", UserWarning)
        recall = oracle.balanced_accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(given) == pytest.approx(recall)
    assert metrics.auroc(given) == pytest.approx(mean_area(labels, probabilities))


def mean_area(labels, scores):
    return np.mean([oracle.roc_auc_score(labels == c, scores[:, c]) for c in np.unique(labels)])


@pytest.mark.parametrize("decimals", [1, 0])  # with none, nearly every pair of works is a tie
def test_ties_count_half_in_the_area_under_the_curve(decimals):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 60)
    scores = rng.dirichlet(np.ones(3), 60).round(decimals)
    assert len(np.unique(scores)) <= 11
    with np.errstate(divide="ignore"):  # a probability of 0 is the lowest score
        given = Predictions(labels, np.log(scores))
    assert metrics.auroc(given) == pytest.approx(mean_area(labels, scores), abs=1e-12)
    assert metrics.auroc(Predictions(labels, np.zeros((60, 3)))) == 0.5


def test_the_area_is_the_macro_average_of_scikit_learn_where_all_classes_occur():
    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 4, 80), rng.dirichlet(np.ones(4), 80)
    theirs = oracle.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    row = metrics.summary(Predictions(labels, np.log(scores)))
    assert row["auroc"] == pytest.approx(theirs)
    assert row["auroc_classes"] == 4
    without = labels != 3  # a class without a work is not in the mean
    row = metrics.summary(Predictions(labels[without], np.log(scores[without])))
    assert row["auroc"] == pytest.approx(mean_area(labels[without], scores[without]))
    assert row["auroc_classes"] == 3


@pytest.mark.parametrize("probability", [0.5, np.nan])
def test_an_area_that_is_not_defined_is_said_in_words(probability):
    labels = np.zeros(4, int) if probability == 0.5 else np.arange(4) % 2
    row = metrics.summary(Predictions(labels, np.full((4, 2), np.log(probability))))
    assert row["auroc"] is None
    assert row["auroc_classes"] == 0
    assert "AUROC undefined" in metrics.format_metrics(row)


def test_numbers_of_each_class_equal_scikit_learn():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 40)  # class 4 has no work and is predicted, class 5 neither
    scores = rng.dirichlet(np.ones(6), 40) * np.asarray([1, 1, 1, 1e-9, 1, 1e-9])
    ids = np.asarray([f"work {i // 2}" for i in range(40)])
    given = Predictions(labels, np.log(scores), ids)
    assert set(given.predicted) == {0, 1, 2, 4}
    names = ["a", "b", "c", "d", "e", "f"]
    ours = metrics.by_class(given, names)
    theirs = oracle.precision_recall_fscore_support(
        labels, given.predicted, labels=range(6), zero_division=np.nan
    )
    for kind, values in zip(("precision", "recall", "f1", "n"), theirs, strict=True):
        found = [ours[name][kind] for name in names]
        expected = [None if np.isnan(value) else pytest.approx(value) for value in values]
        assert found == expected, kind
    assert ours["d"]["precision"] is None
    assert ours["d"]["f1"] == 0
    assert ours["e"]["recall"] is None
    nothing = dict.fromkeys(("precision", "recall", "f1", "average_precision"))
    assert ours["f"] == nothing | {"n": 0, "works": 0}
    works = [len(set(ids[labels == c])) for c in range(6)]
    assert [ours[name]["works"] for name in names] == works
    assert "by_class" not in metrics.summary(given)
    assert metrics.summary(given, names)["by_class"] == ours


def test_a_mean_of_probabilities_too_small_for_float64_is_not_0():
    logs = [
        np.asarray([[-2000.0, -1.0]]),
        np.asarray([[-2001.0, -2.0]]),
        np.asarray([[-np.inf, 0]]),
    ]
    ours = metrics.mean_log_probabilities(logs)
    expected = special.logsumexp(logs, axis=0) - np.log(3)
    np.testing.assert_allclose(ours, expected, rtol=1e-15)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(np.exp(ours[:, 1]), np.mean(np.exp(logs), axis=0)[:, 1])


def test_all_metrics_are_formatted_in_the_order_of_a_report():
    row = metrics.summary(Predictions(np.asarray([0, 1]), np.log(np.full((2, 2), 0.5))))
    assert metrics.format_metrics(row) == (
        "top-1 50.0% (95 % interval 9.5% to 90.5%, of this network on other works), "
        "balanced accuracy 50.0% (chance 50.0%), "
        "macro-F1 0.333, AUROC 0.500, mean average precision 0.500, loss 0.693, Brier score 0.500, "
        "ECE undefined, AURC 0.500"
    )


@pytest.mark.parametrize(("classes", "chance"), [(5, None), (6, "83.3%"), (20, "25.0%")])
def test_chance_stands_beside_what_few_classes_make_easy(classes, chance):
    """Of five classes the five most probable ones are all of them."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 2000)
    guesses = Predictions(labels, np.log(rng.dirichlet(np.ones(classes), len(labels))))
    row = metrics.summary(guesses)
    said = metrics.format_metrics(row)
    assert f"balanced accuracy {row['balanced_accuracy']:.1%} (chance {1 / classes:.1%})" in said
    assert row["balanced_accuracy"] == pytest.approx(1 / classes, abs=0.02)
    if chance is None:
        assert row["top5"] == 1
        assert "top-5" not in said
    else:
        assert f"top-5 {row['top5']:.1%} (chance {chance})" in said
        assert row["top5"] == pytest.approx(float(chance[:-1]) / 100, abs=0.02)


def test_equal_probabilities_are_ranked_by_class_number():
    ties = Predictions(np.asarray([0, 1, 2]), np.log(np.full((3, 3), 1 / 3)))
    assert list(ties.label_ranks) == [1, 2, 3]
    assert list(ties.predicted) == [0, 0, 0]


def test_log_softmax_survives_large_logits():
    values = metrics.log_softmax(np.asarray([[1e4, 0.0], [-1e4, 0.0]], np.float32))
    np.testing.assert_allclose(np.exp(values).sum(axis=1), 1)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_logit_that_is_not_finite_leaves_no_probabilities(bad):
    values = metrics.log_softmax(np.asarray([[0.0, bad, 1.0], [0.0, 0.5, 1.0]], np.float32))
    assert np.isnan(values[0]).all()
    np.testing.assert_allclose(values[1], special.log_softmax([0.0, 0.5, 1.0]))


# With three classes every rank is among the first five: a work without an output is not.
@pytest.mark.parametrize("classes", [3, 9])
@pytest.mark.parametrize("broken", [0.3, 1.0])
def test_works_without_a_finite_output_count_as_wrong(classes, broken):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % classes
    logits = rng.normal(size=(60, classes)).astype(np.float32)
    logits[rng.random(60) < 0.5, 0] += 9  # class 0, which argmax makes of nan, is often right
    bad = rng.random(60) < broken
    logits[bad] = np.nan
    given = Predictions(labels, metrics.log_softmax(logits))
    np.testing.assert_array_equal(given.finite, ~bad)
    order = np.argsort(-logits[~bad], axis=1)
    assert (given.predicted[~bad] == order[:, 0]).all()
    assert (given.predicted[bad] == -1).all()
    assert (given.label_ranks[bad] == classes + 1).all()
    row = metrics.summary(given, [f"class {c}" for c in range(classes)])
    hits = order == labels[~bad, None]
    assert row["top1"] == pytest.approx(hits[:, :1].sum() / 60)
    assert row["top5"] == pytest.approx(hits[:, :5].sum() / 60)
    assert row["not_finite"] == bad.sum()
    assert row["predicted_classes"] == len(np.unique(order[:, 0]))
    assert np.isnan(row["loss"])
    assert row["auroc"] is row["brier"] is row["ece"] is None
    # A class of its own, which no label has, is scikit-learn's way of saying "none of these".
    answers = np.where(bad, classes, given.predicted)
    f1, recall = (
        oracle.f1_score(labels, answers, average="macro", labels=range(classes), zero_division=0),
        oracle.recall_score(labels, answers, average=None, labels=range(classes)),
    )
    assert row["macro_f1"] == pytest.approx(f1)
    assert row["balanced_accuracy"] == pytest.approx(recall.mean())
    assert [of["recall"] for of in row["by_class"].values()] == pytest.approx(recall)
    assert "loss undefined" in metrics.format_metrics(row)
