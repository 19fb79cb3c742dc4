"""Subjects: what is painted, before any painter's hand touches it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from artjax.studio.palettes import Palette


class Scene(NamedTuple):
    """A subject on a grid of pixels.

    Attributes:
      colour: RGB in [0, 1], float32 [H, W, 3].
      angle: the direction in which a brush would follow the form, radians [H, W].
      edge: True on the outlines of things, [H, W].
    """

    colour: np.ndarray
    angle: np.ndarray
    edge: np.ndarray


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: float) -> np.ndarray:
    """Noise of mean 0 and spread 1 that changes over `cells` per height; float32 [H, W]."""
    rows, columns = max(2, round(cells)), max(2, round(cells * width / height))
    small = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


class _Stage:
    """A picture in the making; x runs over [0, width / height], y over [0, 1] from the top."""

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shape = (height, width)
        self.right = width / height
        self.y, self.x = np.mgrid[:height, :width].astype(np.float32) / np.float32(height)
        self.colour = np.zeros((height, width, 3), np.float32)
        self.angle = np.zeros((height, width), np.float32)
        self.thing = np.zeros((height, width), np.int32)

    def noise(self, cells: float) -> np.ndarray:
        return smooth_noise(self.rng, *self.shape, cells)

    def put(
        self,
        inside: np.ndarray,
        colour: np.ndarray,
        angle: np.ndarray | float,
        outline: bool = True,
    ) -> None:
        """Covers what is inside with a colour ([3] or [H, W, 3]) and a direction of the form."""
        self.colour[inside] = colour if colour.ndim == 1 else colour[inside]
        self.angle[inside] = np.broadcast_to(angle, self.shape)[inside]
        if outline:
            self.thing[inside] = self.thing.max() + 1

    def ellipse(
        self, x: float, y: float, rx: float, ry: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(inside, brightness of a ball lit from the upper left, direction around it)."""
        u, v = (self.x - x) / rx, (self.y - y) / ry
        square = u * u + v * v
        depth = np.sqrt(np.clip(1 - square, 0, 1))
        bright = 0.62 + 0.5 * np.clip(-0.55 * u - 0.5 * v + 0.65 * depth, -0.4, 1)
        return square < 1, bright[..., None], np.arctan2(u * rx, -v * ry)

    def scene(self) -> Scene:
        edge = np.zeros(self.shape, bool)
        edge[:, 1:] |= self.thing[:, 1:] != self.thing[:, :-1]
        edge[1:] |= self.thing[1:] != self.thing[:-1]
        return Scene(np.clip(self.colour, 0, 1), self.angle, edge)


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    share = np.asarray(share, np.float32)
    return a * (1 - share[..., None]) + b * share[..., None]


def _backdrop(stage: _Stage, palette: Palette, rng: np.random.Generator) -> None:
    tone = (palette.shadow, palette.dark, palette.middle)[rng.integers(3)]
    other = (palette.sky, palette.shadow, palette.middle)[rng.integers(3)]
    share = np.clip(0.5 * stage.y + 0.3 + 0.18 * stage.noise(3), 0, 1)
    everywhere = np.ones(stage.shape, bool)
    stage.put(everywhere, _mix(other, tone, share), rng.uniform(-0.6, 0.6) + 0.4 * stage.noise(3))


def _sky(stage: _Stage, palette: Palette, rng: np.random.Generator, horizon: float) -> None:
    share = np.clip(stage.y / horizon, 0, 1) ** rng.uniform(0.7, 1.8)
    clouds = np.clip(stage.noise(rng.uniform(3, 6)) - 0.3, 0, 1) * rng.uniform(0.2, 0.9)
    top = (palette.sky, palette.middle, palette.shadow)[rng.integers(3)]
    colour = _mix(_mix(top, palette.light, 0.85 * share), palette.light, clouds)
    stage.put(np.ones(stage.shape, bool), colour, 0.25 * stage.noise(3))
    if rng.random() < 0.5:
        x, y = rng.uniform(0.15, 0.85) * stage.right, rng.uniform(0.12, 0.75) * horizon
        radius = rng.uniform(0.03, 0.07)
        inside, _, around = stage.ellipse(x, y, radius, radius)
        stage.put(inside, _mix(palette.light, palette.accent, rng.uniform(0, 0.7)), around)


def portrait(stage: _Stage, palette: Palette, rng: np.random.Generator) -> None:
    """A head and shoulders before a plain ground."""
    _backdrop(stage, palette, rng)
    x, y = stage.right * rng.uniform(0.42, 0.58), rng.uniform(0.36, 0.44)
    ry = rng.uniform(0.17, 0.22)
    rx = ry * rng.uniform(0.7, 0.82)
    hair = (palette.dark, palette.accent, palette.shadow, palette.light)[rng.integers(4)]
    cloth = (palette.shadow, palette.accent, palette.dark, palette.middle)[rng.integers(4)]
    inside, bright, around = stage.ellipse(x, 1.05, ry * rng.uniform(2, 2.5), ry * 2.1)
    stage.put(inside, cloth * bright, around)
    if rng.random() < 0.6:
        inside, bright, around = stage.ellipse(x, y + 1.5 * ry, rx * 1.1, ry * 0.35)
        stage.put(inside, palette.light * bright, around)
    long = rng.random() < 0.5
    inside, bright, around = stage.ellipse(
        x, y + (0.35 * ry if long else -0.15 * ry), rx * 1.3, ry * (1.5 if long else 1.1)
    )
    stage.put(inside, hair * bright, around)
    neck = (np.abs(stage.x - x) < 0.42 * rx) & (stage.y > y) & (stage.y < y + 1.45 * ry)
    stage.put(neck, palette.skin * 0.72, np.pi / 2, outline=False)
    inside, bright, around = stage.ellipse(x, y, rx, ry)
    stage.put(inside, palette.skin * bright, around)
    fringe = inside & (stage.y < y - ry * rng.uniform(0.45, 0.65))
    stage.put(fringe, hair * 0.95, around)
    turn = rng.uniform(-0.22, 0.22) * rx
    for side in (-1, 1):
        eye, _, _ = stage.ellipse(x + turn + side * 0.4 * rx, y - 0.08 * ry, 0.17 * rx, 0.09 * ry)
        stage.put(eye, palette.dark * 0.8, 0.0, outline=False)
    nose = (np.abs(stage.x - x - 1.4 * turn) < 0.09 * rx) & (
        np.abs(stage.y - y - 0.15 * ry) < 0.2 * ry
    )
    stage.put(nose, palette.skin * 0.7, np.pi / 2, outline=False)
    mouth, _, _ = stage.ellipse(x + turn, y + 0.52 * ry, 0.32 * rx, 0.07 * ry)
    stage.put(mouth, _mix(palette.accent, palette.dark, 0.35), 0.0, outline=False)


def landscape(stage: _Stage, palette: Palette, rng: np.random.Generator) -> None:
    """Hills behind each other, with trees."""
    horizon = rng.uniform(0.35, 0.6)
    _sky(stage, palette, rng, horizon)
    ridges = rng.integers(2, 5)
    tones = (palette.sky, palette.middle, palette.shadow, palette.dark)
    column = np.linspace(0, stage.right, stage.shape[1], dtype=np.float32)
    for i in range(ridges):
        share = (i + 1) / ridges
        phase, speed = rng.uniform(0, 6.3, 2), rng.uniform(2, 6, 2)
        wave = np.sin(phase[0] + speed[0] * column) + 0.5 * np.sin(phase[1] + 2 * speed[1] * column)
        height = horizon + 0.75 * (1 - horizon) * i / ridges - 0.06 * wave * (1.4 - share)
        slope = np.gradient(height, column)
        tone = _mix(tones[min(i, 2)], tones[min(i + 1, 3)], rng.uniform(0, 1))
        fall = np.clip((stage.y - height[None, :]) * 1.8, 0, 1)
        colour = _mix(_mix(tone, palette.light, 0.35), tone * 0.7, fall)
        stage.put(
            stage.y > height[None, :], colour, np.arctan(slope)[None, :] + 0.15 * stage.noise(4)
        )
    for _ in range(rng.integers(1, 6)):
        foot, size = rng.uniform(horizon + 0.12, 0.95), rng.uniform(0.05, 0.13)
        x, leaf = rng.uniform(0, stage.right), (palette.dark, palette.shadow, palette.accent)
        trunk = (
            (np.abs(stage.x - x) < 0.13 * size) & (stage.y < foot) & (stage.y > foot - 1.6 * size)
        )
        stage.put(trunk, palette.dark * 0.8, np.pi / 2)
        tall = rng.uniform(0.9, 2.0)
        inside, bright, around = stage.ellipse(x, foot - (0.9 + tall) * size, size, tall * size)
        stage.put(inside, leaf[rng.integers(3)] * bright * 1.15, around)


def still_life(stage: _Stage, palette: Palette, rng: np.random.Generator) -> None:
    """Fruit and vessels on a table."""
    _backdrop(stage, palette, rng)
    edge = rng.uniform(0.55, 0.7)
    table = (palette.middle, palette.light, palette.shadow)[rng.integers(3)]
    fade = np.clip((stage.y - edge) * 1.5, 0, 1)
    stage.put(stage.y > edge, _mix(table, table * 0.6, fade), 0.1 * stage.noise(4))
    if rng.random() < 0.7:
        x = stage.right * rng.uniform(0.25, 0.75)
        size, glaze = (
            rng.uniform(0.14, 0.2),
            (palette.accent, palette.light, palette.sky, palette.shadow),
        )
        jug = glaze[rng.integers(4)]
        foot = edge + rng.uniform(0.05, 0.12)
        inside, bright, around = stage.ellipse(x, foot - size, size * 0.8, size)
        neck = (np.abs(stage.x - x) < 0.3 * size) & (stage.y < foot - 1.5 * size)
        neck &= stage.y > foot - 2.7 * size
        stage.put(neck, jug * bright.clip(0.5, 1), np.pi / 2)
        lip, _, flat = stage.ellipse(x, foot - 2.7 * size, 0.42 * size, 0.12 * size)
        stage.put(lip, jug * 0.6, flat)
        stage.put(inside, jug * bright, around)
    for _ in range(rng.integers(3, 8)):
        radius = rng.uniform(0.06, 0.105)
        x, y = rng.uniform(0.08, 0.92) * stage.right, rng.uniform(edge, 0.92)
        shadow, _, flat = stage.ellipse(
            x + 0.5 * radius, y + 0.75 * radius, 1.3 * radius, 0.4 * radius
        )
        stage.put(shadow, table * 0.42, flat, outline=False)
        fruit = (palette.accent, palette.light, palette.middle, palette.skin, palette.shadow)
        inside, bright, around = stage.ellipse(x, y, radius, radius * rng.uniform(0.85, 1.1))
        stage.put(inside, fruit[rng.integers(5)] * bright * 1.1, around)


def seascape(stage: _Stage, palette: Palette, rng: np.random.Generator) -> None:
    """Sails on a sea."""
    horizon = rng.uniform(0.38, 0.62)
    _sky(stage, palette, rng, horizon)
    depth = np.clip((stage.y - horizon) / (1 - horizon), 0, 1)
    waves = np.sin(2 * np.pi * (6 * np.sqrt(depth + 0.02) * 4) + 1.5 * stage.noise(6))
    far, near = (
        (palette.sky, palette.shadow) if rng.random() < 0.6 else (palette.middle, palette.dark)
    )
    sea = _mix(_mix(far, near, depth), palette.light, np.clip(0.22 * waves + 0.1, 0, 0.4))
    stage.put(stage.y > horizon, sea, 0.25 * waves * depth)
    for _ in range(rng.integers(1, 5)):
        y = rng.uniform(horizon + 0.03, 0.88)
        size = 0.07 + 0.2 * (y - horizon) / (1 - horizon) * rng.uniform(0.7, 1.2)
        x = rng.uniform(0.1, 0.9) * stage.right
        up = y - stage.y
        sail = (up > 0.12 * size) & (stage.x - x > -0.55 * (1.9 * size - up) * 0.6)
        sail &= (stage.x - x < 0.06 * size) & (up < 1.9 * size)
        jib = (up > 0.12 * size) & (stage.x - x > 0.1 * size)
        jib &= stage.x - x < 0.5 * (1.5 * size - up)
        cloth = (palette.light, palette.accent, palette.skin)[rng.integers(3)]
        stage.put(sail, cloth, 1.3)
        stage.put(jib, cloth * 0.8, -1.0)
        hull = (up < 0.12 * size) & (up > -0.2 * size)
        hull &= np.abs(stage.x - x) < size * (0.75 + 0.8 * up)
        stage.put(hull, palette.dark, 0.0)
        mirror = (up <= -0.2 * size) & (up > -0.75 * size) & (np.abs(stage.x - x) < 0.4 * size)
        stage.put(mirror, _mix(near, palette.dark, 0.5), 0.0, outline=False)


GENRES = {
    "landscape": landscape,
    "portrait": portrait,
    "seascape": seascape,
    "still life": still_life,
}


def compose(
    genre: str, palette: Palette, height: int, width: int, rng: np.random.Generator
) -> Scene:
    """Draws a subject of a genre in a palette; deterministic in the generator's state."""
    stage = _Stage(height, width, rng)
    GENRES[genre](stage, palette, rng)
    return stage.scene()
