"""Policies that need no magnitudes of their own: a few transforms, drawn for each image."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from artjax.augment import color, damage

POLICIES = ("none", "trivial", "rand")
STRENGTHS = 30
"""Strengths are whole numbers from 0 to this: Cubuk et al. (2020), section 3; Müller & Hutter (2021)."""


class Transform(NamedTuple):
    """A transform of a policy: its magnitude at the highest strength; whether it has two directions."""

    largest: float
    signed: bool = False


# In the order in which they are applied. The factors of colours are from 0.1 to 1.9, as in RandAugment's
# and TrivialAugment's code; the hue moves little, because the palette helps to recognise a painter.
TRANSFORMS = {
    "identity": Transform(0.0),
    "brightness": Transform(0.9, signed=True),
    "contrast": Transform(0.9, signed=True),
    "saturation": Transform(0.9, signed=True),
    "hue": Transform(0.1, signed=True),
    "blur": Transform(0.01),  # standard deviation as a share of the side
    "noise": Transform(0.2),
    "drop_pixels": Transform(0.3),
    "erase": Transform(0.4),
}


def drawn_amounts(
    key: jax.Array, batch: int, policy: str, transforms: int, magnitude: float
) -> dict[str, jax.Array]:
    """The amount of each transform for each image, float32 [batch]; 0 where it was not drawn.

    `trivial` is TrivialAugment (Müller & Hutter 2021, algorithm 1): one transform, with a strength that
    is uniform in 0, …, 30. `rand` is RandAugment (Cubuk et al. 2020, section 3): so many transforms,
    drawn independently, all of the strength `magnitude`. Two things differ there: the transforms of an
    image are applied in a fixed order, and one that is drawn twice is applied once.

    Args:
      key: a PRNG key.
      batch: number of images.
      policy: `trivial` or `rand`.
      transforms: of `rand`: how many are drawn for each image.
      magnitude: of `rand`: their strength, in [0, 30].
    """
    choice_key, strength_key, sign_key = jax.random.split(key, 3)
    count = transforms if policy == "rand" else 1
    chosen = jax.random.randint(choice_key, (batch, count), 0, len(TRANSFORMS))
    if policy == "rand":
        strength = jnp.full((batch,), magnitude / STRENGTHS, jnp.float32)
    else:
        drawn = jax.random.randint(strength_key, (batch,), 0, STRENGTHS + 1)
        strength = drawn.astype(jnp.float32) / STRENGTHS
    sign = jnp.where(jax.random.bernoulli(sign_key, 0.5, (batch,)), 1.0, -1.0)
    amounts = {}
    for number, (name, transform) in enumerate(TRANSFORMS.items()):
        amount = transform.largest * strength * (sign if transform.signed else 1.0)
        amounts[name] = jnp.where((chosen == number).any(axis=1), amount, 0.0)
    return amounts


def apply_policy(
    key: jax.Array, images: jax.Array, policy: str, transforms: int, magnitude: float
) -> jax.Array:
    """Applies a policy. All images pass through all transforms, most of them with an amount of 0.

    Args:
      key: a PRNG key.
      images: float [B, H, W, 3] in [0, 255].
      policy: as for `drawn_amounts`, and the next two arguments as well.
      transforms: of `rand`.
      magnitude: of `rand`.

    Returns:
      Images of the same shape, range and dtype.
    """
    amount_key, noise_key, pixel_key, box_key = jax.random.split(key, 4)
    amounts = drawn_amounts(amount_key, len(images), policy, transforms, magnitude)
    images = color.adjust_color(
        images,
        brightness=1 + amounts["brightness"],
        contrast=1 + amounts["contrast"],
        saturation=1 + amounts["saturation"],
        hue=amounts["hue"],
    )
    images = damage.gaussian_blur(images, images.shape[1] * amounts["blur"])
    images = damage.add_noise(noise_key, images, amounts["noise"])
    images = damage.drop_pixels(pixel_key, images, amounts["drop_pixels"])
    return damage.erase_box(box_key, images, amounts["erase"])
