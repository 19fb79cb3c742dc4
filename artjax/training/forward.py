"""What evaluation computes: logits of a batch, and the outputs of a stage. Pure functions."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from artjax import augment
from artjax.models.preprocessing import Preprocessing

Batch = Mapping[str, jax.Array]

RGB = Preprocessing()


def activation_dtype(precision: str, platform: str) -> Any:
    """The dtype of the activations. `auto` is float32 on CPU, bfloat16 on accelerators."""
    if precision == "auto":
        precision = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(precision)


def create_eval_step(
    model: nn.Module,
    image_size: int,
    micro_batches: int = 1,
    preprocessing: Preprocessing = RGB,
    boundary: str = "",
) -> Callable[..., dict[str, jax.Array]]:
    """Builds the evaluation step: (variables, batch[, view]) → logits by task, float32 [B, classes].

    Without a view it uses the largest central square of the true image, or its share
    `preprocessing.crop_share`; with an `augment.View`, that view of each image.

    Args:
      model: takes images float32 [B, S, S, 3], and returns logits for each task; `variables` are its
        parameters and statistics.
      image_size: side of the network's input in pixels.
      micro_batches: number of micro-batches into which a batch is divided, as in training.
      preprocessing: the input that the model expects.
      boundary: the last stage up to which all parameters are frozen; a floating-point `image` holds its
        outputs.
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
            images = evaluated(*works, image_size, preprocessing, view)
            logits: Any = model.apply(variables, preprocessing.normalise(images))
            return logits

        works = batch["image"], batch["aspect"]
        # A small batch, as in predict, may not be divisible, and needs little memory.
        if micro_batches == 1 or len(batch["image"]) % micro_batches:
            return logits_of(works)
        logits: Any = jax.lax.map(logits_of, split_micro_batches(works, micro_batches))
        return join_micro_batches(logits)

    return eval_step


def create_dropout_step(
    model: nn.Module,
    image_size: int,
    micro_batches: int,
    preprocessing: Preprocessing,
    boundary: str,
    trunk_is_cached: bool,
) -> Callable[..., dict[str, jax.Array]]:
    """Builds (variables, batch, words, seed, passes[, view]) → logits, float32 [B, passes, classes].

    As the evaluation step, but with dropout on, and nothing else as in training: Gal & Ghahramani,
    Dropout as a Bayesian Approximation (2016), section 4. What drops out of a work depends on the seed,
    its word, the pass and the layer: not on the batch, nor on its place in it. What comes before the
    first dropout is computed once.

    Args:
      model: as for `create_eval_step`, and so are the next ones but the last.
      image_size: side of the network's input in pixels.
      micro_batches: number of micro-batches into which a batch is divided.
      preprocessing: the input that the model expects.
      boundary: the last stage up to which all parameters are frozen.
      trunk_is_cached: whether training has seen the outputs of `boundary` without dropout before it.
    """

    def dropout_step(
        variables: Any,
        batch: Batch,
        words: jax.Array,
        seed: int,
        passes: int,
        view: augment.View | None = None,
    ) -> dict[str, jax.Array]:
        of_seed = jax.random.key(seed)

        def logits_of(works: tuple[jax.Array, jax.Array, jax.Array]) -> dict[str, jax.Array]:
            x, aspect, words = works
            after = boundary
            if not holds_features(batch):
                images = evaluated(x, aspect, image_size, preprocessing, view)
                x, after = preprocessing.normalise(images), ""
                if trunk_is_cached:
                    of_trunk: Any = model.apply(variables, x, until=boundary)
                    x, after = of_trunk, boundary
            keys = jax.vmap(jax.random.fold_in, (None, 0))(of_seed, words)

            def of_pass(number: jax.Array) -> dict[str, jax.Array]:
                of_works = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
                with nn.intercept_methods(_dropping(of_works)):
                    logits: Any = model.apply(variables, x, after=after)
                return logits

            return jax.vmap(of_pass, out_axes=1)(jnp.arange(passes))

        works = batch["image"], batch["aspect"], words
        if micro_batches == 1 or len(words) % micro_batches:
            return logits_of(works)
        logits: Any = jax.lax.map(logits_of, split_micro_batches(works, micro_batches))
        joined: Any = join_micro_batches(logits)
        return joined

    return dropout_step


def _dropping(keys: jax.Array) -> Callable[..., Any]:
    """An interceptor that drops units out in every `nn.Dropout`, by a key for each work, [B]."""

    def drop(next_method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer = context.module
        if not isinstance(layer, nn.Dropout) or not layer.rate:
            return next_method(*args, **kwargs)
        (x,) = args
        number = zlib.crc32("/".join(layer.path).encode())
        kept = jax.vmap(
            lambda key: jax.random.bernoulli(
                jax.random.fold_in(key, number), 1 - layer.rate, x.shape[1:]
            )
        )(keys)
        return jnp.where(kept, x / (1 - layer.rate), jnp.zeros_like(x))

    return drop


def create_feature_step(
    model: nn.Module,
    image_size: int,
    magnitudes: Any,
    preprocessing: Preprocessing,
    boundary: str,
) -> Callable[[Any, Batch, jax.Array | None], jax.Array]:
    """Builds a function (variables, batch, keys) → the outputs of the stage `boundary`, float16 [B, …].

    Without keys it sees what evaluation sees. With a key for each work, it sees the crop, flip, colour
    and so on that the key draws; they do not depend on the other works of the batch.

    Args:
      model: as for `create_eval_step`.
      image_size: side of the network's input in pixels.
      magnitudes: of the augmentations, as in the section `augment` of a configuration.
      preprocessing: the input that the model expects.
      boundary: name of a stage.
    """

    def feature_step(variables: Any, batch: Batch, keys: jax.Array | None) -> jax.Array:
        def one(key: jax.Array, image: jax.Array, aspect: jax.Array) -> jax.Array:
            drawn = key, image[None], aspect[None]
            how = magnitudes, image_size, preprocessing.interpolation
            return augment.augmented(*drawn, *how)[0][0]

        images, aspect = batch["image"], batch["aspect"]
        if keys is None:
            seen = evaluated(images, aspect, image_size, preprocessing)
        else:
            seen = jax.vmap(one)(keys, images, aspect)
        features: Any = model.apply(variables, preprocessing.normalise(seen), until=boundary)
        return features.astype(jnp.float16)

    return feature_step


def evaluated(
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
