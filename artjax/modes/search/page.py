"""A search as a person reads it: lines for the console, a table, and a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from artjax import pages
from artjax.modes.search.results import Result, ranked
from artjax.modes.search.space import Hyperparameters, Space

if TYPE_CHECKING:
    from ml_collections import ConfigDict

CHOSEN_BY = (
    "the best of many is in part the luckiest on the works by which it was chosen: its score on test "
    "tends to be lower"
)
_TITLES = {
    "peak_lr": "learning rate",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "dropout": "dropout",
    "layers": "hidden layers",
}
# Of a plot, in pixels: the size of the drawing, and the margins for the axes.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 330, 196, 44, 20
_PAD = 8
_MOST_ROWS = 200
_NEAR_THE_END = 0.05  # as a share of a range's logarithm


def lines(best: Mapping[str, Any]) -> list[str]:
    """The end of a search in words."""
    chosen = best["chosen"]
    found = [
        f"best of {best['trials']:,} trials: trial {best['trial']}, top-1 "
        f"{best['validation_top1']:.1%}, loss {best['validation_loss']:.3f}, on the "
        f"{best['comparison']['works']:,} validation works by which it was chosen"
    ]
    if chosen["kind"] != "single":
        found.append(
            f"better on these: {'an ensemble' if chosen['kind'] == 'ensemble' else 'a soup'} of "
            f"the best {len(chosen['trials'])}, top-1 {chosen['top1']:.1%}, loss {chosen['loss']:.3f}"
        )
    found += best["comparison"]["in_words"]
    found += best["hints"]
    if best["train"]:
        found += [CHOSEN_BY, f"train it:    {best['train']}"]
    if best["evaluate"]:
        found.append(f"evaluate it: {best['evaluate']}")
    found.append(f"written to {best['folder']}/index.html")
    return found


def hints(space: Space, best: Hyperparameters) -> list[str]:
    """What the best trial says of the ranges: an optimum at an end may lie beyond it."""
    found: list[str] = []
    if best == space.own:  # which was not drawn from them
        return found
    for name in ("peak_lr", "weight_decay"):
        low, high = getattr(space, name)
        if name not in space.searched or low <= 0:
            continue
        share = math.log(getattr(best, name) / low) / math.log(high / low)
        if not _NEAR_THE_END <= share <= 1 - _NEAR_THE_END:
            end = "lower" if share < 0.5 else "upper"
            found.append(
                f"note: the best {_TITLES[name]} is near the {end} end of its range, {low:g} to "
                f"{high:g}; another range may have a better one: --config.search.{name}"
            )
    return found


def in_words(drawn: Hyperparameters, space: Space) -> str:
    """The hyperparameters that differ between trials, such as `learning rate 0.01, dropout 0.2`."""
    values = asdict(drawn)
    return ", ".join(f"{_TITLES[name]} {_shown(values[name])}" for name in space.searched)


def titles(space: Space) -> list[str]:
    """The names of the hyperparameters that differ between trials, for people."""
    return [_TITLES[name] for name in space.searched]


def shown_fields(fields: Mapping[str, Any], space: Space) -> list[str]:
    """The values of these hyperparameters, from what `Hyperparameters.fields` gave."""
    drawn = Hyperparameters.from_fields(fields)
    return [_shown(getattr(drawn, name)) for name in space.searched]


def fields_in_words(fields: Mapping[str, Any], space: Space) -> str:
    """As `in_words`, from what `Hyperparameters.fields` gave."""
    return in_words(Hyperparameters.from_fields(fields), space)


def spread_in_words(several: Sequence[Mapping[str, Any]], space: Space) -> list[str]:
    """The lowest and the highest of each hyperparameter, or all choices: `dropout 0, 0.5`."""
    drawn = [Hyperparameters.from_fields(fields) for fields in several]
    found = []
    for name in space.searched:
        values = sorted({getattr(of_one, name) for of_one in drawn})
        between = ", " if name in ("dropout", "layers") else " to "
        ends = values if between == ", " else values[:: max(1, len(values) - 1)]
        found.append(f"{_TITLES[name]} {between.join(map(_shown, ends))}")
    return found


def range_in_words(space: Space, name: str) -> str:
    """The range or the choices of a hyperparameter."""
    values = getattr(space, name)
    if name in ("dropout", "layers"):
        return f"{_TITLES[name]} {', '.join(map(_shown, values))}"
    how = ", log-uniform" if name != "label_smoothing" else ""
    return f"{_TITLES[name]} {values[0]:g} to {values[1]:g}{how}"


def table(results: Sequence[Result]) -> str:
    """The table `trials.csv`: a row for each trial, the best first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "rank",
            "trial",
            *_TITLES,
            "steps",
            "validation_top1",
            "validation_loss",
            "status",
            "folder",
        ]
    )
    for rank, result in enumerate(ranked(results), start=1):
        drawn = asdict(result.drawn) | {"layers": _shown(result.drawn.layers)}
        scores = (result.step, repr(result.top1), repr(result.loss))
        row = (rank, result.number, *drawn.values(), *scores, _status(result), result.folder)
        writer.writerow(row)
    return text.getvalue()


@dataclass(frozen=True)
class Plot:
    """A plot of validation top-1 against one hyperparameter, in pixels.

    Attributes:
      title: of the x axis.
      points: x, y, whether the trial was trained to its end, and its description.
      across: position and text of each tick of the x axis.
      up: position and text of each tick of the y axis.
    """

    title: str
    points: list[tuple[float, float, bool, str]]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def plots(space: Space, results: Sequence[Result]) -> list[Plot]:
    """A plot for each hyperparameter that was searched."""
    shown = [result for result in results if math.isfinite(result.loss)]
    lowest, highest = min(r.top1 for r in shown), max(r.top1 for r in shown)
    margin = max(0.01, (highest - lowest) * 0.05)
    lowest, highest = max(0.0, lowest - margin), min(1.0, highest + margin)

    def height(top1: float) -> float:
        share = (top1 - lowest) / (highest - lowest)
        return _HEIGHT - _BOTTOM - _PAD - share * (_HEIGHT - _BOTTOM - 2 * _PAD)

    up = [(height(tick), f"{tick:.0%}") for tick in _ticks(lowest, highest)]
    drawn = []
    for name in space.searched:
        scale = _Scale((*getattr(space, name), getattr(space.own, name)), name)
        points = [
            (
                scale.place(getattr(result.drawn, name)),
                height(result.top1),
                result.finished,
                f"trial {result.number}: {in_words(result.drawn, space)}; top-1 {result.top1:.1%}"
                + ("" if result.finished else f" at step {result.step:,}"),
            )
            for result in sorted(shown, key=lambda result: result.finished)
        ]
        drawn.append(Plot(_TITLES[name], points, scale.ticks(), up))
    return drawn


class _Scale:
    """The x axis of a plot: logarithmic, linear, or a few choices; it has a place for all values."""

    def __init__(self, values: Sequence[Any], name: str) -> None:
        self._choices = list(dict.fromkeys(values)) if name in ("dropout", "layers") else None
        self._log = self._choices is None and name != "label_smoothing" and values[0] > 0
        if self._choices is None:
            # A logarithmic axis has no place for 0, which only the configuration's own settings may be.
            shown = [value for value in values if value > 0 or not self._log]
            self._low, self._high = self._on(min(shown)), self._on(max(shown))

    def _on(self, value: float) -> float:
        if not self._log:
            return value
        return math.log10(value) if value > 0 else self._low

    def place(self, value: Any) -> float:
        if self._choices is not None:
            share = (self._choices.index(value) + 0.5) / len(self._choices)
        else:
            share = (self._on(value) - self._low) / (self._high - self._low)
        return _LEFT + _PAD + share * (_WIDTH - _LEFT - 2 * _PAD)

    def ticks(self) -> list[tuple[float, str]]:
        if self._choices is not None:
            return [(self.place(value), _shown(value)) for value in self._choices]
        if not self._log:
            values = _ticks(self._low, self._high)
        else:
            exponents = range(math.ceil(self._low - 1e-9), math.floor(self._high + 1e-9) + 1)
            values = [10.0**exponent for exponent in exponents]
            if len(values) < 2:  # less than two decades
                values = [10**self._low, 10**self._high]
        return [(self.place(value), f"{value:.3g}") for value in values]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers in a range."""
    step = 10 ** math.floor(math.log10((high - low) / 2))
    for factor in (5, 2, 1):
        if (high - low) / (factor * step) >= 2:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def render(
    best: Mapping[str, Any], space: Space, results: Sequence[Result], config: ConfigDict
) -> str:
    """The page `index.html`. It needs no server and no network.

    Args:
      best: what `best.json` holds.
      space: of the search.
      results: of all trials.
      config: of the search.
    """
    rows = ranked(results)
    titles = [_TITLES[name] for name in space.searched]
    return pages.render(
        "modes/search/page.html",
        best=best,
        chosen_by=CHOSEN_BY,
        config=config,
        ranges=[range_in_words(space, name) for name in space.searched],
        plots=plots(space, results),
        compared=[
            (kind_of(row), row["top1"], row["loss"], ", ".join(map(str, row["trials"])))
            for row in best["compared"]
        ],
        columns=[
            ("trial", "%d"),
            *((title, "%s") for title in titles),
            ("top-1", "percent"),
            ("loss", "%.3f"),
            ("status", "text"),
        ],
        rows=[
            (
                row.number,
                *(_shown(getattr(row.drawn, name)) for name in space.searched),
                row.top1,
                row.loss,
                _status(row),
            )
            for row in rows[:_MOST_ROWS]
        ],
        left_out=len(rows) - len(rows[:_MOST_ROWS]),
        size=(_WIDTH, _HEIGHT, _LEFT, _BOTTOM),
    )


def kind_of(row: Mapping[str, Any]) -> str:
    """A single trial, or an ensemble or a soup and how many are in it."""
    return row["kind"] + (f" of {len(row['trials'])}" if row["kind"] != "single" else "")


def _status(result: Result) -> str:
    if not math.isfinite(result.loss):
        return "diverged"
    return "finished" if result.finished else f"stopped at step {result.step:,}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "-".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
