"""A result in words: what a score has to beat, and what speaks against it."""

import csv
import io

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from artjax.data.works import Split
from artjax.evaluation import baselines, metrics
from artjax.evaluation.metrics import Predictions
from artjax.evaluation.report import cautions, predictions_csv, report_lines


def row(right, n, classes=3, **changes):
    labels = np.arange(n) % classes
    predicted = np.where(np.arange(n) < right, labels, (labels + 1) % classes)
    given = Predictions(labels, np.log(np.eye(classes)[predicted] * 0.9 + 0.1 / classes))
    given = given._replace(others={"colour_histograms": np.arange(n) % 5 < 2})
    values = baselines.baselines(labels, labels, classes, given.others)
    return {**metrics.summary(given), "official_n": None, "baselines": values} | changes


def lines_of(result_row, split="test"):
    tasks = {"artist": result_row}
    return report_lines({"split": split, "views": 1, "cluster_by": "", "tasks": tasks})


def test_the_score_stands_beside_what_it_has_to_beat():
    lines = lines_of(row(90, 90))
    assert lines[1] == (
        "  to beat: chance 33.3%, the best constant answer 33.3%, always train's most frequent class "
        "33.3%, colour histograms 40.0%"
    )
    assert lines[2] == (
        "  loss to beat: uniform guesses 1.099, the label frequencies of train 1.099"
    )
    assert lines[3:] == [
        "  better than chance (33.3%), the best constant answer (33.3%) and always train's most "
        "frequent class (33.3%)",
        "  better than colour histograms (40.0%): 54 works right that they miss, 0 the reverse, "
        "p < 0.001",
    ]


def test_a_baseline_that_was_not_measured_is_left_out():
    labels = np.arange(90) % 3
    lines = lines_of(row(42, 90, baselines=baselines.baselines(labels, labels, 3)))
    assert not any("colour histograms" in line for line in lines)
    assert "chance 33.3%" in lines[1]


@pytest.mark.parametrize(
    ("only_this", "only_other", "verdict"),
    [
        (31, 12, "better than"),
        (12, 31, "worse than"),
        (25, 18, "not shown to be better than"),
        (18, 25, "not shown to be better than"),
        (6, 0, "better than"),  # the fewest that can be shown: 2 / 2⁶
        (5, 0, "not shown to be better than"),
    ],
)
def test_the_sentence_about_colour_histograms_is_that_of_a_paired_test(
    only_this, only_other, verdict
):
    right = np.arange(90) < 30 + only_this
    others = (np.arange(90) < 30) | (np.arange(90) >= 90 - only_other)
    given = Predictions(np.zeros(90, int), np.log(np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])))
    given = given._replace(others={"colour_histograms": others})
    values = baselines.baselines(given.labels, given.labels, 2, given.others)
    result = metrics.summary(given) | {"official_n": None, "baselines": values}
    (line,) = (line for line in lines_of(result)[2:] if "colour" in line)
    p = stats.binomtest(only_this, only_this + only_other, 0.5).pvalue
    assert result["paired"]["colour_histograms"]["p"] == pytest.approx(p)
    assert line == (
        f"  {verdict} colour histograms ({others.mean():.1%}): {only_this} works right that they miss, "
        f"{only_other} the reverse, p = {p:.2g}"
    )


def test_constant_answers_are_judged_one_by_one():
    values = {"chance": 0.1, "best_constant": 0.7, "train_majority": 0.45}
    result = row(42, 90)
    result["baselines"] |= values | {"colour_histograms": None}
    assert [line for line in lines_of(result) if " than " in line and "warning" not in line] == [
        "  better than chance (10.0%)",
        "  not shown to be better than always train's most frequent class (45.0%)",
        "  worse than the best constant answer (70.0%)",
    ]


@pytest.mark.parametrize("works", [1, 7, 100, 240])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.29, 0.5, 1.0])
def test_the_verdict_is_that_of_exact_binomial_tests(works, share):
    """Here by the tails of the binomial distribution; all numbers of right answers."""
    right = np.arange(works + 1)
    better = stats.binom.sf(right - 1, works, share) <= 0.025
    worse = stats.binom.cdf(right, works, share) <= 0.025
    found = [baselines.against_constant(k / works, float(works), share) for k in right]
    expected = np.select([better, worse], ["better than", "worse than"], baselines.NOT_SHOWN)
    assert found == expected.tolist()


def test_images_of_one_work_are_not_taken_for_as_many_trials():
    assert baselines.against_constant(0.5, 100, 0.35) == "better than"
    assert baselines.against_constant(0.5, 10, 0.35) == "not shown to be better than"
    ids = np.asarray([f"work {i // 10}" for i in range(60)])
    logs = np.log(np.where(np.arange(60)[:, None] < 30, [0.9, 0.1], [0.1, 0.9]))
    clustered = metrics.summary(Predictions(np.zeros(60, int), logs, ids))
    assert 4 <= clustered["top1_trials"] < 8
    alone = metrics.summary(Predictions(np.zeros(60, int), logs))
    assert alone["top1_trials"] == 60
    labels = np.zeros(60, int)
    values = baselines.baselines(labels, labels, 2) | {"chance": 0.35}
    shared = {"official_n": None, "baselines": values}
    assert "  better than chance (35.0%)" in lines_of(alone | shared)
    assert "  not shown to be better than chance (35.0%)" in lines_of(clustered | shared)


def test_rounding_changes_no_verdict():
    assert 29 / 100 * 100 < 29
    assert 7 / 100 * 100 > 7
    # Shares that so many right answers are just better, or just worse, than: one more or less is not.
    lower, upper = stats.beta.ppf(0.025, 29, 72) - 1e-9, stats.beta.ppf(0.975, 8, 93) + 1e-9
    assert stats.binom.sf(28, 100, lower) <= 0.025 < stats.binom.sf(27, 100, lower)
    assert stats.binom.cdf(7, 100, upper) <= 0.025 < stats.binom.cdf(8, 100, upper)
    assert baselines.against_constant(29 / 100, 100, lower) == "better than"
    assert baselines.against_constant(7 / 100, 100, upper) == "worse than"
    # And a mean over folds of 1.0000000000000002 is no error.
    assert baselines.against_constant(1.0, 100, np.nextafter(1, 2)) == baselines.NOT_SHOWN


@pytest.mark.parametrize("wanted", ["better than", "worse than"])
def test_numbers_that_are_no_whole_ones_are_rounded_to_the_harder_side(wanted):
    # Of 10 trials 9 right are better than 0.5, 8 are not; 1 right is worse, 2 are not.
    top1 = 0.84 if wanted == "better than" else 0.16
    assert baselines.against_constant(top1, 10, 0.5) == baselines.NOT_SHOWN
    exact = 0.9 if wanted == "better than" else 0.1
    assert baselines.against_constant(exact, 10, 0.5) == wanted
    # All of 5 alike have a chance of 1/32, all of 6 of 1/64; 5.9 trials are only 5.
    sure = 1.0 if wanted == "better than" else 0.0
    assert baselines.against_constant(sure, 5.9, 0.5) == baselines.NOT_SHOWN
    assert baselines.against_constant(sure, 6, 0.5) == wanted


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("train", "  learnt from these works: the score says nothing of other works"),
        (
            "validation",
            "  no unseen works: checkpoint, temperature and thresholds were chosen by them",
        ),
    ],
)
def test_works_that_the_run_has_used_give_no_result(split, said):
    """Neither an interval nor a verdict: they are those of works that nothing was chosen by."""
    (score, line) = lines_of(row(70, 90), split)
    assert score.startswith(f"{split} artist: top-1 77.8%, ")
    assert score.endswith(" on 90 works")
    assert line == said
    for verdict in ("interval", "to beat", "better than"):
        assert verdict in "\n".join(lines_of(row(42, 90)))
        assert verdict not in score + line


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


def test_a_loss_that_guesses_have_too_is_reported_whatever_the_score():
    """Right answers more often than guesses, but much too sure of the wrong ones."""
    good, bad = row(80, 90), row(60, 90)
    assert good["loss"] < np.log(3) < bad["loss"]
    assert not any("loss 0" in line and "warning" in line for line in lines_of(good))
    for split in ("train", "validation", "test"):
        (line,) = (line for line in lines_of(bad, split) if "warning" in line)
        assert line == (
            f"  warning: loss {bad['loss']:.3f}, where uniform guesses have 1.099 and the label "
            "frequencies of train have 1.099: the probabilities say no more than guesses do"
        )
    assert lines_of(row(60, 90, loss=None))[1:] == lines_of(row(60, 90, loss=0.5))[1:]


def test_the_losses_to_beat_are_those_of_constant_probabilities():
    train, labels = np.asarray([0, 0, 0, 1, 1, 2, -1]), np.asarray([2, 1, 0, 0, 0])
    found = baselines.baselines(train, labels, 3)
    uniform, shares = np.full((5, 3), 1 / 3), np.tile([3 / 6, 2 / 6, 1 / 6], (5, 1))
    assert found["uniform_loss"] == pytest.approx(oracle.log_loss(labels, uniform))
    assert found["train_frequencies_loss"] == pytest.approx(oracle.log_loss(labels, shares))
    only_in_test = baselines.baselines(train[train != 2], labels, 3)
    assert only_in_test["train_frequencies_loss"] is None  # infinite
    said = "\n".join(lines_of(row(60, 90, baselines=only_in_test)))
    assert "loss to beat: uniform guesses 1.099\n" in said
    assert "label frequencies" not in said
    unseen_class = baselines.baselines(train, labels, 4)  # and no work of these has it
    assert unseen_class["train_frequencies_loss"] == found["train_frequencies_loss"]


def test_of_one_class_there_is_nothing_to_guess():
    labels = np.zeros(20, int)
    values = metrics.summary(Predictions(labels, np.zeros((20, 1))))
    changes = {"official_n": None, "baselines": baselines.baselines(labels, labels, 1)}
    assert not any("warning" in line for line in lines_of(values | changes))


@pytest.mark.parametrize("broken", [0, 7, 90])
def test_works_without_a_finite_output_are_reported(broken):
    given = Predictions(np.arange(90) % 3, np.log(np.full((90, 3), 1 / 3)))
    given.log_probabilities[:broken] = np.nan
    lines = lines_of(row(90, 90) | metrics.summary(given))
    found = [line for line in lines if "no finite output" in line]
    assert (
        found
        == [
            f"  warning: {broken} of 90 images got no finite output (nan or infinity) and count as "
            "wrong: the network has diverged, or its numbers overflow"
        ][: bool(broken)]
    )
    assert any("names the same artist" in line for line in lines) == (broken < 90)


def test_the_table_has_no_prediction_where_there_is_no_finite_output():
    split = Split(
        "test",
        images=np.zeros((3, 1, 1, 3), np.uint8),
        rows=np.arange(3),
        aspect=np.ones(3, np.float32),
        labels={},
        file_names=np.asarray(["a.jpg", "b.jpg", "c.jpg"]),
    )
    logs = np.log([[0.75, 0.25], [0.25, 0.75]])
    logs[0] = np.nan
    predictions = {"artist": (np.asarray([0, 2]), Predictions(np.asarray([1, 0]), logs))}
    table = list(
        csv.reader(io.StringIO(predictions_csv(predictions, split, {"artist": ["x", "y"]})))
    )
    assert table[1] == ["a.jpg", "artist", "y", "", "", "", ""]
    assert table[2][:4] == ["c.jpg", "artist", "x", "y"]
    assert [float(cell) for cell in table[2][4:]] == pytest.approx([0.75, 0.25, 2])


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
