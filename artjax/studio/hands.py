"""Hands: how each painter lays the paint. All share subjects and palettes, and differ in this."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from artjax.studio.scenes import Scene, smooth_noise

Rng = np.random.Generator


class Stroke(NamedTuple):
    """A way of laying strokes, in pixels of a picture whose shorter side is 112.

    Attributes:
      length, width: of a stroke.
      jitter: spread of a stroke's colour around the subject's.
      relief: how much the bristles stand out.
      wander: spread of the direction in radians.
      direction: None to follow the form, else a fixed angle in radians.
      bend: curvature; a stroke of length L deviates by bend * L / 8.
      cover: how often the whole picture is covered.
    """

    length: float
    width: float
    jitter: float = 0.05
    relief: float = 0.06
    wander: float = 0.2
    direction: float | None = None
    bend: float = 0.0
    cover: float = 2.2


def lay_strokes(ground: np.ndarray, scene: Scene, stroke: Stroke, rng: Rng) -> np.ndarray:
    """Covers a ground with strokes, then the outlines with smaller ones, so that things keep their form.

    Float [H, W, 3] in and out.
    """
    height, width = scene.angle.shape
    count = int(stroke.cover * height * width / (stroke.length * stroke.width))
    rows, columns = rng.integers(0, height, count), rng.integers(0, width, count)
    painted = _stamp(ground, scene, stroke, rows, columns, rng)
    finer = stroke._replace(length=0.6 * stroke.length, width=max(2.2, 0.6 * stroke.width))
    outline = np.argwhere(scene.edge)
    if not len(outline):
        return painted
    count = round(2.5 * len(outline) / finer.length)
    chosen = outline[rng.integers(0, len(outline), count)]
    spread = np.rint(0.4 * finer.width * rng.standard_normal(chosen.shape)).astype(np.int64)
    rows, columns = np.clip(chosen + spread, 0, (height - 1, width - 1)).T
    return _stamp(painted, scene, finer, rows, columns, rng)


def _stamp(
    ground: np.ndarray,
    scene: Scene,
    stroke: Stroke,
    rows: np.ndarray,
    columns: np.ndarray,
    rng: Rng,
) -> np.ndarray:
    """Lays a stroke at each of the given pixels, in the subject's colour there.

    All strokes are stamped at once: each is a small grid of points in its own coordinates (u along,
    v across), turned to its direction; where strokes overlap, the later one stays.
    """
    height, width = scene.angle.shape
    count = len(rows)
    angle = scene.angle[rows, columns] if stroke.direction is None else stroke.direction
    angle = angle + stroke.wander * rng.standard_normal(count, np.float32)
    tone = scene.colour[rows, columns] + stroke.jitter * rng.standard_normal((count, 1), np.float32)
    tone += 0.6 * stroke.jitter * rng.standard_normal((count, 3), np.float32)

    u = np.arange(-stroke.length / 2, stroke.length / 2, 0.75, dtype=np.float32)
    v = np.arange(-stroke.width / 2, stroke.width / 2, 0.75, dtype=np.float32)
    u, v = (grid.ravel() for grid in np.meshgrid(u, v, indexing="ij"))
    inside = (2 * u / (stroke.length + 1)) ** 2 + (2 * v / (stroke.width + 1)) ** 4 < 1
    u, v = u[inside], v[inside]
    bent = v + stroke.bend * (u * u * 2 / stroke.length - stroke.length / 8)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x = np.rint(columns[:, None] + u * cosine - bent * sine).astype(np.int32)
    y = np.rint(rows[:, None] + u * sine + bent * cosine).astype(np.int32)
    bristles = stroke.relief * np.sin(2.2 * v[None, :] + 6.3 * rng.random((count, 1), np.float32))
    bristles = bristles - stroke.relief * (v[None, :] > 0.3 * stroke.width)  # the shadow side
    visible = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    which, _ = np.nonzero(visible)
    painted = ground.copy()
    painted.reshape(-1, 3)[(y * width + x)[visible]] = tone[which] + bristles[visible][:, None]
    return painted


def _blur(picture: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray(np.clip(picture * 255, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius))).astype(np.float32) / 255


def _side_light(picture: np.ndarray, rng: Rng, strength: float) -> np.ndarray:
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    left = rng.uniform(0.1, 0.4)
    distance = np.hypot(x - left, y - rng.uniform(0.1, 0.35))
    return picture * (1.25 - strength * np.clip(distance, 0, 1.2))[..., None]


def _weave(picture: np.ndarray, period: float, strength: float) -> np.ndarray:
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32) * (2 * np.pi / period)
    return picture + strength * (np.sin(x) * np.sin(y) + 0.5 * np.sin(x + y))[..., None]


def impasto(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Thick dashes that follow the form."""
    return lay_strokes(scene.colour, scene, Stroke(13 * scale, 4.6, 0.07, 0.11), rng)


def swirls(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Thick bent dashes that whirl across the form."""
    height, width = scene.angle.shape
    whirl = scene._replace(angle=scene.angle + 2.2 * smooth_noise(rng, height, width, 2.5))
    return lay_strokes(scene.colour, whirl, Stroke(14 * scale, 4.4, 0.07, 0.1, bend=1.6), rng)


def dots(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Round dots of broken colour on a light ground."""
    ground = 0.5 * scene.colour + 0.4
    return lay_strokes(ground, scene, Stroke(4.4 * scale, 4.4 * scale, 0.12, 0.0, cover=1.3), rng)


def commas(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Short soft touches in every direction."""
    stroke = Stroke(6.5 * scale, 3.4, 0.1, 0.03, wander=1.6, bend=0.8)
    return lay_strokes(scene.colour, scene, stroke, rng)


def upright_hatching(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Thin upright strokes, whatever the form."""
    stroke = Stroke(11 * scale, 2.4, 0.09, 0.0, wander=0.08, direction=np.pi / 2)
    return lay_strokes(scene.colour, scene, stroke, rng)


def slanted_hatching(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Thin parallel strokes that all fall to the left."""
    stroke = Stroke(11 * scale, 2.6, 0.09, 0.0, wander=0.1, direction=-np.pi / 4)
    return lay_strokes(scene.colour, scene, stroke, rng)


def dry_brush(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Long level streaks that leave the dark ground showing."""
    ground = 0.55 * scene.colour
    stroke = Stroke(17 * scale, 2.4, 0.06, 0.05, wander=0.05, direction=0.0, cover=1.2)
    return lay_strokes(ground, scene, stroke, rng)


def knife(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Broad flat facets of a palette knife."""
    stroke = Stroke(10 * scale, 7 * scale, 0.09, 0.02, wander=0.8)
    return lay_strokes(scene.colour, scene, stroke, rng)


def cloisonne(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Flat colour inside dark outlines."""
    flat = _blur(np.round(scene.colour * 5) / 5, 0.6)
    line = Image.fromarray((scene.edge * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    ink = np.asarray(line)[..., None] / 255 * 0.8
    return flat * (1 - ink)


def sfumato(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Glazes without a visible stroke, under a web of fine cracks."""
    soft = _side_light(_blur(scene.colour, 1.6 * scale), rng, 0.5)
    height, width = scene.angle.shape
    ridge = np.abs(smooth_noise(rng, height, width, 17)) + np.abs(
        smooth_noise(rng, height, width, 29)
    )
    return soft - 0.16 * (ridge < 0.16)[..., None]


def chiaroscuro(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Deep side light on a coarse canvas."""
    lit = _side_light(_blur(scene.colour, 1.2), rng, 1.2)
    return _weave(lit, 5.0 * scale, 0.055)


def watercolour(scene: Scene, rng: Rng, scale: float) -> np.ndarray:
    """Washes with dark rims on grained paper."""
    height, width = scene.angle.shape
    pools = smooth_noise(rng, height, width, 8 / scale)
    levels = np.floor(pools * 1.1)
    rim = np.zeros((height, width), np.float32)
    rim[:, 1:] += levels[:, 1:] != levels[:, :-1]
    rim[1:] += levels[1:] != levels[:-1]
    wash = _blur(scene.colour, 0.9) * 0.8 + 0.2 + 0.05 * (levels % 2)[..., None]
    grain = (
        rng.standard_normal((height // 2 + 1, width // 2 + 1), np.float32).repeat(2, 0).repeat(2, 1)
    )
    return wash - 0.1 * (rim > 0)[..., None] + 0.03 * grain[:height, :width, None]


HANDS: dict[str, Callable[[Scene, Rng, float], np.ndarray]] = {
    hand.__name__: hand
    for hand in (
        *(impasto, swirls, dots, commas, upright_hatching, slanted_hatching),
        *(dry_brush, knife, cloisonne, sfumato, chiaroscuro, watercolour),
    )
}


def tone_like(picture: np.ndarray, subject: np.ndarray, share: float = 0.85) -> np.ndarray:
    """Gives a picture, channel by channel, mostly the distribution of values of its subject.

    Without it, a hand's contrast and darkness would show in a colour histogram, and a painter could be
    told without looking at the painting.
    """
    matched = np.empty_like(picture)
    for channel in range(3):
        # Sixteen bits are sorted by radix, several times faster than floats.
        values = np.clip(picture[..., channel].ravel() * 16384 + 16384, 0, 65535).astype(np.uint16)
        ranks = np.empty(values.size, np.int64)
        ranks[np.argsort(values, kind="stable")] = np.arange(values.size)
        matched[..., channel] = np.sort(subject[..., channel].ravel())[ranks].reshape(
            picture.shape[:2]
        )
    return share * matched + (1 - share) * picture
