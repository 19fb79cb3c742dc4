"""The pure steps: from a state and a batch to a new state, or to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from artjax import augment
from artjax.state import TrainState

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict

Batch = Mapping[str, jax.Array]


def activation_dtype(precision: str, platform: str) -> Any:
    """The dtype of activations: bfloat16 on accelerators, float32 on CPU, unless it is set."""
    if precision == "auto":
        precision = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(precision)


def create_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    config: ConfigDict,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """Builds the training step.

    Everything random in it is a function of (config.seed, state.step).

    The step takes a state and a batch (`image` uint8 [B, S, S, 3]; `aspect` float32 [B], absent where
    the images are cropped already; `label/<task>` int32 [B] with -1 for unknown) and returns the new
    state and float32 scalars: `loss` (sum over tasks of the mean cross-entropy of the works whose label
    is known), `top1` (mean over tasks; also `<task>/top1` where there are several), `learning_rate` and
    `gradient_norm` (before clipping).

    In a mixed picture (mixup, CutMix) the cross-entropy with either label counts by the share of that
    work, and an unknown label counts for nothing while the other one keeps its share: the loss is the
    mean over all known shares. `top1` is asked about the work with the larger share.
    """
    base_key = jax.random.key(config.seed)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        augment_key, dropout_key = keys_of_step(base_key, state.step)
        images, own_share = augment.augmented(
            augment_key, batch["image"], batch.get("aspect"), config.augment, config.image_size
        )

        def loss_of(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
            logits, model_state = model.apply(
                {"params": params, **state.model_state},
                images,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=list(state.model_state),
            )
            smoothing = config.optim.label_smoothing
            loss, metrics = _loss_and_top1(logits, batch, smoothing, own_share)
            return loss, (model_state, metrics)

        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (model_state, metrics)), gradients = gradient_of(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(params, ema, 1 - config.ema_decay)
        metrics |= {
            "loss": loss,
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
            "gradient_norm": optax.global_norm(gradients),
        }
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema=ema,
        )
        return new_state, metrics

    return train_step


def keys_of_step(base_key: jax.Array, step: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """The keys of a step's augmentation and of its dropout."""
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(base_key, step))
    return augment_key, dropout_key


def create_eval_step(
    model: nn.Module, image_size: int
) -> Callable[[Any, Any, Batch], dict[str, jax.Array]]:
    """Builds the evaluation step: (params, model_state, batch) → logits by task, float32 [B, classes].

    Each work is seen once, as the largest central square of the true picture.
    """

    def eval_step(params: Any, model_state: Any, batch: Batch) -> dict[str, jax.Array]:
        images = augment.central_crop(batch["image"], batch["aspect"], image_size)
        variables = {"params": params, **model_state}
        logits: Any = model.apply(variables, augment.normalise(images))
        return logits

    return eval_step


def _loss_and_top1(
    logits: Mapping[str, jax.Array],
    batch: Batch,
    smoothing: float,
    own_share: jax.Array | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Label smoothing as in Szegedy et al., Rethinking the Inception Architecture (2016), section 7.

    Mixed labels as in Zhang et al., mixup (2018), section 2; `own_share` None is a batch not mixed.
    """
    total = jnp.zeros((), jnp.float32)
    top1 = {}
    for task, task_logits in logits.items():
        labels = batch[f"label/{task}"]
        targets, known = _targets(labels, task_logits.shape[-1], smoothing)
        if own_share is not None:
            others, others_known = augment.partner(targets), augment.partner(known)
            targets = own_share[:, None] * targets + (1 - own_share)[:, None] * others
            labels = jnp.where(own_share >= 0.5, labels, augment.partner(labels))
            known = own_share * known + (1 - own_share) * others_known
        # Below one known work in all, the loss fades rather than speaks for a few of its pixels.
        count = jnp.maximum(known.sum(), 1.0)
        total += optax.softmax_cross_entropy(task_logits, targets).sum() / count
        asked = jnp.maximum((labels >= 0).astype(jnp.float32).sum(), 1.0)
        right = (task_logits.argmax(-1) == labels).astype(jnp.float32)
        top1[task] = right.sum() / asked
    metrics = {"top1": jnp.stack(list(top1.values())).mean()}
    if len(top1) > 1:
        metrics |= {f"{task}/top1": value for task, value in top1.items()}
    return total, metrics


def _targets(labels: jax.Array, classes: int, smoothing: float) -> tuple[jax.Array, jax.Array]:
    """Smoothed targets, float32 [B, classes], zeros where unknown; and 1 where known, float32 [B]."""
    known = (labels >= 0).astype(jnp.float32)
    targets = jax.nn.one_hot(labels, classes)
    return optax.smooth_labels(targets, smoothing) * known[:, None], known
