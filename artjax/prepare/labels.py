"""What of a catalogue's cells are classes: one step between a reader and the cleaning of pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from artjax.config import LABELS, nearest
from artjax.data.splits import named
from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.cells import SharedLabels
from artjax.prepare.dates import Date, read_date
from artjax.prepare.names import PEOPLE, SCHOOL, folded, names_in, qualified
from artjax.prepare.spellings import likely_doubles, same_words

MISSING = (
    *("nan", "none", "null", "nil", "n/a", "na", "#n/a", "n.d.", "n. d.", "unknown", "not known"),
    *("unidentified", "unspecified", "undetermined", "undefined", "not available", "-", "?"),
)
"""Words that say that a label is not known. "Anonymous" is a class: museums ask for it."""
TAKEN = (
    "image",
    "file_name",
    "path",
    "title",
    "year",
    "year_uncertainty",
    "work_id",
    "mask",
    "aspect",
)
"""What a prepared set calls its other features: no labels."""

_NO_LABELS = (*TAKEN, "date", "id", "url", "split", "subset", "set")
_FEW = 20  # works, or different numbers: too few to say what a column holds
_MOST = 0.9  # of the cells of a column
_POSSIBLE = 8  # columns that could be labels are named, at most


@dataclass(frozen=True)
class LabelSettings:
    """What becomes a class; the settings of `CollectionConfig` with these names.

    Attributes:
      labels: columns that are labels beside `LABELS`.
      missing: words that mean no label, in any case of letters.
      qualifiers: whether "workshop of Rubens" is a class of its own ("keep"), joins Rubens ("join"), or
        has no label ("drop").
      several: the same for cells with several names: "keep", the "first", or "drop".
      period_years: the label `period` is made from the year, in steps of so many; 0 for none.
      same: for each (label, name), the name to use; empty for no label. A label "" means all.
      min_works: the least number of works of a class.
    """

    labels: tuple[str, ...] = ()
    missing: tuple[str, ...] = MISSING
    qualifiers: str = "keep"
    several: str = "keep"
    period_years: int = 0
    same: Mapping[tuple[str, str], str] = field(default_factory=dict)
    min_works: int = 1


def settled(catalogue: Catalogue, settings: LabelSettings) -> Catalogue:
    """The catalogue with its final labels and years; its notes say what became of which cells.

    Takes the works out of `catalogue` itself: half a million would not have to be there twice.

    Raises:
      DataError: if a column that is named as a label is none, or not there.
    """
    possible = _possible_labels(catalogue.works, settings)
    works = catalogue.works
    _add_labels(works, settings.labels)
    date_notes = _set_years(works)
    if settings.period_years:
        date_notes += _add_periods(works, settings.period_years)
    counts: dict[str, Counter[str]] = {}
    for work in works:
        for label, name in work.labels.items():
            counts.setdefault(label, Counter())[name] += 1
    names = {label: _Names(label, of_label, settings) for label, of_label in counts.items()}
    shared = SharedLabels()
    for i, work in enumerate(works):
        labels = {
            label: name for label, cell in work.labels.items() if (name := names[label].use[cell])
        }
        if labels != work.labels:
            works[i] = replace(work, labels=shared(labels))
    notes = [*catalogue.notes, *_possible_lines(possible), *date_notes]
    doubles = []
    for label, of_label in names.items():
        notes += of_label.notes()
        doubles += likely_doubles(label, of_label.classes(), label in PEOPLE)
    notes += _unused_lines(settings.same, counts)
    return replace(
        catalogue,
        works=works,
        class_names=class_names(works),
        notes=notes,
        doubles=doubles,
        possible_labels=possible,
    )


class _Names:
    """What each cell of a label is used as, and what is said of it."""

    def __init__(self, label: str, counts: Counter[str], settings: LabelSettings) -> None:
        self._label = label
        self._counts = counts
        self._settings = settings
        self._people = label in PEOPLE
        self._missing = {folded(word) for word in settings.missing}
        self._said: dict[str, list[str]] = {
            "several": [],
            "missing": [],
            "qualified": [],
            "same": [],
        }
        self._plain = {
            same_words(name): name
            # The most frequent spelling last, so that it stays.
            for name, _ in reversed(counts.most_common())
            if not (self._people and qualified(name))
        }
        self.use = {cell: self._used(cell) for cell in counts}

    def _used(self, cell: str) -> str:
        for label in (self._label, ""):
            if (label, cell) in self._settings.same:
                self._said["same"].append(cell)
                return self._settings.same[label, cell]
        names = names_in(cell, self._people)
        if len(names) > 1:
            self._said["several"].append(cell)
            if self._settings.several != "first":
                return cell if self._settings.several == "keep" else ""
        name = names[0] if len(names) > 1 else cell
        if self._is_missing(name):
            self._said["missing"].append(cell)
            return ""
        return self._of_hand(name) if self._people else name

    def _is_missing(self, name: str) -> bool:
        plain = folded(name)
        # "[Unknown]", "unknown artist", "Artist unknown", "--"
        bare = re.sub(r"^[(\[<\s]+|[)\]>\s.]+$", "", plain)
        of_label = re.sub(rf"^{self._label}\s+|\s+(?:{self._label}|maker)$", "", bare)
        only_dashes = "-" in self._missing and not re.search(r"[^-–—_.]", plain)
        return only_dashes or not self._missing.isdisjoint((plain, bare, of_label))

    def _of_hand(self, name: str) -> str:
        found = qualified(name)
        if found is None:
            return name
        plain = self._plain.get(same_words(found.name))
        # A school is most often that of a place, such as Fontainebleau.
        if found.kind == SCHOOL and plain is None:
            return name
        self._said["qualified"].append(name)
        if self._settings.qualifiers == "join":
            return plain or found.name
        return name if self._settings.qualifiers == "keep" else ""

    def classes(self) -> dict[str, int]:
        """The number of works of each class."""
        works: Counter[str] = Counter()
        for cell, count in self._counts.items():
            works[self.use[cell]] += count
        return {name: count for name, count in works.items() if name}

    def notes(self) -> list[str]:
        """A line for each kind of cell that is there."""
        lines = []
        if missing := self._said["missing"]:
            shown = named([f"'{cell}'" for cell in sorted(missing)])
            lines.append(f"{self._works(missing)} {shown}: no label")
        if several := self._said["several"]:
            what = {
                "keep": "each a class of its own",
                "first": "the first counts",
                "drop": "no label",
            }
            lines.append(
                f"{self._works(several)} several names in a cell, such as '{self._most(several)}': "
                f'{what[self._settings.several]} ("several": "keep", "first" or "drop")'
            )
        if hands := self._said["qualified"]:
            what = {"keep": "classes of their own", "join": "joined", "drop": "no label"}
            lines.append(
                f"{self._works(hands)} a name like '{self._most(hands)}': "
                f'{what[self._settings.qualifiers]} ("qualifiers": "keep", "join" or "drop")'
            )
        if same := self._said["same"]:
            lines.append(f'{self._works(same)} a name that the file of "same" names: as it says')
        return lines

    def _works(self, cells: Iterable[str]) -> str:
        number = sum(self._counts[cell] for cell in set(cells))
        return f"{self._label}: {number:,} works have"

    def _most(self, cells: Iterable[str]) -> str:
        return max(sorted(set(cells)), key=lambda cell: self._counts[cell])


def _add_labels(works: list[Work], labels: Sequence[str]) -> None:
    if not labels:
        return
    columns = {name for work in works for name in (*work.columns, *work.labels)}
    for label in labels:
        if label not in columns:
            has = ", ".join(sorted(columns)) or "none"
            raise DataError(
                f'"labels": the list has no column "{label}" with a cell that is not empty; it has '
                f"{has}{nearest(label, columns)}"
            )
        cells = Counter(
            cell
            for work in works
            if (cell := work.labels.get(label, "") or work.columns.get(label, ""))
        )
        if problem := _no_classes(cells):
            raise DataError(f'"labels": the column "{label}" {problem}')
    shared = SharedLabels()
    for i, work in enumerate(works):
        added = {label: cell for label in labels if (cell := work.columns.get(label, ""))}
        works[i] = replace(work, labels=shared({**added, **work.labels}))


def _no_classes(cells: Counter[str]) -> str:
    """Why the cells of a column are no classes; empty if they can be."""
    works, first = sum(cells.values()), next(iter(cells))
    if len(cells) < 2:
        return f"has one value only, '{first}': there is nothing to tell apart"
    if works < _FEW:
        return ""
    numbers = [cell for cell in cells if re.fullmatch(r"-?\d+([.,]\d+)?", cell)]
    dates = [
        cell
        for cell in cells
        # "1928.3" is an inventory number or a measurement.
        if not re.fullmatch(r"\d+[.,]\d+", cell) and (date := read_date(cell)) and date.year > 1000
    ]
    if len(cells) > _FEW and len(dates) >= _MOST * len(cells):
        return (
            f"holds dates, such as '{first}'; \"period_years\": 50 makes classes of the column year"
        )
    if len(cells) > _FEW and len(numbers) >= _MOST * len(cells):
        return (
            f"holds numbers, {len(cells):,} different ones such as '{first}': they are no classes"
        )
    if len(cells) > _MOST * works:
        return (
            f"names each work apart ({len(cells):,} values in {works:,} works, such as '{first}')"
        )
    return ""


def _possible_labels(works: Sequence[Work], settings: LabelSettings) -> dict[str, int]:
    """The columns that could be labels, with the number of their classes that are large enough."""
    least = max(2, settings.min_works)
    columns = dict.fromkeys(name for work in works for name in work.columns)
    possible = {}
    for column in columns:
        if column in _NO_LABELS or column in settings.labels or column in LABELS:
            continue
        cells = Counter(
            cell
            for work in works
            if (cell := work.columns.get(column)) and folded(cell) not in settings.missing
        )
        large = [count for count in cells.values() if count >= least]
        is_label = any(
            all(work.labels.get(label) == work.columns.get(column) for work in works)
            for label in works[0].labels
        )
        if len(large) > 1 and 2 * sum(large) >= len(works) and not (is_label or _no_classes(cells)):
            possible[column] = len(large)
    return dict(sorted(possible.items(), key=lambda item: item[1])[:_POSSIBLE])


def _possible_lines(possible: Mapping[str, int]) -> list[str]:
    if not possible:
        return []
    shown = ", ".join(f"{column} ({classes:,} classes)" for column, classes in possible.items())
    first = next(iter(possible))
    return [f'columns that could be labels, too: {shown}; name them, as in "labels": ["{first}"]']


def _set_years(works: list[Work]) -> list[str]:
    dates = _each_once(read_date, (work.date for work in works if work.date))
    unread: Counter[str] = Counter()
    uncertain = 0
    for i, work in enumerate(works):
        date = dates.get(work.date)
        if date is not None:
            uncertain += date.uncertainty > 0
            if (work.year, work.year_uncertainty) != (date.year, date.uncertainty):
                works[i] = replace(work, year=date.year, year_uncertainty=date.uncertainty)
        elif work.date:
            unread[work.date] += 1
            works[i] = replace(work, year=-1)
    all_dates = sum(bool(work.date) for work in works)
    lines = []
    if unread:
        lines.append(
            f"{unread.total():,} of {all_dates:,} dates could not be read, such as "
            f"'{unread.most_common(1)[0][0]}'"
        )
    if uncertain:
        lines.append(
            f"{uncertain:,} of {all_dates:,} dates are spans or uncertain: the year is the middle, "
            "year_uncertainty says how far it may be off"
        )
    return lines


def _each_once(
    function: Callable[[str], Date | None], texts: Iterable[str]
) -> dict[str, Date | None]:
    return {text: function(text) for text in set(texts)}


def _add_periods(works: list[Work], years: int) -> list[str]:
    """The label `period`, where all years that a work may be from are in one."""
    if any("period" in work.labels for work in works):
        raise DataError(
            '"period_years": the list has a column period already; leave one of them out'
        )
    if not any(work.date for work in works):
        raise DataError('"period_years": the list has no dates, in a column year or date')
    dates = _each_once(read_date, (work.date for work in works if work.date))
    spanning = 0
    for i, work in enumerate(works):
        date = dates.get(work.date)
        if date is not None and date.first // years == date.last // years:
            first = date.first // years * years
            period = f"{first}-{first + years - 1}"
            works[i] = replace(work, labels={**work.labels, "period": period})
        else:
            spanning += date is not None
    found = sum("period" in work.labels for work in works)
    line = f"period: {found:,} works by their date, in steps of {years} years"
    if spanning:
        line += f"; {spanning:,} dates are in two or more: no period"
    return [line]


def _unused_lines(
    same: Mapping[tuple[str, str], str], counts: Mapping[str, Counter[str]]
) -> list[str]:
    everywhere = {name for of_label in counts.values() for name in of_label}
    unused = [
        name
        for label, name in same
        if name not in (counts.get(label, Counter()) if label else everywhere)
    ]
    if not unused:
        return []
    near = nearest(unused[0], everywhere)
    return [f"\"same\": {len(unused):,} names are not in the list, such as '{unused[0]}'{near}"]
