"""The training step (state, batch) → new state, a pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from artjax import augment
from artjax.models.preprocessing import Preprocessing
from artjax.training.forward import RGB, Batch, holds_features, split_micro_batches
from artjax.training.groups import merged
from artjax.training.optim import plateau_scale
from artjax.training.state import TrainState, variables_of
from artjax.training.targets import loss_and_top1, task_targets, weights

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


@dataclass(frozen=True)
class StepSettings:
    """The numbers of a training step.

    Attributes:
      seed: all random numbers depend on it and on the number of the step alone.
      image_size: side of the network's input in pixels.
      augment: magnitudes of the augmentations, as in the section `augment` of a configuration.
      accumulate: number of micro-batches into which a batch is divided.
      remat: whether activations are recomputed in the backward pass.
      ema_decay: limit of the decay of the EMA, where the state has one.
      label_smoothing: share of the target that is distributed evenly; may be traced, float32 scalar.
      focal_gamma: focusing parameter of the focal loss; 0 = off.
      class_weights: whether the loss of a work has the weight of its class.
      sam_rho: radius of SAM; 0 = off.
    """

    seed: int
    image_size: int
    augment: Any
    accumulate: int = 1
    remat: bool = False
    ema_decay: float = 0.0
    label_smoothing: Any = 0.0
    focal_gamma: float = 0.0
    class_weights: bool = False
    sam_rho: float = 0.0

    @classmethod
    def of(cls, config: ConfigDict) -> StepSettings:
        """The numbers that a configuration sets."""
        return cls(
            seed=config.seed,
            image_size=config.image_size,
            augment=config.augment,
            accumulate=config.accumulate,
            remat=config.remat,
            ema_decay=config.ema_decay,
            label_smoothing=config.optim.label_smoothing,
            focal_gamma=config.loss.focal_gamma,
            class_weights=config.loss.class_weights != "none",
            sam_rho=config.optim.sam_rho,
        )


def save_stages(stages: Iterable[str]) -> Any:
    """The rematerialisation policy: keep only the small output of each stage of the network.

    The backward pass recomputes all other activations, stage by stage.
    """
    return jax.checkpoint_policies.save_only_these_names(*stages)


def create_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    settings: StepSettings,
    preprocessing: Preprocessing = RGB,
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
    random numbers depend only on (settings.seed, state.step).

    In a mixed image (mixup, CutMix) each of the two labels is weighted by its work's share of the image.
    An unknown label has no weight, and the other one keeps its weight: the loss is the mean over all
    known shares. `top1` uses the label of the work with the larger share.

    With class weights the loss of a work is multiplied by the weight of its class, and the sum is
    divided by the sum of the weights, as in torch's `CrossEntropyLoss(weight=…)`. (That one gives
    smoothed classes their own weights; here a work has one weight.) With `focal_gamma` the loss of
    a work is multiplied by (1 - p)^gamma, where p is the probability of its label: Lin et al., Focal
    Loss (2017), eq. 4.

    With `sam_rho` the gradient is that at the point to which the gradient leads, at the distance
    rho: Foret et al., Sharpness-Aware Minimization (2021), algorithm 1. Running statistics and metrics
    come from the first pass, and dropout has the same key in both.

    With `accumulate` = A > 1 the network processes A micro-batches one after the other, and their
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
      settings: the numbers.
      preprocessing: the input that the model expects.
      stages: names of the model's stages. Rematerialisation keeps their outputs.
      boundary: the last stage up to which all parameters are frozen; empty if there is none.
      class_weights: for each task, float32 [classes]; None unless the settings ask for them.

    Raises:
      ValueError: when the step is traced, if it asks for class weights and there are none.
    """
    base_key = jax.random.key(settings.seed)
    gradients_of = _create_gradients(model, settings, stages, boundary)

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
                settings.augment,
                settings.image_size,
                preprocessing.interpolation,
            )
            images = preprocessing.normalise(images)
        if class_weights is None and settings.class_weights:
            raise ValueError("the weights of the classes need the labels of the training split")
        targets = task_targets(batch, own_share, class_weights)
        given = frozen, images, targets, dropout_key, run_trunk
        model_state, gradients, metrics = gradients_of(state, *given)
        if settings.sam_rho:
            ascended = _ascended(state.params, gradients, settings.sam_rho)
            _, gradients, _ = gradients_of(state.replace(params=ascended), *given)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            decay = ema_decay(settings.ema_decay, state.step)
            ema = optax.incremental_update(variables_of(params, model_state), ema, 1 - decay)
        if len(targets) > 1:
            metrics |= weights(targets)
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
    model: nn.Module, settings: StepSettings, stages: Iterable[str], boundary: str
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
            loss, metrics = loss_and_top1(
                logits, targets, totals, settings.label_smoothing, settings.focal_gamma
            )
            return loss, (model_state, metrics)

        if settings.remat:
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

        if settings.accumulate == 1:
            model_state, sums = of_micro_batch(state.model_state, images, targets, dropout_key)
        else:
            model_state, sums = _summed_over_micro_batches(
                of_micro_batch,
                state.model_state,
                split_micro_batches((images, targets), settings.accumulate),
                jax.random.split(dropout_key, settings.accumulate),
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
