"""Where in the picture: crops in its true proportions, rotated or not, flips, and boxes within it.

A canvas is a whole picture squashed to a square; `aspect` is its true width / height. Boxes are
chosen in the picture's true proportions, so that what the network sees is not squashed.
"""

from __future__ import annotations

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
) -> jax.Array:
    """Cuts a random box out of each canvas and resamples it to a square.

    After Szegedy et al., Going Deeper with Convolutions (2015), section 6, with two differences: the
    box's proportions are those of the true picture, and its area is a share of the largest box of its
    proportions that fits (so no draw has to be repeated or clipped). A rotated box fits within the
    picture too, so it has no empty corners, and is smaller for it. The rotation is part of the one
    resampling; since it is not separable, rotated crops are gathered instead of multiplied with a matrix
    for each axis.

    Args:
      key: a PRNG key.
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      min_area: smallest share of the largest fitting box, in (0, 1]; the largest is 1.
      max_stretch: the box's true width / height is log-uniform in [1 / max_stretch, max_stretch].
      rotate_degrees: the box is turned by an angle uniform in [-rotate_degrees, rotate_degrees]; in
        [0, 180].

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    if rotate_degrees:
        batch = images.shape[0]
        area, stretch, across, down = _draw(key, batch, min_area, max_stretch)
        # 0 to 3 are the keys above.
        turn = jax.random.uniform(jax.random.fold_in(key, 4), (batch,), minval=-1.0, maxval=1.0)
        angle = jnp.deg2rad(rotate_degrees) * turn
        width, height = _largest_rotated_box(aspect, stretch, angle)
        width, height = width * jnp.sqrt(area), height * jnp.sqrt(area)
        reach_x, reach_y = _reach(width, height, angle)
        center_x = reach_x + across * (aspect - 2 * reach_x)
        center_y = reach_y + down * (1 - 2 * reach_y)
        return rotated_crop(images, aspect, center_x, center_y, width, height, angle, size)
    boxes = random_boxes(key, aspect, min_area=min_area, max_stretch=max_stretch)
    return _resample(images, *boxes, size)


def random_boxes(
    key: jax.Array, aspect: jax.Array, *, min_area: float, max_stretch: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The boxes that `random_resized_crop` cuts out where it does not rotate.

    Returns:
      left, top, width and height, as shares of the picture's sides, float32 [B].
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
    """Resamples a rotated box of each true picture to a square: one affine gather, bilinear.

    Canvases of 1.5 times `size` and more are sampled at several points for each pixel, and averaged,
    against aliasing.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      center_x: of the box, in [0, aspect], as all lengths in heights of the picture; float32 [B].
      center_y: of the box, in [0, 1].
      width: of the box, before it is turned.
      height: of the box.
      angle: by which the box is turned clockwise (its contents anticlockwise), radians, float32 [B].
      size: side of the result in pixels.

    Returns:
      float32 [B, size, size, 3] on the scale of `images`; beyond the canvas its edge is repeated.
    """
    batch, canvas = images.shape[:2]
    points = max(1, round(canvas / size))
    from_center = (jnp.arange(size * points) + 0.5) / (size * points) - 0.5
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
    # Gathered as they are: bytes are a quarter of the traffic of floats.
    pixels = images.reshape(batch, canvas * canvas, 3)

    def at(y: jax.Array, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda rows, i: rows[i])(pixels, y * canvas + x).astype(jnp.float32)

    above = at(y0, x0) * (1 - to_right) + at(y0, x1) * to_right
    under = at(y1, x0) * (1 - to_right) + at(y1, x1) * to_right
    sampled = above * (1 - to_bottom) + under * to_bottom
    return sampled.reshape(batch, size, points, size, points, 3).mean(axis=(2, 4))


def central_crop(
    images: jax.Array, aspect: jax.Array, size: int, side_share: float = 1.0
) -> jax.Array:
    """Cuts the largest central square of the true picture, or a share of it, and resamples it.

    Args:
      images: canvases, uint8 or float [B, S, S, 3].
      aspect: true width / height, float32 [B].
      size: side of the result in pixels.
      side_share: side of the square as a share of the largest one's, in (0, 1].

    Returns:
      float32 [B, size, size, 3] on the scale of `images`.
    """
    width, height = _largest_box(aspect, jnp.ones_like(aspect))
    if side_share != 1:
        width, height = side_share * width, side_share * height
    return _resample(images, (1 - width) / 2, (1 - height) / 2, width, height, size)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each picture left to right with probability 1/2; [B, H, W, 3], any dtype."""
    flip = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def box_mask(
    left: jax.Array,
    top: jax.Array,
    width: jax.Array,
    height: jax.Array,
    shape: tuple[int, int],
) -> jax.Array:
    """Which pixels have their centre in a box; bool [B, H, W, 1].

    Args:
      left: of each box, as a share of the picture's width, float32 [B].
      top: of each box, as a share of the picture's height.
      width: of each box, as a share of the picture's width; it may reach beyond the picture.
      height: of each box, as a share of the picture's height.
      shape: H and W in pixels.
    """

    def inside(begin: jax.Array, extent: jax.Array, pixels: int) -> jax.Array:
        centers = (jnp.arange(pixels)[None] + 0.5) / pixels
        return (centers >= begin[:, None]) & (centers < (begin + extent)[:, None])

    rows, columns = inside(top, height, shape[0]), inside(left, width, shape[1])
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _draw(
    key: jax.Array, batch: int, min_area: float, max_stretch: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Area, stretch, and the place across and down in [0, 1), float32 [batch]."""
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
    """The same for a box turned by `angle`, in heights of the picture (as `angle` is a true one)."""
    reach_x, reach_y = _reach(stretch, jnp.ones_like(stretch), angle)
    height = jnp.minimum(aspect / (2 * reach_x), 1 / (2 * reach_y))
    return stretch * height, height


def _reach(width: jax.Array, height: jax.Array, angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far a box turned by `angle` reaches from its centre, in x and in y."""
    cos, sin = jnp.abs(jnp.cos(angle)), jnp.abs(jnp.sin(angle))
    return (width * cos + height * sin) / 2, (width * sin + height * cos) / 2


def _resample(
    images: jax.Array,
    left: jax.Array,
    top: jax.Array,
    width: jax.Array,
    height: jax.Array,
    size: int,
) -> jax.Array:
    """Resamples boxes, given as shares of the canvas, with an antialiased linear filter."""
    canvas = images.shape[1]

    def one(image: jax.Array, corner: jax.Array, extent: jax.Array) -> jax.Array:
        scale = size / (extent * canvas)
        return jax.image.scale_and_translate(
            image,
            (size, size, 3),
            spatial_dims=(0, 1),
            scale=scale,
            translation=-corner * canvas * scale,
            method="linear",
            antialias=True,
        )

    corners = jnp.stack([top, left], axis=-1)
    extents = jnp.stack([height, width], axis=-1)
    return jax.vmap(one)(images.astype(jnp.float32), corners, extents)
