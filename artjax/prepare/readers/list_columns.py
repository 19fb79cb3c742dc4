"""What the columns of a list of pictures say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from artjax.config import LABELS, nearest
from artjax.errors import DataError
from artjax.prepare.readers.asked import FIELDS, Asked, Condition, condition
from artjax.prepare.readers.museums import Museum, museum_of
from artjax.prepare.readers.tables import Table, column_name

# The first column that exists and finds pictures is used: paths before names before ids.
PICTURE_COLUMNS = (
    *("file_name", "filename", "file", "path", "filepath", "file_path", "image_path", "img_path"),
    *("image", "picture", "image_file", "image_name", "new_filename", "image_id", "img"),
    *("image_url", "imageurl", "iiif_url", "iiifurl", "image_link", "thumbnail_url", "thumbnail"),
    *("accession_number", "inventory_number", "object_number", "identifier", "id"),
)
LABEL_COLUMNS = {
    "artist": ("artist", "artist_name", "painter", "author"),
    "genre": ("genre", "genre_name"),
    # Beside a school, a location is most often where the work hangs today.
    "location": ("school", "location"),
    "style": ("style", "style_name", "movement"),
    "period": ("period", "timeframe", "century"),
}
GENERIC_COLUMNS = ("label_name", "class_name", "label", "class", "target", "category")
SPLIT_COLUMNS = ("split", "subset", "set")
# Columns with numbers that other things have as well.
NUMBERS = frozenset(("id", "object_id", "objectid"))


@dataclass(frozen=True)
class Meaning:
    """What the columns of a list say.

    Attributes:
      picture: columns that can name the pictures, the first choice first.
      labels: by label, the column that holds it.
      generic: a column that is only called `label` or the like, or an empty string.
      museum: whose catalogue it is, if it is a known one.
      other: columns of title, year, work_id and split, where the user said.
      rows: which rows count; None for all.
      separator: what separates several values in a cell; empty if nothing does.
      partial: whether it may list far more pictures than are here, as a museum's catalogue does.
    """

    picture: tuple[str, ...]
    labels: dict[str, str]
    generic: str = ""
    museum: Museum | None = None
    other: Mapping[str, str] = field(default_factory=dict)
    rows: Condition | None = None
    separator: str = ""
    partial: bool = False

    def cell(self, row: Mapping[str, str], name: str, *columns: str) -> str:
        """The cell of title, year or work_id, or else the first of some columns that is not empty."""
        columns = (self.other[name],) if name in self.other else columns
        return next((cell for column in columns if (cell := row.get(column, ""))), "")


class NoPictureListError(DataError):
    """A table that lists something else, or pictures without labels; the message says why."""


def meaning_of(table: Table, asked: Asked) -> Meaning:
    """What the columns of a table say: by the user's word, a museum's header, or their names."""
    header = table.header
    museum = museum_of(header)
    picture = museum.picture if museum else PICTURE_COLUMNS
    picture = (column_name(asked.picture),) if asked.picture else picture
    known = {
        name: next((column for column in aliases if column in header), "")
        for name, aliases in LABEL_COLUMNS.items()
    }
    if not known["genre"] and {"type", "school"} <= set(header):
        known["genre"] = "type"  # as in SemArt; elsewhere a type is anything
    labels = {name: column for name, column in known.items() if column}
    generic = next((column for column in GENERIC_COLUMNS if column in header), "")
    if museum:
        # Free texts such as the medium are labels only where they are asked for.
        labels = {
            name: column
            for name, column in museum.labels.items()
            if name in LABELS or name == asked.label or name in asked.wanted
        }
        generic = ""
    labels = asked.labels or labels
    labels |= {name: name for name in asked.wanted if name in header and name not in labels}
    if generic and asked.label:
        labels.setdefault(asked.label, generic)
    if not asked.needs_label:
        labels, generic = {}, ""
    condition_text = asked.rows or (museum.rows if museum else "")
    return Meaning(
        tuple(column for column in picture if column in header),
        labels,
        generic,
        museum,
        {name: column_name(asked.columns[name]) for name in FIELDS if name in asked.columns},
        condition(condition_text),
        asked.separator or (museum.separator if museum else ""),
        partial=bool(museum or asked.catalogue or asked.picture),
    )


def check_columns(table: Table, meaning: Meaning, asked: Asked) -> None:
    """Raises `NoPictureListError` if no column names the pictures, or the label that is wanted."""
    wanted = [*asked.labels.values(), *meaning.other.values()]
    wanted += [meaning.rows.column] if meaning.rows else []
    for column in [column_name(asked.picture)] * bool(asked.picture) + wanted:
        if column not in table.header:
            near = nearest(column, table.header)
            raise NoPictureListError(f"{table.file} has no column '{column}' {table.found}{near}")
    if not meaning.picture:
        raise NoPictureListError(
            f"{table.file} has no column that names the pictures {table.found}; call it file_name, or "
            'say which it is: "picture": "COLUMN"'
        )
    usable = not asked.needs_label or (
        asked.label in meaning.labels
        if asked.label and not asked.wanted
        else bool(meaning.labels or meaning.generic)
    )
    if not usable:
        label = asked.label or f"label, such as {LABELS[0]} or {LABELS[1]}"
        raise NoPictureListError(f"{table.file} has no column for the {label} {table.found}")


def has_label(table: Table, label: str) -> bool:
    """Whether a table has a column for a label; no table has one for an empty one."""
    museum = museum_of(table.header)
    columns = {label, *LABEL_COLUMNS.get(label, ()), museum.labels.get(label) if museum else ""}
    return not (columns - {""}).isdisjoint(table.header)
