"""What the checks conclude from numbers, and the test of the labels."""

import math

import numpy as np
import pytest
from scipy import stats

from artjax.modes.check import verdicts
from artjax.modes.check.verdicts import CANNOT_TELL, FAILED, OK, HeldOut

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("loss", "trained", "verdict"),
    [
        (math.log(12), (), OK),
        (1.01 * math.log(12), (), OK),
        (2.0, (), FAILED),
        (2.0, ("artist",), OK),
        (math.nan, (), FAILED),
        (math.inf, (), FAILED),
    ],
)
def test_the_first_loss_must_be_that_of_guessing(loss, trained, verdict):
    found = verdicts.first_loss({"artist": loss}, {"artist": 12}, trained)
    assert found.verdict == verdict
    assert "ln 12 = 2.4849" in found.text


def some_constant(count):
    images = PICTURES.copy()
    images[:count] = np.arange(count)[:, None, None, None] + 1
    return images


@pytest.mark.parametrize(
    ("images", "verdict", "says"),
    [
        (PICTURES, OK, "0% of one colour, 0% copies"),
        (np.zeros_like(PICTURES), FAILED, "all pictures are black"),
        (some_constant(2), OK, "10% of one colour"),
        (some_constant(4), FAILED, "many pictures are of one colour"),
        (np.repeat(PICTURES[:1], 20, 0), FAILED, "most pictures are the same"),
        (np.repeat(PICTURES[:10], 2, 0), FAILED, "copies of others: most"),
        (np.concatenate([PICTURES[:15], PICTURES[:5]]), OK, "26% copies"),
    ],
)
def test_pictures_must_be_pictures_and_differ(images, verdict, says):
    found = verdicts.pictures(images)
    assert found.verdict == verdict
    assert says in found.text


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [([0, 1, 2, -1], OK), ([2, 2, 2, -1], FAILED), ([-1, -1, -1, 1], CANNOT_TELL)],
)
def test_a_batch_must_have_two_classes(labels, verdict):
    found = verdicts.classes_of_batch({"artist": np.asarray(labels)}, {"artist": 3})
    assert found.verdict == verdict


def test_random_layers_must_not_be_frozen():
    assert verdicts.frozen([], [], 0).verdict == OK
    assert verdicts.frozen(["a/kernel"], [], 10).verdict == OK
    names = [f"conv{i}/kernel" for i in range(6)]
    found = verdicts.frozen(names, names[:5], 1234)
    assert found.verdict == FAILED
    assert "6 parameters (1,234 numbers)" in found.text
    assert "conv3/kernel and 1 more would keep" in found.text


@pytest.mark.parametrize(
    ("largest", "finite", "says"),
    [
        ({"a": 1.0, "b": 0.5}, {}, "finite, and not 0, in all 2 trained parameters"),
        ({"a": 1.0, "b": 0.0}, {}, "always 0 in b within 7 steps"),
        ({"a": 1.0, "b": 0.0}, {"b": False}, "not finite in b within 7 steps"),
    ],
)
def test_every_trained_parameter_needs_a_gradient(largest, finite, says):
    found = verdicts.gradients(largest, {"a": True, "b": True} | finite, 7)
    assert (found.verdict == OK) == says.startswith("finite")
    assert found.text.startswith(says)


def test_what_has_a_gradient_must_move():
    largest = {"a": 1.0, "b": 0.5, "key": 1e-9}
    assert verdicts.movement({"a": 0.1, "b": 0.01, "key": 0.1}, largest, 9).verdict == OK
    found = verdicts.movement({"a": 0.1, "b": 0.01, "key": 0.0}, largest, 9)
    assert found.verdict == OK
    assert "not key, which have next to no gradient" in found.text
    found = verdicts.movement({"a": 0.1, "b": 1e-11, "key": 0.1}, largest, 9)
    assert found.verdict == FAILED
    assert "1 of 3 trained parameters have hardly moved after 9 steps: b;" in found.text
    assert verdicts.movement({"a": 0.0}, {"a": 0.0}, 9).verdict == FAILED


@pytest.mark.parametrize(
    ("losses", "top1", "verdict", "says"),
    [
        ([2.5, 1.0, 0.05], [0.1, 0.6, 1.0], OK, "from 2.500 to 0.050 in 3 steps, top-1 100%"),
        ([2.5, 1.0, 0.05], [0.1, 0.6, 0.9], FAILED, "a network that learns"),
        ([2.5, 1.0, 0.5], [0.1, 0.6, 1.0], FAILED, "a network that learns gets below 0.1"),
        ([2.5, 2.5, 2.49], [0.1, 0.1, 0.1], FAILED, "nothing is learnt; raise"),
        ([2.5, 9.5, 2.0], [0.1, 0.1, 0.1], FAILED, "diverges; lower"),
        ([2.5, 9.5, math.nan], [0.1, 0.1, 0.1], FAILED, "not finite after 2 steps"),
    ],
)
def test_one_batch_must_be_learnt_by_heart(losses, top1, verdict, says):
    found = verdicts.one_batch(losses, top1, 0.1, 32, 0.1)
    assert found.verdict == verdict
    assert says in found.text
    if verdict == FAILED:  # where the input is another one, the rate is not blamed
        found = verdicts.one_batch(losses, top1, 0.1, 32, 0.1, input_first=True)
        assert "put the input right first" in found.text
        assert "peak_lr" not in found.text


@pytest.mark.parametrize("right", [0.05, 0.25, 0.5, 0.9])
def test_the_permutation_test_agrees_with_scipy(right):
    rng = np.random.default_rng(int(100 * right))
    labels = rng.integers(0, 4, 60)
    predicted = np.where(rng.random(60) < right, labels, rng.integers(0, 4, 60))
    share, permuted, needed, p = verdicts.held_out(predicted, labels, 4000, 0)
    theirs = stats.permutation_test(
        (predicted, labels),
        lambda a, b, axis=-1: (a == b).mean(axis=axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=4000,
        alternative="greater",
        rng=1,
    )
    assert share == theirs.statistic
    assert p == pytest.approx(theirs.pvalue, abs=0.03)
    assert permuted == pytest.approx(theirs.null_distribution.mean(), abs=0.01)
    assert needed == pytest.approx(np.quantile(theirs.null_distribution, 0.999), abs=0.05)


FOUND = HeldOut(160, 1.0, 320, 0.5, 0.125, 0.18, 0.0001)


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, OK, "names 50.0% of 320 others"),
        ({"held": 30}, CANNOT_TELL, "40 others are needed"),
        ({"p": 0.01}, CANNOT_TELL, "may be chance"),
        ({"p": 0.4, "fitted_top1": 0.6}, CANNOT_TELL, "too short"),
        ({"p": 0.4, "needed": 0.5}, CANNOT_TELL, "too few works"),
        ({"p": 0.4}, FAILED, "say nothing about the pictures"),
        ({"p": 0.0001, "fitted_top1": 0.6}, OK, "p = 0.0001"),
    ],
)
def test_labels_are_judged_only_where_there_is_evidence(changes, verdict, says):
    found = verdicts.labels("artist", HeldOut(**(vars(FOUND) | changes)))
    assert found.verdict == verdict
    assert says in found.text
    assert str(found).startswith(f"labels of artist: {verdict}: ")


def test_labels_that_were_not_tried_cannot_be_told():
    found = verdicts.labels("artist", None, "too few works")
    assert (found.verdict, found.text) == (CANNOT_TELL, "too few works")
