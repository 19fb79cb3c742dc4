"""Crops, rotations, flips and boxes.

A canvas is a whole image resized to a square; `aspect` is its true width / height. Boxes are chosen in
the true proportions of the image, so the network sees undistorted crops.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    *,
    min_area: float,
    max_stretch: float,
    rotate_degrees: float = 0.0,
    interpolation: str = "linear",
) -> jax.Array:
    """Cuts a random box out of each canvas and resamples it to a square.

    After Szegedy et al., Going Deeper with Convolutions (2015), section 6, with two differences. The
    proportions of the box are measured in the true image. Its area is a share of the largest box of the
    same proportions that fits, so no draw is repeated or clipped.

    A rotated box also stays within the image: it has no empty corners, but is smaller. One resampling
    rotates and scales. A rotation is not separable, so rotated crops use a gather, and others one matrix
    product for each axis.

    Args:
      key: a PRNG key.
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      min_area: the area is uniform in [min_area, 1], as a share of the largest box; in (0, 1].
      max_stretch: the box's true width / height is log-uniform in [1 / max_stretch, max_stretch].
      rotate_degrees: the angle of the box is uniform in [-rotate_degrees, rotate_degrees]; in [0, 180].
      interpolation: `linear` or `cubic`; rotated crops are always linear.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    if rotate_degrees:
        batch = images.shape[0]
        area, stretch, across, down = _draw(key, batch, min_area, max_stretch)
        # `_draw` splits the key into four; `fold_in` with 4 gives an independent one.
        turn = jax.random.uniform(jax.random.fold_in(key, 4), (batch,), minval=-1.0, maxval=1.0)
        angle = jnp.deg2rad(rotate_degrees) * turn
        width, height = _largest_rotated_box(aspect, stretch, angle)
        width, height = width * jnp.sqrt(area), height * jnp.sqrt(area)
        reach_x, reach_y = _reach(width, height, angle)
        center_x = reach_x + across * (aspect - 2 * reach_x)
        center_y = reach_y + down * (1 - 2 * reach_y)
        return rotated_crop(images, aspect, center_x, center_y, width, height, angle, size)
    boxes = random_boxes(key, aspect, min_area=min_area, max_stretch=max_stretch)
    return _resample(images, *boxes, size, interpolation)


def random_boxes(
    key: jax.Array, aspect: jax.Array, *, min_area: float, max_stretch: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The boxes that `random_resized_crop` cuts out if `rotate_degrees` is 0.

    Returns:
      left, top, width and height, as shares of the image's sides, each float32 [B].
    """
    area, stretch, across, down = _draw(key, aspect.shape[0], min_area, max_stretch)
    width, height = _largest_box(aspect, stretch)
    width, height = width * jnp.sqrt(area), height * jnp.sqrt(area)
    return across * (1 - width), down * (1 - height), width, height


def rotated_crop(
    images: jax.Array,
    aspect: jax.Array,
    center_x: jax.Array,
    center_y: jax.Array,
    width: jax.Array,
    height: jax.Array,
    angle: jax.Array,
    size: int,
) -> jax.Array:
    """Resamples a rotated box of each true image to a square, with one bilinear affine gather.

    If the canvas is at least 1.5 times as large as `size`, each pixel is the mean of several points, to
    avoid aliasing. All lengths are in units of the image's height.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      center_x: centre of the box, in [0, aspect], float32 [B].
      center_y: centre of the box, in [0, 1], float32 [B].
      width: width of the box before its rotation, float32 [B].
      height: height of the box before its rotation, float32 [B].
      angle: clockwise rotation of the box in radians, float32 [B]. Its contents turn anticlockwise.
      size: side of the result in pixels.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`. Outside the canvas its edge is repeated.
    """
    batch, canvas = images.shape[:2]
    points = max(1, round(canvas / size))
    places = jnp.arange(size * points).astype(jnp.float32)
    from_center = (places + 0.5) / (size * points) - 0.5
    along = from_center[None, None, :] * width[:, None, None]
    below = from_center[None, :, None] * height[:, None, None]
    cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    x = (center_x[:, None, None] + cos * along - sin * below) / aspect[:, None, None]
    y = center_y[:, None, None] + sin * along + cos * below
    x, y = (jnp.clip(share * canvas - 0.5, 0, canvas - 1) for share in (x, y))
    left, top = jnp.floor(x), jnp.floor(y)
    to_right, to_bottom = (x - left)[..., None], (y - top)[..., None]
    x0, y0 = left.astype(jnp.int32), top.astype(jnp.int32)
    x1, y1 = jnp.minimum(x0 + 1, canvas - 1), jnp.minimum(y0 + 1, canvas - 1)
    # Gathered before the conversion to float: uint8 is a quarter of the memory traffic.
    pixels = images.reshape(batch, canvas * canvas, 3)

    def at(y: jax.Array, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda rows, i: rows[i])(pixels, y * canvas + x).astype(jnp.float32)

    above = at(y0, x0) * (1 - to_right) + at(y0, x1) * to_right
    under = at(y1, x0) * (1 - to_right) + at(y1, x1) * to_right
    sampled = above * (1 - to_bottom) + under * to_bottom
    return sampled.reshape(batch, size, points, size, points, 3).mean(axis=(2, 4))


def central_crop(
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    side_share: float = 1.0,
    interpolation: str = "linear",
) -> jax.Array:
    """Cuts out the largest central square of the true image, or a share of it, and resamples it.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      side_share: side of the square, as a share of the largest square's side, in (0, 1].
      interpolation: `linear` or `cubic`.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    return placed_crop(images, aspect, size, 0.5, 0.5, side_share, interpolation)


def placed_crop(
    images: jax.Array,
    aspect: jax.Array,
    size: int,
    across: float | jax.Array,
    down: float | jax.Array,
    side_share: float,
    interpolation: str = "linear",
) -> jax.Array:
    """Cuts out a square at a place of the true image, and resamples it.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      across: where the square is, from 0 (at the left edge) to 1 (at the right edge), float32 scalar.
      down: where the square is, from 0 (at the top) to 1 (at the bottom), float32 scalar.
      side_share: side of the square, as a share of the largest square's side, in (0, 1].
      interpolation: `linear` or `cubic`.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    width, height = (side_share * side for side in _largest_box(aspect, jnp.ones_like(aspect)))
    left, top = across * (1 - width), down * (1 - height)
    return _resample(images, left, top, width, height, size, interpolation)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability 1/2; [B, H, W, 3], any dtype."""
    flip = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def box_mask(
    left: jax.Array,
    top: jax.Array,
    width: jax.Array,
    height: jax.Array,
    shape: tuple[int, int],
) -> jax.Array:
    """Whether the centre of each pixel is in a box; bool [B, H, W, 1].

    A box may extend beyond the image.

    Args:
      left: left edge of each box, as a share of the image's width, float32 [B].
      top: top edge of each box, as a share of the image's height, float32 [B].
      width: width of each box, as a share of the image's width, float32 [B].
      height: height of each box, as a share of the image's height, float32 [B].
      shape: H and W in pixels.
    """

    def inside(begin: jax.Array, extent: jax.Array, pixels: int) -> jax.Array:
        centers = (jnp.arange(pixels)[None].astype(jnp.float32) + 0.5) / pixels
        return (centers >= begin[:, None]) & (centers < (begin + extent)[:, None])

    rows, columns = inside(top, height, shape[0]), inside(left, width, shape[1])
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _draw(
    key: jax.Array, batch: int, min_area: float, max_stretch: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Area, stretch, and the horizontal and vertical position in [0, 1), each float32 [batch]."""
    area_key, stretch_key, x_key, y_key = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, (batch,), minval=min_area, maxval=1.0)
    limit = jnp.log(max_stretch)
    stretch = jnp.exp(jax.random.uniform(stretch_key, (batch,), minval=-limit, maxval=limit))
    return area, stretch, jax.random.uniform(x_key, (batch,)), jax.random.uniform(y_key, (batch,))


def _largest_box(aspect: jax.Array, stretch: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Width and height, as shares of the canvas, of the largest box with width / height = stretch."""
    width = jnp.minimum(1.0, stretch / aspect)
    return width, width * aspect / stretch


def _largest_rotated_box(
    aspect: jax.Array, stretch: jax.Array, angle: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The same for a box rotated by `angle`, in units of the image's height."""
    reach_x, reach_y = _reach(stretch, jnp.ones_like(stretch), angle)
    height = jnp.minimum(aspect / (2 * reach_x), 1 / (2 * reach_y))
    return stretch * height, height


def _reach(width: jax.Array, height: jax.Array, angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far a box rotated by `angle` extends from its centre, in x and in y."""
    cos, sin = jnp.abs(jnp.cos(angle)), jnp.abs(jnp.sin(angle))
    return (width * cos + height * sin) / 2, (width * sin + height * cos) / 2


def _resample(
    images: jax.Array,
    left: jax.Array,
    top: jax.Array,
    width: jax.Array,
    height: jax.Array,
    size: int,
    interpolation: str = "linear",
) -> jax.Array:
    """Resamples boxes, given as shares of the canvas, none beyond it, with an antialiased filter.

    The cubic kernel is from Keys, Cubic Convolution Interpolation (1981), section IV, with a = -1/2,
    as in Pillow. It overshoots at edges, so its values are clipped to [0, 255], as there.

    Each row of the result is the weighted sum of a few rows of the canvas, and so are its columns. The
    values are those of `jax.image.scale_and_translate`, which multiplies with matrices that are nearly
    all zeros and takes three times as long on a CPU: docs/performance.md.
    """
    canvas = images.shape[1]
    kernel, radius = _KERNELS[interpolation]
    # No box is larger than the canvas, so no kernel is wider than this.
    reached = min(canvas, math.ceil(2 * radius * max(1.0, canvas / size)) + 1)

    def of_rows(rows: jax.Array, begin: jax.Array, extent: jax.Array) -> jax.Array:
        """[canvas, N] → [size, N]."""
        step = extent * canvas / size
        width = jnp.maximum(step, 1.0)
        centers = (jnp.arange(size).astype(jnp.float32) + 0.5) * step + begin * canvas - 0.5
        first = jnp.floor(centers - radius * width).astype(jnp.int32) + 1
        first = jnp.clip(first, 0, canvas - reached)
        places = first[:, None] + jnp.arange(reached)[None]
        weights = kernel(jnp.abs(centers[:, None] - places.astype(jnp.float32)) / width)
        # What is beyond the edge of the canvas has no weight.
        weights = weights / weights.sum(axis=1, keepdims=True)
        return sum(
            (rows.at[places[:, i]].get(mode="clip") * weights[:, i, None] for i in range(reached)),
            start=jnp.zeros((), jnp.float32),
        )

    def one(
        image: jax.Array, left: jax.Array, top: jax.Array, width: jax.Array, height: jax.Array
    ) -> jax.Array:
        rows = of_rows(image.reshape(canvas, -1), top, height)
        columns = rows.reshape(size, canvas, 3).swapaxes(0, 1).reshape(canvas, -1)
        return of_rows(columns, left, width).reshape(size, size, 3).swapaxes(0, 1)

    resampled = jax.vmap(one)(images.astype(jnp.float32), left, top, width, height)
    return jnp.clip(resampled, 0, 255) if interpolation == "cubic" else resampled


def _triangle(x: jax.Array) -> jax.Array:
    return jnp.maximum(0.0, 1.0 - x)


def _keys(x: jax.Array) -> jax.Array:
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


# Of a distance of 0 or more in pixels, and beyond which distance they are 0.
_KERNELS = {"linear": (_triangle, 1), "cubic": (_keys, 2)}
