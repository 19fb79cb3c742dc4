"""Weights of the classes, focal loss: against formulas in float64 and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from tiny import tiny_config

from artjax.training.losses import class_counts, class_weights
from artjax.training.targets import loss_and_top1, task_targets

LABELS = np.asarray([0] * 7 + [2] * 1 + [3] * 4 + [-1] * 3)  # class 1 does not occur
COUNTS = np.asarray([7, 0, 1, 4])


def loss_config(**changes):
    return tiny_config(**{f"loss__{name}": value for name, value in changes.items()}).loss


def test_counts_leave_out_unknown_labels():
    counts = class_counts({"a": LABELS, "b": np.asarray([1])}, {"a": 4, "b": 3})
    assert {task: of.tolist() for task, of in counts.items()} == {"a": [7, 0, 1, 4], "b": [0, 1, 0]}


def test_balanced_equals_scikit_learn():
    known = LABELS[LABELS >= 0]
    theirs = compute_class_weight("balanced", classes=np.asarray([0, 2, 3]), y=known)
    ours = class_weights(loss_config(class_weights="balanced"), COUNTS)
    np.testing.assert_allclose(ours[[0, 2, 3]], theirs, rtol=1e-6)
    assert ours[1] == 0


@pytest.mark.parametrize("beta", [0.5, 0.99, 0.9999])
def test_effective_number_follows_equations_2_and_3(beta):
    ours = class_weights(loss_config(class_weights="effective_number", effective_beta=beta), COUNTS)
    effective = [(1 - beta**n) / (1 - beta) for n in (7, 1, 4)]
    expected = (1 / np.asarray(effective)) / np.mean(1 / np.asarray(effective))
    np.testing.assert_allclose(ours[[0, 2, 3]], expected, rtol=1e-5)
    assert ours[1] == 0


def test_effective_number_goes_from_equal_weights_to_balanced_ones():
    equal, nearly = (
        class_weights(loss_config(class_weights="effective_number", effective_beta=beta), COUNTS)
        for beta in (0.0, 1 - 1e-12)
    )
    np.testing.assert_array_equal(equal, [1, 0, 1, 1])
    balanced = class_weights(loss_config(class_weights="balanced"), COUNTS)
    np.testing.assert_allclose(nearly / nearly[0], balanced / balanced[0], rtol=1e-4)


RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(8, 4)) * 2
BATCH = np.asarray([0, -1, 2, 3, 0, -1, 3, 2])
SHARE = np.asarray([0.9, 0.8, 0.3, 0.5, 0.6, 0.25, 1.0, 0.1])
WEIGHTS = np.asarray([0.4, 0.0, 3.0, 1.25])


def ours(labels=BATCH, share=None, weights=None, smoothing=0.0, gamma=0.0):
    given = None if weights is None else {"a": weights.astype(np.float32)}
    share = None if share is None else jnp.asarray(share, jnp.float32)
    targets = task_targets({"label/a": jnp.asarray(labels)}, share, given)
    totals = {task: of_task.totals() for task, of_task in targets.items()}
    logits = {"a": jnp.asarray(LOGITS, jnp.float32)}
    return float(loss_and_top1(logits, targets, totals, smoothing, gamma)[0])


def expected(share=None, weights=None, smoothing=0.0, gamma=0.0):
    """In float64, work by work."""
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    weights = np.ones(4) if weights is None else weights
    total = divisor = 0.0
    for i, label in enumerate(BATCH):
        parts = [(label, 1.0 if share is None else share[i])]
        if share is not None:
            parts.append((BATCH[i - 1], 1 - share[i]))
        for c, part in parts:
            if c >= 0:
                smoothed = (1 - smoothing) * np.eye(4)[c] + smoothing / 4
                cost = -(smoothed * log_p[i]).sum() * (1 - np.exp(log_p[i, c])) ** gamma
                total += part * weights[c] * cost
                divisor += part * weights[c]
    return total / divisor


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("share", [None, SHARE], ids=["plain", "mixed"])
def test_weighted_loss_is_the_weighted_mean(share, smoothing):
    given = {"share": share, "weights": WEIGHTS, "smoothing": smoothing}
    assert ours(**given) == pytest.approx(expected(**given), rel=1e-5)
    assert ours(**given) != pytest.approx(ours(share=share, smoothing=smoothing), rel=1e-2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_of_one_change_nothing(smoothing):
    for share in (None, SHARE, 0.01 * SHARE):
        plain = ours(share=share, smoothing=smoothing)
        weighted = ours(share=share, smoothing=smoothing, weights=np.ones(4))
        assert weighted == pytest.approx(plain, rel=1e-6)


def test_the_scale_of_the_weights_does_not_matter():
    # A small sum of weights is divided by, too, unlike a small sum of shares.
    assert ours(weights=WEIGHTS) == pytest.approx(ours(weights=1e-3 * WEIGHTS), rel=1e-5)


def test_weighted_batch_without_a_known_label_costs_nothing():
    for share in (None, SHARE):
        assert ours(labels=np.full(8, -1), share=share, weights=WEIGHTS) == 0


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_follows_equation_4(gamma, weights):
    for smoothing in (0.0, 0.2):
        given = {"gamma": gamma, "weights": weights, "smoothing": smoothing}
        assert ours(**given) == pytest.approx(expected(**given), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_gradient_of_the_focal_loss_is_finite_where_a_work_is_certain(gamma):
    def loss(logits):
        targets = task_targets({"label/a": jnp.asarray([0, 1, -1])})
        totals = {task: of_task.totals() for task, of_task in targets.items()}
        return loss_and_top1({"a": logits}, targets, totals, 0.0, gamma)[0]

    certain = jnp.asarray([[200.0, 0.0], [200.0, 0.0], [0.0, 200.0]])  # right, wrong, unknown
    value, gradient = jax.value_and_grad(loss)(certain)
    assert value == pytest.approx(100)  # of the wrong one, which counts in full
    np.testing.assert_allclose(gradient, [[0, 0], [0.5, -0.5], [0, 0]], atol=1e-4)
