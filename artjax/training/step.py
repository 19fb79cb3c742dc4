"""The pure steps: from a state and a batch to a new state, or to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from artjax import augment
from artjax.models.vgg import STAGE_OUTPUT
from artjax.training.state import TrainState

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict

Batch = Mapping[str, jax.Array]

# What rematerialisation keeps: the small output of each stage of the network; the backward pass computes
# the rest again, stage by stage.
SAVE_STAGES = jax.checkpoint_policies.save_only_these_names(STAGE_OUTPUT)


def activation_dtype(precision: str, platform: str) -> Any:
    """The dtype of activations: bfloat16 on accelerators, float32 on CPU, unless it is set."""
    if precision == "auto":
        precision = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(precision)


class _Asked(NamedTuple):
    """The labels of a task in a batch: each work's own and, in a mixed batch, its partner's."""

    labels: jax.Array  # int32 [B], -1 for unknown
    partner_labels: jax.Array | None
    own_share: jax.Array | None  # float32 [B]

    @property
    def known(self) -> jax.Array:
        """The share of each work whose label is known, float32 [B]."""
        known = (self.labels >= 0).astype(jnp.float32)
        if self.own_share is None or self.partner_labels is None:
            return known
        partner_known = (self.partner_labels >= 0).astype(jnp.float32)
        return self.own_share * known + (1 - self.own_share) * partner_known

    @property
    def larger(self) -> jax.Array:
        """The label of the work with the larger share, int32 [B]."""
        if self.own_share is None or self.partner_labels is None:
            return self.labels
        return jnp.where(self.own_share >= 0.5, self.labels, self.partner_labels)

    def targets(self, classes: int, smoothing: float) -> jax.Array:
        """Smoothed targets, float32 [B, classes]; an unknown label adds nothing."""
        own = _targets(self.labels, classes, smoothing)
        if self.own_share is None or self.partner_labels is None:
            return own
        share = self.own_share[:, None]
        return share * own + (1 - share) * _targets(self.partner_labels, classes, smoothing)

    def totals(self) -> tuple[jax.Array, jax.Array]:
        """By what the loss and the top-1 of the whole batch are divided, float32 scalars."""
        # Below one known work in all, the loss fades rather than speaks for a few of its pixels.
        asked = (self.larger >= 0).astype(jnp.float32).sum()
        return jnp.maximum(self.known.sum(), 1.0), jnp.maximum(asked, 1.0)


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

    With `config.accumulate` = A > 1 the network sees A parts of the batch one after the other, and the
    update follows from the sum of their gradients: those of the whole batch, as the parts are augmented
    together and divided by the known works of all. Two things differ from the large batch: BatchNorm
    normalises each part by its own statistics (and moves its running averages A times), and dropout has
    a key for each part.
    """
    base_key = jax.random.key(config.seed)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        augment_key, dropout_key = keys_of_step(base_key, state.step)
        images, own_share = augment.augmented(
            augment_key, batch["image"], batch.get("aspect"), config.augment, config.image_size
        )
        asked = _asked(batch, own_share)
        totals = {task: question.totals() for task, question in asked.items()}

        def loss_of(
            params: Any, model_state: Any, images: jax.Array, asked: Any, dropout_key: jax.Array
        ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
            logits, model_state = model.apply(
                {"params": params, **model_state},
                images,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=list(model_state),
            )
            loss, metrics = _loss_and_top1(logits, asked, totals, config.optim.label_smoothing)
            return loss, (model_state, metrics)

        if config.remat:
            loss_of = jax.checkpoint(loss_of, policy=SAVE_STAGES)
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)

        def gradient_of_part(
            model_state: Any, images: jax.Array, asked: Any, dropout_key: jax.Array
        ) -> tuple[Any, Any]:
            (loss, (model_state, metrics)), gradients = gradient_of(
                state.params, model_state, images, asked, dropout_key
            )
            return model_state, (gradients, metrics | {"loss": loss})

        if config.accumulate == 1:
            model_state, (gradients, metrics) = gradient_of_part(
                state.model_state, images, asked, dropout_key
            )
        else:
            model_state, (gradients, metrics) = _summed_over_parts(
                gradient_of_part,
                state.model_state,
                split_parts((images, asked), config.accumulate),
                jax.random.split(dropout_key, config.accumulate),
            )
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(params, ema, 1 - config.ema_decay)
        metrics |= {
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


def split_parts(batch: Any, parts: int) -> Any:
    """Arrays [B, …] as [parts, B / parts, …]: part p has the works p, p + parts, p + 2 parts …

    Neighbours go to different parts, so that every device keeps its own works and any number of devices
    has the same parts.
    """

    def split(array: jax.Array) -> jax.Array:
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, batch)


def join_parts(batch: Any) -> Any:
    """The inverse of `split_parts`."""

    def join(array: jax.Array) -> jax.Array:
        return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])

    return jax.tree.map(join, batch)


def _summed_over_parts(
    function: Callable[..., tuple[Any, Any]], model_state: Any, parts: Any, keys: jax.Array
) -> tuple[Any, Any]:
    """The last model state, and the sum of what the function returns for each part."""

    def add_part(carry: tuple[Any, Any], part: Any) -> tuple[tuple[Any, Any], None]:
        model_state, sums = carry
        (images, asked), key = part
        model_state, terms = function(model_state, images, asked, key)
        return (model_state, jax.tree.map(jnp.add, sums, terms)), None

    first = jax.tree.map(lambda array: array[0], (parts, keys))
    shapes = jax.eval_shape(function, model_state, *first[0], first[1])[1]
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    # A loop, although XLA compiles convolutions in one far slower on CPU: unrolled, it saves no memory.
    (model_state, sums), _ = jax.lax.scan(add_part, (model_state, zeros), (parts, keys))
    return model_state, sums


def create_eval_step(
    model: nn.Module, image_size: int, parts: int = 1
) -> Callable[[Any, Any, Batch], dict[str, jax.Array]]:
    """Builds the evaluation step: (params, model_state, batch) → logits by task, float32 [B, classes].

    Each work is seen once, as the largest central square of the true picture. With `parts` > 1 the
    network sees that many parts of the batch one after the other, as in accumulated training.
    """

    def eval_step(params: Any, model_state: Any, batch: Batch) -> dict[str, jax.Array]:
        variables = {"params": params, **model_state}

        def logits_of(part: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            images = augment.central_crop(*part, image_size)
            logits: Any = model.apply(variables, augment.normalise(images))
            return logits

        works = batch["image"], batch["aspect"]
        if (
            parts == 1 or len(batch["image"]) % parts
        ):  # a few pictures to predict are no large batch
            return logits_of(works)
        logits: Any = join_parts(jax.lax.map(logits_of, split_parts(works, parts)))
        return logits

    return eval_step


def _asked(batch: Batch, own_share: jax.Array | None = None) -> dict[str, _Asked]:
    """What is asked of each task; `own_share` None is a batch not mixed."""
    asked = {}
    for name, labels in batch.items():
        if name.startswith("label/"):
            partner_labels = None if own_share is None else augment.partner(labels)
            asked[name.removeprefix("label/")] = _Asked(labels, partner_labels, own_share)
    return asked


def _loss_and_top1(
    logits: Mapping[str, jax.Array],
    asked: Mapping[str, _Asked],
    totals: Mapping[str, tuple[jax.Array, jax.Array]],
    smoothing: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and top-1 of a batch, or what a part of it adds to them: `totals` are the whole batch's.

    Label smoothing as in Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    Mixed labels as in Zhang et al., mixup (2018), section 2.
    """
    total = jnp.zeros((), jnp.float32)
    top1 = {}
    for task, task_logits in logits.items():
        known, questions = totals[task]
        targets = asked[task].targets(task_logits.shape[-1], smoothing)
        total += optax.softmax_cross_entropy(task_logits, targets).sum() / known
        right = (task_logits.argmax(-1) == asked[task].larger).astype(jnp.float32)
        top1[task] = right.sum() / questions
    metrics = {"top1": jnp.stack(list(top1.values())).mean()}
    if len(top1) > 1:
        metrics |= {f"{task}/top1": value for task, value in top1.items()}
    return total, metrics


def _targets(labels: jax.Array, classes: int, smoothing: float) -> jax.Array:
    """Smoothed targets, float32 [B, classes], zeros where unknown."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), smoothing)
    return targets * (labels >= 0).astype(jnp.float32)[:, None]
