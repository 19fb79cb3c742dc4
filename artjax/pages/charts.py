"""The geometry of charts on pages: lines over steps, and points against a diagonal, as inline SVG.

`pages/charts.html` draws them. A library would bring scripts, or pictures that have no text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Of a chart, in pixels: the drawing, and the margins for the numbers of the axes.
WIDTH, HEIGHT, LEFT, BOTTOM = 440, 230, 46, 22
_PAD, _RIGHT = 8, 18
_TICKS = 5
_MOST_POINTS = 400


class Line(NamedTuple):
    """Values over steps; those that are not finite are left out.

    Attributes:
      name: as the legend has it.
      colour: its class in the style sheet: `train`, `validation` or `test`, or one of the page's own.
      points: (step, value), in the order of the steps.
    """

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """What `charts.lines` draws.

    Attributes:
      title: what is drawn.
      up: places and texts of the vertical axis.
      across: of the horizontal one.
      lines: colour and points of each.
      marked: x of a vertical line, with its text; or None.
      alternative: the chart in words.
    """

    title: str
    up: list[tuple[float, str]]
    across: list[tuple[float, str]]
    lines: list[tuple[str, str]]
    marked: tuple[float, str] | None
    alternative: str


def line_chart(
    title: str,
    lines: Sequence[Line],
    form: str = "{:.3g}",
    *,
    limits: tuple[float, float] | None = None,
    marked: tuple[float, str] | None = None,
    by: str = "step",
    by_form: str = "{:,.0f}",
) -> Chart | None:
    """A chart of lines over steps, or over something else; None if no line has two points.

    Args:
      title: what is drawn, such as `Loss`.
      lines: those without two points are left out.
      form: format of a value.
      limits: of the vertical axis, where values have natural ones.
      marked: a step, and why it is marked.
      by: what the horizontal axis has.
      by_form: format of its values.
    """
    finite = [
        line._replace(points=[p for p in line.points if math.isfinite(p[1])]) for line in lines
    ]
    drawn = [line for line in finite if len(line.points) > 1]
    if not drawn:
        return None
    steps = [step for line in drawn for step, _ in line.points]
    values = [value for line in drawn for _, value in line.points]
    low, high = limits or (min(0.0, *values), max(values))
    up_ticks = ticks(low, high)
    high = max(high, low + 1e-12)
    x = _scale(min(steps), max(steps), LEFT, WIDTH - _RIGHT)
    y = _scale(low, high, HEIGHT - BOTTOM, _PAD)
    return Chart(
        title,
        [(y(value), form.format(value)) for value in up_ticks],
        [(x(step), by_form.format(step)) for step in ticks(min(steps), max(steps))],
        [
            (line.colour, " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in _thinned(line.points)))
            for line in drawn
        ],
        None if marked is None else (x(marked[0]), marked[1]),
        f"{title} by {by}: " + "; ".join(_in_words(line, form) for line in drawn),
    )


class Diagonal(NamedTuple):
    """What `charts.diagonal` draws: shares that are right against the probabilities that were said.

    Attributes:
      ticks: of the horizontal axis, x and text.
      up: of the vertical axis, y and text.
      diagonal: where probabilities mean what they say: x and y of both ends.
      points: x, y, the y of both ends of the interval, and what it is in words.
      alternative: all of it in words.
    """

    ticks: list[tuple[float, str]]
    up: list[tuple[float, str]]
    diagonal: tuple[float, float, float, float]
    points: list[tuple[float, float, float, float, str]]
    alternative: str


def reliability_chart(
    bins: Sequence[tuple[int, float, float, tuple[float, float]]],
) -> Diagonal:
    """A reliability diagram: DeGroot & Fienberg, The Comparison and Evaluation of Forecasters (1983).

    Args:
      bins: answers that are about as sure as each other: their number, the mean of the probabilities
        that were said, the share that is right, and its interval; all in [0, 1].
    """
    side = HEIGHT - BOTTOM - _PAD  # as wide as high, so that the diagonal is one
    x = _scale(0, 1, LEFT, LEFT + side)
    y = _scale(0, 1, HEIGHT - BOTTOM, _PAD)
    quarters = [0.0, 0.25, 0.5, 0.75, 1.0]
    said = [
        f"{right:.1%} of {works:,} works right where {probability:.1%} was said"
        for works, probability, right, _ in bins
    ]
    return Diagonal(
        [(x(value), f"{value:.0%}") for value in quarters],
        [(y(value), f"{value:.0%}") for value in quarters],
        (x(0), y(0), x(1), y(1)),
        [
            (x(probability), y(right), y(interval[0]), y(interval[1]), text)
            for (_, probability, right, interval), text in zip(bins, said, strict=True)
        ],
        "Reliability: " + "; ".join(said),
    )


def ticks(low: float, high: float, about: int = _TICKS) -> list[float]:
    """Round numbers from `low` to `high`, about so many: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def colours_of(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Colour and name of each kind of line, for `parts.keys`."""
    return list(dict.fromkeys((line.colour, line.name) for line in lines if len(line.points) > 1))


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    per_unit = (end - begin) / ((high - low) or 1.0)
    return lambda value: begin + (value - low) * per_unit


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most `_MOST_POINTS`: each a mean of neighbours, which keeps the shape of a noisy curve."""
    size = -(-len(points) // _MOST_POINTS)
    if size < 2:
        return points
    parts = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(sum(a for a, _ in p) / len(p), sum(b for _, b in p) / len(p)) for p in parts]


def _in_words(line: Line, form: str) -> str:
    values = [value for _, value in line.points]
    first, last = form.format(values[0]), form.format(values[-1])
    ends = f"lowest {form.format(min(values))}, highest {form.format(max(values))}"
    return f"{line.name} from {first} to {last}, {ends}"
