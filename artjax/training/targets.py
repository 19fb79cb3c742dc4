"""The targets of a batch for each task, and the loss and top-1 of logits. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from artjax import augment


class TaskTargets(NamedTuple):
    """The labels of a batch for one task: each work's own and, in a mixed batch, its partner's."""

    labels: jax.Array  # int32 [B], -1 for unknown
    partner_labels: jax.Array | None
    own_share: jax.Array | None  # float32 [B]
    class_weights: jax.Array | None = None  # float32 [B], of the class of each work
    partner_class_weights: jax.Array | None = None

    @property
    def known(self) -> jax.Array:
        """The share of each image whose label is known, float32 [B]; 0 or 1 if images are not mixed."""
        known = (self.labels >= 0).astype(jnp.float32)
        if self.own_share is None or self.partner_labels is None:
            return known
        partner_known = (self.partner_labels >= 0).astype(jnp.float32)
        return self.own_share * known + (1 - self.own_share) * partner_known

    @property
    def weight(self) -> jax.Array:
        """`known`, each label times the weight of its class, float32 [B]."""
        if self.class_weights is None:
            return self.known
        own = self.class_weights * (self.labels >= 0).astype(jnp.float32)
        if self.own_share is None or self.partner_labels is None:
            return own
        assert self.partner_class_weights is not None
        partner = self.partner_class_weights * (self.partner_labels >= 0).astype(jnp.float32)
        return self.own_share * own + (1 - self.own_share) * partner

    @property
    def larger(self) -> jax.Array:
        """The label of the work with the larger share of the image, int32 [B]."""
        if self.own_share is None or self.partner_labels is None:
            return self.labels
        return jnp.where(self.own_share >= 0.5, self.labels, self.partner_labels)

    def smoothed(self, classes: int, smoothing: float) -> jax.Array:
        """Smoothed target distributions, float32 [B, classes]. An unknown label contributes zeros.

        With class weights they are multiplied by the weight of the label's class.
        """
        own = _smoothed(self.labels, classes, smoothing)
        if self.class_weights is not None:
            own *= self.class_weights[:, None]
        if self.own_share is None or self.partner_labels is None:
            return own
        share = self.own_share[:, None]
        partner = _smoothed(self.partner_labels, classes, smoothing)
        if self.partner_class_weights is not None:
            partner *= self.partner_class_weights[:, None]
        return share * own + (1 - share) * partner

    def totals(self) -> tuple[jax.Array, jax.Array]:
        """The divisors of the loss and of the top-1 of the whole batch, float32 scalars."""
        # If the known shares sum to less than 1, the divisor stays 1, so a few pixels weigh little.
        counted = (self.larger >= 0).astype(jnp.float32).sum()
        divisor = jnp.maximum(self.known.sum(), 1.0)
        if self.class_weights is not None:
            # The sum of the weights; where the shares sum to less than 1, as for shares that sum to 1.
            known, weight = self.known.sum(), self.weight.sum()
            divisor = jnp.where(known < 1, weight / jnp.maximum(known, 1e-6), weight)
            divisor = jnp.where(weight > 0, divisor, 1.0)
        return divisor, jnp.maximum(counted, 1.0)


def task_targets(
    batch: Mapping[str, jax.Array],
    own_share: jax.Array | None = None,
    class_weights: Mapping[str, np.ndarray] | None = None,
) -> dict[str, TaskTargets]:
    """The targets of each task; `own_share` is None if images are not mixed."""
    targets = {}
    for name, labels in batch.items():
        if not name.startswith("label/"):
            continue
        task = name.removeprefix("label/")
        partner_labels = None if own_share is None else augment.partner(labels)
        weights = partner_weights = None
        if class_weights is not None:
            weights = jnp.take(jnp.asarray(class_weights[task]), labels, mode="clip")
            partner_weights = None if own_share is None else augment.partner(weights)
        targets[task] = TaskTargets(labels, partner_labels, own_share, weights, partner_weights)
    return targets


def loss_and_top1(
    logits: Mapping[str, jax.Array],
    targets: Mapping[str, TaskTargets],
    totals: Mapping[str, tuple[jax.Array, jax.Array]],
    smoothing: float,
    focal_gamma: float = 0.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and top-1 of a batch, or the terms of a micro-batch. `totals` belong to the whole batch.

    Label smoothing as in Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    Mixed labels as in Zhang et al., mixup (2018), section 2.
    Focal loss as in Lin et al. (2017), eq. 4, for the softmax; not for mixed images.
    """
    total = jnp.zeros((), jnp.float32)
    losses, top1 = {}, {}
    for task, task_logits in logits.items():
        known, counted = totals[task]
        distributions = targets[task].smoothed(task_logits.shape[-1], smoothing)
        costs = optax.softmax_cross_entropy(task_logits, distributions)
        if focal_gamma:
            costs *= _focal_factor(task_logits, targets[task].labels, focal_gamma)
        losses[task] = costs.sum() / known
        total += losses[task]
        right = (task_logits.argmax(-1) == targets[task].larger).astype(jnp.float32)
        top1[task] = right.sum() / counted
    metrics = {"top1": jnp.stack(list(top1.values())).mean()}
    if len(top1) > 1:
        metrics |= {f"{task}/top1": value for task, value in top1.items()}
        metrics |= {f"{task}/loss": value for task, value in losses.items()}
    return total, metrics


def _focal_factor(logits: jax.Array, labels: jax.Array, gamma: float) -> jax.Array:
    """(1 - p)^gamma, where p is the probability of the label, float32 [B]."""
    log_probabilities = jax.nn.log_softmax(logits)
    known = jnp.maximum(labels, 0)[:, None]
    of_label = jnp.take_along_axis(log_probabilities, known, axis=-1)[:, 0]
    # Not quite 0, where a power below 1 has no derivative.
    return jnp.maximum(-jnp.expm1(of_label), 1e-7) ** gamma


def weights(targets: Mapping[str, TaskTargets]) -> dict[str, jax.Array]:
    """How many works each number of a task speaks for, float32 scalars: 0 where no label is known."""
    weights = {}
    for task, of_task in targets.items():
        weights[f"weight/{task}/loss"] = of_task.weight.sum()
        weights[f"weight/{task}/top1"] = (of_task.larger >= 0).astype(jnp.float32).sum()
    return weights


def _smoothed(labels: jax.Array, classes: int, smoothing: float) -> jax.Array:
    """Smoothed targets, float32 [B, classes]; zeros for unknown labels."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), smoothing)
    return targets * (labels >= 0).astype(jnp.float32)[:, None]
