"""The training step (state, batch) → new state, and the evaluation step. Both are pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from artjax import augment
from artjax.models.preprocessing import Preprocessing
from artjax.training.groups import merged
from artjax.training.optim import plateau_scale
from artjax.training.state import TrainState, variables_of

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

Batch = Mapping[str, jax.Array]

_RGB = Preprocessing()


def save_stages(stages: Iterable[str]) -> Any:
    """The rematerialisation policy: keep only the small output of each stage of the network.

    The backward pass recomputes all other activations, stage by stage.
    """
    return jax.checkpoint_policies.save_only_these_names(*stages)


def activation_dtype(precision: str, platform: str) -> Any:
    """The dtype of the activations. `auto` is float32 on CPU, bfloat16 on accelerators."""
    if precision == "auto":
        precision = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(precision)


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


def create_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    config: ConfigDict,
    preprocessing: Preprocessing = _RGB,
    stages: Iterable[str] = (),
    boundary: str = "",
    class_weights: Mapping[str, np.ndarray] | None = None,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """Builds the training step, a function (state, batch[, frozen]) → (new state, metrics).

    The batch holds `image` uint8 [B, S, S, 3]; `aspect` float32 [B], absent if the images are cropped
    already; and `label/<task>` int32 [B], -1 for unknown. The metrics are float32 scalars: `loss` (sum
    over the tasks of the mean cross-entropy over known labels), `top1` (mean over the tasks),
    `learning_rate` (with what the schedule `plateau` has made of it), and `gradient_norm` (before
    clipping; with SAM, of the second gradient). With several tasks there are also
    `<task>/loss` and `<task>/top1`, each with `weight/<task>/…`, the number of works that it counts. All
    random numbers depend only on (config.seed, state.step).

    In a mixed image (mixup, CutMix) each of the two labels is weighted by its work's share of the image.
    An unknown label has no weight, and the other one keeps its weight: the loss is the mean over all
    known shares. `top1` uses the label of the work with the larger share.

    With class weights the loss of a work is multiplied by the weight of its class, and the sum is
    divided by the sum of the weights, as in torch's `CrossEntropyLoss(weight=…)`. (That one gives
    smoothed classes their own weights; here a work has one weight.) With `loss.focal_gamma` the loss of
    a work is multiplied by (1 - p)^gamma, where p is the probability of its label: Lin et al., Focal
    Loss (2017), eq. 4.

    With `optim.sam_rho` the gradient is that at the point to which the gradient leads, at the distance
    rho: Foret et al., Sharpness-Aware Minimization (2021), algorithm 1. Running statistics and metrics
    come from the first pass, and dropout has the same key in both.

    With `config.accumulate` = A > 1 the network processes A micro-batches one after the other, and their
    gradients are added. The sum is the gradient of the whole batch, because the batch is augmented as a
    whole, and every mean is over the whole batch. Two things differ: BatchNorm normalises each
    micro-batch by its own statistics (and updates its running averages A times), and dropout has a key
    for each micro-batch.

    `frozen` holds the parameters that are not trained; the state holds all others. The stages up to
    `boundary` compute as in evaluation: their BatchNorm uses its running averages, and nothing is
    dropped. If `image` is floating point, it holds the outputs of that stage instead of images.

    Args:
      model: takes images float32 [B, S, S, 3] and `train`; returns logits for each task.
      optimizer: maps gradients to updates.
      schedule: step → learning rate, for the log.
      config: `seed`, `image_size`, `augment`, `remat`, `accumulate`, `ema_decay`, `loss`,
        `optim.label_smoothing` and `optim.sam_rho` are read.
      preprocessing: the input that the model expects.
      stages: names of the model's stages. Rematerialisation keeps their outputs.
      boundary: the last stage up to which all parameters are frozen; empty if there is none.
      class_weights: for each task, float32 [classes]; None unless `loss.class_weights` asks for them.

    Raises:
      ValueError: when the step is traced, if it asks for class weights and there are none.
    """
    base_key = jax.random.key(config.seed)
    gradients_of = _create_gradients(model, config, stages, boundary)

    def train_step(
        state: TrainState, batch: Batch, frozen: Any = None
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        augment_key, dropout_key = keys_of_step(base_key, state.step)
        images, own_share = batch["image"], None
        run_trunk = bool(boundary) and not holds_features(batch)
        if not holds_features(batch):
            images, own_share = augment.augmented(
                augment_key,
                images,
                batch.get("aspect"),
                config.augment,
                config.image_size,
                preprocessing.interpolation,
            )
            images = preprocessing.normalise(images)
        if class_weights is None and config.loss.class_weights != "none":
            raise ValueError("the weights of the classes need the labels of the training split")
        targets = task_targets(batch, own_share, class_weights)
        given = frozen, images, targets, dropout_key, run_trunk
        model_state, gradients, metrics = gradients_of(state, *given)
        if config.optim.sam_rho:
            ascended = _ascended(state.params, gradients, config.optim.sam_rho)
            _, gradients, _ = gradients_of(state.replace(params=ascended), *given)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            decay = ema_decay(config.ema_decay, state.step)
            ema = optax.incremental_update(variables_of(params, model_state), ema, 1 - decay)
        if len(targets) > 1:
            metrics |= _weights(targets)
        learning_rate = jnp.asarray(schedule(state.step), jnp.float32)
        if (scale := plateau_scale(state.opt_state)) is not None:
            learning_rate *= scale
        metrics |= {
            "learning_rate": learning_rate,
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


def _create_gradients(
    model: nn.Module, config: ConfigDict, stages: Iterable[str], boundary: str
) -> Callable[..., tuple[Any, Any, dict[str, jax.Array]]]:
    """Builds (state, frozen, images, targets, dropout key, run trunk) → (model state, gradients, …).

    With "run trunk", the stages up to the boundary are computed first, without a gradient.
    """
    where: dict[str, Any] = {"after": boundary} if boundary else {}

    def gradients_of(
        state: TrainState,
        frozen: Any,
        images: jax.Array,
        targets: Any,
        dropout_key: jax.Array,
        run_trunk: bool,
    ) -> tuple[Any, Any, dict[str, jax.Array]]:
        totals = {task: of_task.totals() for task, of_task in targets.items()}

        def loss_of(
            params: Any, model_state: Any, images: jax.Array, targets: Any, dropout_key: jax.Array
        ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
            logits, model_state = model.apply(
                variables_of(merged(params, frozen) if frozen else params, model_state),
                images,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=list(model_state),
                **where,
            )
            loss, metrics = _loss_and_top1(
                logits, targets, totals, config.optim.label_smoothing, config.loss.focal_gamma
            )
            return loss, (model_state, metrics)

        if config.remat:
            loss_of = jax.checkpoint(loss_of, policy=save_stages(stages))
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)

        def of_micro_batch(
            model_state: Any, images: jax.Array, targets: Any, dropout_key: jax.Array
        ) -> tuple[Any, Any]:
            if run_trunk:
                variables = variables_of(merged(state.params, frozen), model_state)
                images = model.apply(variables, images, until=boundary)  # type: ignore[assignment]
            (loss, (model_state, metrics)), gradients = gradient_of(
                state.params, model_state, images, targets, dropout_key
            )
            return model_state, (gradients, metrics | {"loss": loss})

        if config.accumulate == 1:
            model_state, sums = of_micro_batch(state.model_state, images, targets, dropout_key)
        else:
            model_state, sums = _summed_over_micro_batches(
                of_micro_batch,
                state.model_state,
                split_micro_batches((images, targets), config.accumulate),
                jax.random.split(dropout_key, config.accumulate),
            )
        return model_state, *sums

    return gradients_of


def _ascended(params: Any, gradients: Any, rho: float) -> Any:
    """The parameters, moved by the distance rho along the gradient."""
    # The constant is from the authors' code, for a gradient of 0.
    scale = rho / (optax.global_norm(gradients) + 1e-12)
    return jax.tree.map(lambda param, gradient: param + scale * gradient, params, gradients)


def ema_decay(limit: float, step: jax.Array) -> jax.Array:
    """Decay of the EMA at a step, float32: `min(limit, (1 + step) / (10 + step))`.

    At first the decay is smaller, so that the initial parameters soon have no weight. This is the
    formula of TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """
    step = step.astype(jnp.float32)
    return jnp.minimum(limit, (1 + step) / (10 + step))


def keys_of_step(base_key: jax.Array, step: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """The keys for the augmentation and the dropout of a step."""
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(base_key, step))
    return augment_key, dropout_key


def split_micro_batches(batch: Any, count: int) -> Any:
    """Reshapes arrays [B, …] to [count, B / count, …].

    Micro-batch m has the works m, m + count, m + 2 count, … So no work moves to another device, and the
    micro-batches do not depend on the number of devices.
    """

    def split(array: jax.Array) -> jax.Array:
        return array.reshape(-1, count, *array.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, batch)


def join_micro_batches(batch: Any) -> Any:
    """The inverse of `split_micro_batches`."""

    def join(array: jax.Array) -> jax.Array:
        return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])

    return jax.tree.map(join, batch)


def _summed_over_micro_batches(
    function: Callable[..., tuple[Any, Any]], model_state: Any, micro_batches: Any, keys: jax.Array
) -> tuple[Any, Any]:
    """Calls the function for each micro-batch; returns the last model state, and the sum of the rest."""

    def add(carry: tuple[Any, Any], micro_batch: Any) -> tuple[tuple[Any, Any], None]:
        model_state, sums = carry
        (images, targets), key = micro_batch
        model_state, terms = function(model_state, images, targets, key)
        return (model_state, jax.tree.map(jnp.add, sums, terms)), None

    first = jax.tree.map(lambda array: array[0], (micro_batches, keys))
    shapes = jax.eval_shape(function, model_state, *first[0], first[1])[1]
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    # Not unrolled, although convolutions in a loop are far slower on CPU: unrolling saves no memory.
    (model_state, sums), _ = jax.lax.scan(add, (model_state, zeros), (micro_batches, keys))
    return model_state, sums


def create_eval_step(
    model: nn.Module,
    image_size: int,
    micro_batches: int = 1,
    preprocessing: Preprocessing = _RGB,
    boundary: str = "",
) -> Callable[..., dict[str, jax.Array]]:
    """Builds the evaluation step: (variables, batch[, view]) → logits by task, float32 [B, classes].

    Without a view it uses the largest central square of the true image, or its share
    `preprocessing.crop_share`; with an `augment.View`, that view of each image.

    Args:
      model: as for `create_train_step`; `variables` are its parameters and statistics.
      image_size: side of the network's input in pixels.
      micro_batches: number of micro-batches into which a batch is divided, as in training.
      preprocessing: the input that the model expects.
      boundary: as for `create_train_step`; a floating-point `image` holds its outputs.
    """

    def eval_step(
        variables: Any, batch: Batch, view: augment.View | None = None
    ) -> dict[str, jax.Array]:
        if holds_features(batch):
            if view is not None:
                raise ValueError("features have no views: they are of one crop")
            of_features: Any = model.apply(variables, batch["image"], after=boundary)
            return of_features

        def logits_of(works: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            images = _evaluated(*works, image_size, preprocessing, view)
            logits: Any = model.apply(variables, preprocessing.normalise(images))
            return logits

        works = batch["image"], batch["aspect"]
        # A small batch, as in predict, may not be divisible, and needs little memory.
        if micro_batches == 1 or len(batch["image"]) % micro_batches:
            return logits_of(works)
        logits: Any = jax.lax.map(logits_of, split_micro_batches(works, micro_batches))
        return join_micro_batches(logits)

    return eval_step


def create_feature_step(
    model: nn.Module, config: ConfigDict, preprocessing: Preprocessing, boundary: str
) -> Callable[[Any, Batch, jax.Array | None], jax.Array]:
    """Builds a function (variables, batch, keys) → the outputs of the stage `boundary`, float16 [B, …].

    Without keys it sees what evaluation sees. With a key for each work, it sees the crop, flip, colour
    and so on that the key draws; they do not depend on the other works of the batch.

    Args:
      model: as for `create_train_step`.
      config: `image_size` and `augment` are read.
      preprocessing: the input that the model expects.
      boundary: name of a stage.
    """
    size = config.image_size

    def feature_step(variables: Any, batch: Batch, keys: jax.Array | None) -> jax.Array:
        def one(key: jax.Array, image: jax.Array, aspect: jax.Array) -> jax.Array:
            drawn = key, image[None], aspect[None]
            how = config.augment, size, preprocessing.interpolation
            return augment.augmented(*drawn, *how)[0][0]

        images, aspect = batch["image"], batch["aspect"]
        if keys is None:
            seen = _evaluated(images, aspect, size, preprocessing)
        else:
            seen = jax.vmap(one)(keys, images, aspect)
        features: Any = model.apply(variables, preprocessing.normalise(seen), until=boundary)
        return features.astype(jnp.float16)

    return feature_step


def _evaluated(
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    preprocessing: Preprocessing,
    view: augment.View | None = None,
) -> jax.Array:
    """What evaluation sees of canvases, float32 [B, size, size, 3] on the scale [0, 255]."""
    share, interpolation = preprocessing.crop_share, preprocessing.interpolation
    if view is not None:
        return augment.view_of(images, aspect, size, view, share, interpolation)
    return augment.central_crop(images, aspect, size, share, interpolation)


def holds_features(batch: Batch) -> bool:
    """Whether a batch has outputs of a stage of the network in place of its images."""
    return bool(jnp.issubdtype(batch["image"].dtype, jnp.floating))


def task_targets(
    batch: Batch,
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


def _loss_and_top1(
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


def _weights(targets: Mapping[str, TaskTargets]) -> dict[str, jax.Array]:
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
