"""A result in words: what a score has to beat, and what speaks against it."""

import numpy as np
import pytest

from artjax.evaluation import baselines, metrics
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.report import cautions, report_lines


def row(right, n, classes=3, **changes):
    labels = np.arange(n) % classes
    predicted = np.where(np.arange(n) < right, labels, (labels + 1) % classes)
    given = Predictions(labels, np.log(np.eye(classes)[predicted] * 0.9 + 0.1 / classes))
    values = baselines.baselines(labels, labels, classes, colour_histograms=0.4)
    return {**metrics.summary(given), "official_n": None, "baselines": values} | changes


def lines_of(result_row):
    return report_lines({"split": "test", "views": 1, "tasks": {"artist": result_row}})


def test_the_score_stands_beside_what_it_has_to_beat():
    lines = lines_of(row(90, 90))
    assert lines[1] == (
        "  to beat: chance 33.3%, the best constant answer 33.3%, always train's most frequent class "
        "33.3%, colour histograms 40.0%"
    )
    assert len(lines) == 2


def test_a_baseline_that_was_not_measured_is_left_out():
    labels = np.arange(90) % 3
    lines = lines_of(row(42, 90, baselines=baselines.baselines(labels, labels, 3)))
    assert not any("colour histograms" in line for line in lines)
    assert "chance 33.3%" in lines[1]


@pytest.mark.parametrize(
    ("unseen", "top1", "end"),
    [
        (30, 0.1, "; without the 60 that the weights have learnt from, top-1 10.0%"),
        (0, None, "; without the 90 that the weights have learnt from, top-1 of nothing"),
        (90, 1.0, " on 90 works"),
        (None, None, "; it cannot be known which of them the weights have learnt from"),
    ],
)
def test_works_that_the_weights_have_learnt_from_are_counted_apart(unseen, top1, end):
    given = {"n_unseen_by_weights": unseen, "top1_unseen_by_weights": top1}
    assert lines_of(row(90, 90, **given))[0].endswith(end)
    assert lines_of(row(90, 90))[0].endswith(" on 90 works")


def test_what_the_interval_does_not_exclude_is_named():
    assert lines_of(row(42, 90))[2] == (
        "  not shown to be better than colour histograms (40.0%): the interval includes it"
    )


def test_the_best_constant_answer_is_that_of_the_split():
    found = baselines.baselines(np.asarray([0, 0, 0, 1]), np.asarray([1, 1, 1, 0]), 2)
    assert found["best_constant"] == 0.75
    assert found["train_majority"] == 0.25
    assert found["colour_histograms"] is None


def test_classes_without_a_work_and_a_network_that_always_says_the_same_are_reported():
    labels = np.asarray([0, 0, 1])
    given = Predictions(labels, np.log(np.tile([0.8, 0.1, 0.1], (3, 1))))
    said = "\n".join(lines_of(row(3, 3) | metrics.summary(given)))
    assert "1 of 3 artists have no test work" in said
    assert "warning: the network names the same artist for every work" in said


@pytest.mark.parametrize(("train", "warned"), [(1.0, True), (0.5, False)])
def test_train_and_test_far_apart_are_reported(train, warned):
    results = {name: {"tasks": {"artist": row(36, 90)}} for name in ("validation", "test")}
    lines = cautions(results, {"train/top1": train})
    assert bool(lines) == warned
    assert all("overfitting" in line for line in lines)


def test_a_validation_split_too_small_to_choose_by_is_reported():
    results = {
        "validation": {"tasks": {"artist": row(5, 19)}},
        "test": {"tasks": {"artist": row(36, 90)}},
    }
    (line,) = cautions(results, {})
    assert line.startswith("warning: 19 validation works with a known artist are too few")


def test_images_of_one_work_count_as_less_than_as_many_works():
    labels = np.zeros(60, int)
    logs = np.log(np.where(np.arange(60)[:, None] < 30, [0.9, 0.1], [0.1, 0.9]))
    alone = metrics.summary(Predictions(labels, logs))
    ids = np.asarray([f"work {i // 10}" for i in range(60)])
    clustered = metrics.summary(Predictions(labels, logs, ids))
    assert (alone["works"], clustered["works"]) == (60, 6)
    assert clustered["top1_ci95"] == pytest.approx(metrics.wilson_interval(0.5, 6), rel=0.1)
    width = np.diff(clustered["top1_ci95"]) / np.diff(alone["top1_ci95"])
    assert 2 < width < 3.5


def trials_of(right, images):
    """The independent trials of works with `images` images each, of which `right` are right."""
    answers = np.concatenate([np.arange(n) < k for k, n in zip(right, images, strict=True)])
    return metrics.independent_trials(answers, np.repeat(np.arange(len(images)), images))


def test_trials_give_the_variance_of_the_mean_of_works_to_a_binomial_share():
    right, images = np.asarray([0, 3, 5, 9, 10, 7]), [10] * 6
    share = right.sum() / 60
    # Of works of one size the share is the mean of the works' shares, whose variance NumPy estimates.
    variance = np.var(right / 10, ddof=1) / 6
    trials = trials_of(right, images)
    assert 6 < trials < 60
    assert trials == pytest.approx(share * (1 - share) / variance)


def test_images_are_worth_no_less_than_their_works_and_no_more_than_themselves():
    # Two works of a hundred images decide all, as two trials would.
    assert trials_of([0, 100, 1, 0, 1], [100, 100, 1, 1, 1]) == 5
    # Works of ten images differ less than ten throws of a coin would.
    assert trials_of([5, 5, 5, 5, 5, 6], [10] * 6) == 60
    assert trials_of([5] * 6, [10] * 6) == 60


@pytest.mark.parametrize("right", [0, 10])
def test_answers_that_are_all_alike_are_as_certain_as_their_works(right):
    assert trials_of([right] * 6, [10] * 6) == 6
    labels, ids = np.full(60, right // 10), np.repeat(np.arange(6), 10)
    logs = np.log(np.tile([0.1, 0.9], (60, 1)))
    row = metrics.summary(Predictions(labels, logs, ids))
    assert row["top1"] == right / 10
    assert row["top1_ci95"] == list(metrics.wilson_interval(right / 10, 6))


def test_works_of_one_image_each_are_independent():
    labels = np.arange(50) % 3
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 50))
    ids = np.asarray([str(i) for i in range(50)])
    assert metrics.summary(Predictions(labels, logs, ids)) == metrics.summary(
        Predictions(labels, logs)
    )


def test_the_interval_of_clusters_covers_the_truth():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        share = rng.beta(2, 2, 40)  # of each work; 0.5 on average
        right = rng.random((40, 8)) < share[:, None]
        ids = np.repeat(np.arange(40).astype(str), 8)
        trials = metrics.independent_trials(right.ravel(), ids)
        low, high = metrics.wilson_interval(right.mean(), trials)
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / 300 <= 0.98
