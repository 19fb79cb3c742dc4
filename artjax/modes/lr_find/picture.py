"""The picture of a range test, drawn with Pillow."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 960, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 30, 60, 80
_FINER = 3  # it is drawn so many times larger, then scaled down, for smooth lines
_INK, _FAINT, _LINE, _MARK = (40, 40, 40), (222, 222, 222), (31, 97, 168), (200, 62, 38)
_POINT = (168, 196, 224)
_TICKS = 6


def draw(
    rates: np.ndarray,
    losses: np.ndarray,
    smooth: np.ndarray,
    suggestion: float | None,
    title: str,
) -> bytes:
    """Draws losses over the learning rate, on a logarithmic axis.

    Args:
      rates: float [N], rising.
      losses: of each step, float [N]; points.
      smooth: the smoothed losses, float [N]; a line.
      suggestion: the learning rate to mark, or None.
      title: one line above the picture.

    Returns:
      A PNG file.
    """
    picture = Image.new("RGB", (_WIDTH * _FINER, _HEIGHT * _FINER), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(15 * _FINER)
    low, high = _limits(smooth)
    first, last = math.log10(rates[0]), math.log10(max(rates[-1], 1.01 * rates[0]))

    def x(rate: float) -> float:
        share = (math.log10(rate) - first) / (last - first)
        return _FINER * (_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(loss: float) -> float:
        share = (min(max(loss, low), high) - low) / (high - low)
        return _FINER * (_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))

    def text(
        at: tuple[float, float], words: str, anchor: str, colour: tuple[int, int, int]
    ) -> None:
        pen.text(at, words, colour, font, anchor=anchor)

    for exponent in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1):
        at = x(10.0**exponent)
        pen.line([(at, y(low)), (at, y(high))], _FAINT, _FINER)
        text(
            (at, y(low) + 8 * _FINER),
            f"1e{exponent}" if exponent < -2 else f"{10.0**exponent:g}",
            "mt",
            _INK,
        )
    for loss in _ticks(low, high):
        pen.line([(x(rates[0]), y(loss)), (x(rates[-1]), y(loss))], _FAINT, _FINER)
        text((x(rates[0]) - 8 * _FINER, y(loss)), f"{loss:g}", "rm", _INK)
    for rate, loss in zip(rates, losses, strict=True):
        if low <= loss <= high:
            centre, radius = (x(rate), y(loss)), 2.5 * _FINER
            pen.circle(centre, radius, _POINT)
    curve = [(x(rate), y(loss)) for rate, loss in zip(rates, smooth, strict=True)]
    pen.line(curve, _LINE, 3 * _FINER, joint="curve")
    if suggestion is not None:
        at = x(suggestion)
        pen.line([(at, y(low)), (at, y(high))], _MARK, 3 * _FINER)
        here = float(np.interp(math.log(suggestion), np.log(rates), smooth))
        pen.circle((at, y(here)), 6 * _FINER, _MARK)
        room = x(rates[-1]) - at > 120 * _FINER
        text(
            (at + (10 if room else -10) * _FINER, y(high) + 4 * _FINER),
            f"{suggestion:.2g}",
            "lt" if room else "rt",
            _MARK,
        )
    text((_LEFT * _FINER, 22 * _FINER), title, "lt", _INK)
    middle = (x(rates[0]) + x(rates[-1])) / 2
    text((middle, (_HEIGHT - 34) * _FINER), "learning rate", "mt", _INK)
    right = (_WIDTH - _RIGHT) * _FINER
    text((right, 22 * _FINER), "loss of each step (points), smoothed (line)", "rt", _LINE)
    file = io.BytesIO()
    picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _limits(smooth: np.ndarray) -> tuple[float, float]:
    """The range of the losses that is shown; divergence is cut off above."""
    low = float(smooth.min())
    high = min(float(smooth.max()), float(smooth[0]) + 0.5 * (float(smooth[0]) - low) + 0.1)
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about `_TICKS` of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= _TICKS)
    return [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
