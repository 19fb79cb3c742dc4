"""Fixed views of a picture: its four corners, its centre, and their mirror images."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from artjax.augment.geometry import placed_crop

LARGEST_SHARE = 7 / 8
"""Side of a view as a share of the largest square's side: 224 of 256 px in Krizhevsky et al. (2012).

With a larger share, five squares of a square picture would show nearly the same. With a much smaller
one, each would show less of the work than a typical random crop of the training.
"""

_PLACES = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))


class View(NamedTuple):
    """A square of the true image.

    Attributes:
      across: from 0 (at the left edge) to 1 (at the right edge).
      down: from 0 (at the top) to 1 (at the bottom).
      mirrored: whether it is mirrored, left to right.
    """

    across: float | jax.Array
    down: float | jax.Array
    mirrored: bool | jax.Array


def fixed_views(count: int) -> list[View]:
    """The views of Krizhevsky et al., ImageNet Classification with Deep CNNs (2012), section 4.1.

    Args:
      count: 5, the corners and the centre; or 10, these and their mirror images.
    """
    return [View(*place, mirrored) for mirrored in (False, True) for place in _PLACES][:count]


def view_of(
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    view: View,
    side_share: float = 1.0,
    interpolation: str = "linear",
) -> jax.Array:
    """Cuts a view out of each true image and resamples it.

    Its side is `LARGEST_SHARE` of the largest square that fits, or `side_share` if that is smaller. The
    corners are the whole image's, so that the ends of a long picture are seen.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      view: which view.
      side_share: side of the central square that the network expects, in (0, 1].
      interpolation: `linear` or `cubic`.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    share = min(LARGEST_SHARE, side_share)
    crops = placed_crop(images, aspect, size, view.across, view.down, share, interpolation)
    return jnp.where(view.mirrored, crops[:, :, ::-1], crops)
