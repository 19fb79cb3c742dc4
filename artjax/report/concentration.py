"""Where errors concentrate: their share by year, size, shape and the collection's other labels.

With enough ways to divide the works, one of them always looks like a finding. So each has one test, and
Holm's correction holds the chance of any false finding on a page at 5 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.evaluation.evaluate import Evaluated
from artjax.evaluation.intervals import share_interval, wilson_interval
from artjax.report.works import TaskWorks

DRAWS = 9_999
LEVEL = 0.05
_MOST_BINS = 8
_NUMERIC_BINS = 4
_FEWEST_IN_BIN = 5
# Beyond this the interval of grouped works takes long, and each group is taken for one work.
_MOST_GROUPED = 2_000
UNKNOWN, OTHERS = "unknown", "others"


class Column(NamedTuple):
    """A way to divide works: its name, the names of its bins, and the bin of each work, int [N]."""

    name: str
    bins: Sequence[str]
    of_work: np.ndarray


class Bin(NamedTuple):
    """Works that have something in common: their number, how many are wrong, and the 95 % interval."""

    name: str
    works: int
    wrong: int
    interval: tuple[float, float]


class Concentration(NamedTuple):
    """The errors in the bins of a column.

    Attributes:
      name: of the column.
      bins: those with works.
      p: of a test that they differ in no more than chance lets them.
      adjusted_p: the same, after Holm's correction for all columns of the page.
    """

    name: str
    bins: list[Bin]
    p: float
    adjusted_p: float

    @property
    def is_shown(self) -> bool:
        """Whether the errors are shown to concentrate."""
        return self.adjusted_p <= LEVEL


def concentrations(
    works: Mapping[str, TaskWorks], parts: Sequence[Evaluated]
) -> dict[str, list[Concentration]]:
    """By task, the columns by which errors are shown to concentrate first; Holm's over all tasks."""
    tested = {
        task: [_tested(of_task, column) for column in columns_of(task, of_task, parts)]
        for task, of_task in works.items()
    }
    adjusted = iter(holm([found.p for of_task in tested.values() for found in of_task]))
    return {
        task: sorted(
            (found._replace(adjusted_p=next(adjusted)) for found in of_task),
            key=lambda found: found.p,
        )
        for task, of_task in tested.items()
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = np.empty(len(order)), 0.0
    for place, i in enumerate(order):
        highest = max(highest, (len(order) - place) * p_values[i])
        adjusted[i] = min(1.0, highest)
    return [float(p) for p in adjusted]


def columns_of(task: str, works: TaskWorks, parts: Sequence[Evaluated]) -> list[Column]:
    """The ways to divide the works of a task; those that put nearly all into one bin are left out."""
    splits, data = [part.split for part in parts], parts[0].data
    labels = works.predictions.labels
    found: list[Column | None] = []
    if all(len(split.years) for split in splits):
        years = works.of_splits(splits, "years").astype(float)
        found.append(_numeric("year", np.where(years >= 0, years, np.nan), "{:.0f}"))
    sides = {row.file_name: min(row.width, row.height) for row in _sizes(data)}
    side = np.asarray([sides.get(name, np.nan) for name in works.file_names.tolist()], float)
    found.append(_numeric("shorter side of the original, px", side, "{:,.0f}"))
    found.append(_numeric("width : height", works.of_splits(splits, "aspect"), "{:.2f}"))
    in_train = np.empty(len(labels))
    for number, part in enumerate(parts):
        own = works.part == number
        counts = np.bincount(_known(part.train.labels[task]), minlength=len(works.names))
        in_train[own] = counts[labels[own]]
    found.append(_numeric(f"train works of the {task}", in_train, "{:,.0f}"))
    for label, names in data.prepared.labels.items():
        values = _values(works, parts, f"label/{label}")
        if not np.array_equal(values, labels):
            found.append(_named(label, values, names))
    return [column for column in found if column is not None]


def _tested(works: TaskWorks, column: Column) -> Concentration:
    wrong, groups = ~works.right, works.predictions.groups
    bins = []
    for number, name in enumerate(column.bins):
        own = column.of_work == number
        if own.any():
            of_bin = None if groups is None else groups[own]
            bins.append(
                Bin(name, int(own.sum()), int(wrong[own].sum()), _interval(wrong[own], of_bin))
            )
    # One image of each group, for the rest of it is not independent.
    first = slice(None) if groups is None else np.unique(groups, return_index=True)[1]
    return Concentration(
        column.name, bins, independence_p(wrong[first], column.of_work[first]), 1.0
    )


def independence_p(wrong: np.ndarray, bins: np.ndarray) -> float:
    """p-value of the hypothesis that errors fall into bins as chance lets them, in (0, 1].

    Pearson's statistic, whose distribution is drawn, with the number of errors and of works in each bin
    given: Agresti, A Survey of Exact Inference for Contingency Tables (1992), section 2.2, and for drawn
    tables Phipson & Smyth, Permutation P-values Should Never Be Zero (2010). With the seed fixed.

    Args:
      wrong: whether each work is named wrongly, bool [N]; the works are independent.
      bins: of each, int [N].
    """
    sizes = np.bincount(bins)
    sizes = sizes[sizes > 0]
    errors = np.bincount(np.unique(bins, return_inverse=True)[1], wrong)
    total = int(wrong.sum())
    if not 0 < total < len(wrong) or len(sizes) < 2:
        return 1.0
    expected = sizes * (total / len(wrong))

    def statistic(of: np.ndarray) -> np.ndarray:
        distances: np.ndarray = ((of - expected) ** 2 / expected).sum(axis=-1)
        return distances

    drawn = np.random.default_rng(0).multivariate_hypergeometric(
        sizes, total, DRAWS, method="marginals"
    )
    as_far = int((statistic(drawn) >= statistic(errors) - 1e-9).sum())
    return (1 + as_far) / (1 + DRAWS)


def _interval(wrong: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    if groups is None or len(wrong) <= _MOST_GROUPED:
        return share_interval(wrong, groups)
    return wilson_interval(float(wrong.mean()), len(np.unique(groups)))


def _numeric(name: str, values: np.ndarray, form: str) -> Column | None:
    """Bins of about equal numbers of works, named after their ends; those that are nan are `UNKNOWN`."""
    known = np.isfinite(values)
    if not known.any():
        return None
    inner = np.quantile(values[known], np.linspace(0, 1, _NUMERIC_BINS + 1)[1:-1])
    of_work = np.full(len(values), -1)
    of_work[known] = np.searchsorted(np.unique(inner), values[known])
    present = np.unique(of_work[known])
    names = []
    for number in present:
        inside = values[of_work == number]
        low, high = (form.format(end) for end in (inside.min(), inside.max()))
        names.append(low if low == high else f"{low} to {high}")
    places = np.where(known, np.searchsorted(present, of_work), len(names))
    return _if_it_divides(Column(name, [*names, UNKNOWN], places))


def _named(name: str, values: np.ndarray, names: Sequence[str]) -> Column | None:
    """The classes with most works, each a bin; the others together; -1 is `UNKNOWN`."""
    counts = Counter(values[values >= 0].tolist())
    largest = sorted(c for c, works in counts.most_common(_MOST_BINS) if works >= _FEWEST_IN_BIN)
    place = {c: i for i, c in enumerate(largest)} | {-1: len(largest) + 1}
    of_work = np.asarray([place.get(c, len(largest)) for c in values.tolist()])
    return _if_it_divides(Column(name, [*(names[c] for c in largest), OTHERS, UNKNOWN], of_work))


def _if_it_divides(column: Column) -> Column | None:
    """The column, unless fewer than two of its bins have enough works to compare."""
    counts = np.bincount(column.of_work, minlength=len(column.bins))
    return column if (counts >= _FEWEST_IN_BIN).sum() > 1 else None


def _values(works: TaskWorks, parts: Sequence[Evaluated], column: str) -> np.ndarray:
    result = np.full(len(works.place), -1)
    for number, part in enumerate(parts):
        own = works.part == number
        result[own] = part.data.values(part.split, column)[works.place[own]]
    return result


def _known(labels: np.ndarray) -> np.ndarray:
    return labels[labels >= 0]


def _sizes(data: Canvases) -> list[reports.SplitRow]:
    return reports.read_split_rows(data.reports / reports.SPLITS_CSV)
