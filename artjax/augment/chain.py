"""All augmentations of a training batch, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from artjax.augment import color, damage, geometry, mixing, policy

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

# Each augmentation folds its own number into the key. The numbers never change, so switching one on, or
# adding another, does not change the random numbers of the others.
_CROP, _FLIP, _COLOR, _BLUR, _NOISE, _DROP_PIXELS, _ERASE, _MIX, _POLICY = range(9)
_COLORS = ("brightness", "contrast", "saturation", "hue", "pca_color")


def augmented(
    key: jax.Array,
    images: jax.Array,
    aspect: jax.Array | None,
    magnitudes: ConfigDict,
    size: int,
    interpolation: str = "linear",
) -> tuple[jax.Array, jax.Array | None]:
    """Crops and augments a training batch.

    Args:
      key: a PRNG key.
      images: canvases, uint8 [B, S, S, 3].
      aspect: true width / height, float32 [B]; None if the images are the boxes of `crop_boxes` already.
        Then S = `size`.
      magnitudes: the `augment` section of a configuration. A transform of magnitude 0 is skipped.
      size: side of the result in pixels.
      interpolation: of the crops, `linear` or `cubic`.

    Returns:
      The images, float32 [B, size, size, 3] on the scale [0, 255]. And the share of each image that is
      its own, float32 [B] (the rest belongs to its `mixing.partner`), or None if images are not mixed.
    """
    if aspect is None:
        images = images.astype(jnp.float32)
    else:
        images = geometry.random_resized_crop(
            jax.random.fold_in(key, _CROP),
            images,
            aspect,
            size,
            min_area=magnitudes.min_area,
            max_stretch=magnitudes.max_stretch,
            rotate_degrees=magnitudes.rotate_degrees,
            interpolation=interpolation,
        )
    if magnitudes.flip:
        images = geometry.random_flip(jax.random.fold_in(key, _FLIP), images)
    if magnitudes.policy != "none":
        images = policy.apply_policy(
            jax.random.fold_in(key, _POLICY),
            images,
            magnitudes.policy,
            magnitudes.policy_transforms,
            magnitudes.policy_magnitude,
        )
    colors = {name: magnitudes[name] for name in _COLORS}
    if any(colors.values()):
        images = color.random_color(jax.random.fold_in(key, _COLOR), images, **colors)
    if magnitudes.blur:
        images = damage.random_blur(jax.random.fold_in(key, _BLUR), images, magnitudes.blur)
    own_share = None
    if magnitudes.mixup or magnitudes.cutmix:
        # Before the noise: XLA computes the inputs of the mix twice, once for each use.
        images, own_share = mixing.mix(
            jax.random.fold_in(key, _MIX), images, mixup=magnitudes.mixup, cutmix=magnitudes.cutmix
        )
    for name, number, transform in (
        ("noise", _NOISE, damage.random_noise),
        ("drop_pixels", _DROP_PIXELS, damage.random_pixel_drop),
        ("erase", _ERASE, damage.random_erase),
    ):
        if magnitudes[name]:
            images = transform(jax.random.fold_in(key, number), images, magnitudes[name])
    return images, own_share


def crop_boxes(key: jax.Array, aspect: jax.Array, magnitudes: ConfigDict) -> jax.Array:
    """The boxes that `augmented` crops with this key, if `rotate_degrees` is 0.

    Returns:
      left, top, width and height, as shares of the image's sides, float32 [B, 4].
    """
    boxes = geometry.random_boxes(
        jax.random.fold_in(key, _CROP),
        aspect,
        min_area=magnitudes.min_area,
        max_stretch=magnitudes.max_stretch,
    )
    return jnp.stack(boxes, axis=-1)
