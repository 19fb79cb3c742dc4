"""What the user says about how a folder is to be read: the builder's settings, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from artjax.errors import ConfigError
from artjax.prepare.readers.bad_rows import MAX_SHARE
from artjax.prepare.readers.tables import column_name

# What a column can hold beside labels; all other keys of `columns` are labels.
FIELDS = ("title", "year", "work_id", "split")
FOLDERS = "folders"
# What a prepared set calls its other features.
_TAKEN = ("image", "file_name", "path", "date", "mask", "year_uncertainty")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<sign>==|!=)\s*(?P<values>.+?)\s*")
ALL_ROWS = "all"


@dataclass(frozen=True)
class Condition:
    """Which rows of a list count: those whose cell is one of some values, or none of them.

    Attributes:
      column: as `tables.column_name` writes it.
      values: in lower case.
      equal: whether the cell must be one of them; otherwise it must be none.
    """

    column: str
    values: tuple[str, ...]
    equal: bool = True

    def holds(self, row: Mapping[str, str]) -> bool:
        """Whether a row counts."""
        return (row.get(self.column, "").casefold() in self.values) == self.equal

    def __str__(self) -> str:
        return f"{self.column} {'==' if self.equal else '!='} {' or '.join(self.values)}"


@dataclass(frozen=True)
class Asked:
    """What the user said about a folder; an empty value says nothing.

    Attributes:
      label: what the class folders, or a column `label`, hold.
      catalogue: the list to read, as a path below the folder.
      picture: its column that names the pictures, by path, URL, or id.
      columns: by label, or field of `FIELDS`, its column.
      rows: which of its rows count, such as `role == artist`, or `all`.
      separator: what separates several values in a cell.
      classes: "folders" insists that the class folders are the classes.
      max_bad_rows: the share of rows that may be left out as unusable, in [0, 1].
      wanted: columns that are labels as they are called, beside those that are known by name.
      needs_label: whether the works have to have labels. Where they need none, lists have none: no row
        contradicts another.
    """

    label: str = ""
    catalogue: str = ""
    picture: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: str = ""
    separator: str = ""
    classes: str = ""
    max_bad_rows: float = MAX_SHARE
    wanted: tuple[str, ...] = ()
    needs_label: bool = True

    @property
    def labels(self) -> dict[str, str]:
        """The column of each label that `columns` names."""
        return {
            name: column_name(column) for name, column in self.columns.items() if name not in FIELDS
        }

    @property
    def condition(self) -> Condition | None:
        """Which rows count; None where all do."""
        return condition(self.rows)

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        for name in ("catalogue", "picture", "rows", "separator"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"--config: {name} must be a text, not {getattr(self, name)!r}")
        if not isinstance(self.columns, Mapping) or not all(
            isinstance(column, str) and _LABEL.fullmatch(name) and name not in _TAKEN
            for name, column in self.columns.items()
        ):
            raise ConfigError(
                "--config: columns must give the column of each label, or of title, year, work_id or "
                f'split, as in {{"artist": "Maker", "year": "Date"}}, not {self.columns!r}'
            )
        if self.classes not in ("", FOLDERS):
            raise ConfigError(f'--config: classes can only be "{FOLDERS}", not {self.classes!r}')
        share = self.max_bad_rows
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"--config: max_bad_rows must be a share in [0, 1], not {share!r}")
        condition(self.rows)


def condition(text: str) -> Condition | None:
    """Reads `role == artist` or `role != copy`, with `|` between several values.

    Raises:
      ConfigError: if it is neither.
    """
    if text in ("", ALL_ROWS):
        return None
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"--config: rows must be '{ALL_ROWS}' or a condition such as 'role == artist' or "
            f"'classification != Photograph|Print', not {text!r}"
        )
    values = tuple(value.strip().strip("'\"").casefold() for value in match["values"].split("|"))
    return Condition(column_name(match["column"]), values, match["sign"] == "==")
