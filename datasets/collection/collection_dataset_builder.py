"""Anybody's own collection: a works.csv, a published list of pictures, or a folder for each class."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.config import LABELS
from artjax.errors import ConfigError
from artjax.prepare.builder import WorksBuilder, WorksConfig, require_whole_number
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.labels import MISSING, TAKEN, LabelSettings, settled
from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.bad_rows import MAX_SHARE
from artjax.prepare.readers.folder_layouts import read_folder
from artjax.prepare.same_names import read_same


@dataclasses.dataclass(eq=False)
class CollectionConfig(WorksConfig):
    """How a collection is read; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      label: what the sub-folders are, if there is no works.csv.
      labels: columns of the list that are labels, beside artist, genre, location, style and period.
      missing: words that mean that a label is not known.
      qualifiers: whether names like "workshop of Rubens" are classes of their own ("keep"), joined with
        the painter ("join"), or no label ("drop").
      several: whether cells with several names are classes of their own ("keep"), the "first" of them
        counts, or they are no label ("drop").
      period_years: if above 0, the label period is made from the dates, in steps of so many years.
      same: a table with the columns name and use (and label): which class names are the same. A path,
        or the name of a file in the folder of the pictures.
      catalogue: the list to read, as a path below the folder; empty for the one that is found.
      picture: its column that names the pictures, by path, URL or id.
      columns: by label, or title, year, work_id or split, its column.
      rows: which of its rows count, such as `role == artist`, or `all`.
      separator: what separates several values in a cell.
      classes: "folders" insists that the sub-folders are the classes.
      max_bad_rows: the share of the rows of a list that may be left out as unusable, in [0, 1].
    """

    label: str = ""
    min_works: int = 3
    labels: Sequence[str] = ()
    missing: Sequence[str] = MISSING
    qualifiers: str = "keep"
    several: str = "keep"
    period_years: int = 0
    same: str = ""
    catalogue: str = ""
    picture: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rows: str = ""
    separator: str = ""
    classes: str = ""
    max_bad_rows: float = MAX_SHARE

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        super().check()
        for field in ("labels", "missing"):
            value = getattr(self, field)
            if isinstance(value, str) or not all(isinstance(word, str) for word in value):
                raise ConfigError(
                    f'--config: {field} must be a list, as in ["medium", "school"], not {value!r}'
                )
        if not isinstance(self.label, str) or not isinstance(self.same, str):
            raise ConfigError("--config: label and same must be text")
        self.label = _as_column(self.label)
        self.labels = tuple(map(_as_column, self.labels))
        for name in (self.label, *self.labels):
            if name in TAKEN or not re.fullmatch(r"\w*", name):
                raise ConfigError(
                    f"--config: '{name}' cannot be a label: "
                    + (
                        "a set has other data of that name"
                        if name in TAKEN
                        else "letters, digits and _"
                    )
                )
        self.require_one_of("qualifiers", ("keep", "join", "drop"))
        self.require_one_of("several", ("keep", "first", "drop"))
        if self.period_years:
            require_whole_number("period_years", self.period_years)
        self.asked.check()

    @property
    def asked(self) -> Asked:
        """How the folder is to be read."""
        return Asked(
            *(self.label, self.catalogue, self.picture, self.columns, self.rows),
            *(self.separator, self.classes, self.max_bad_rows, tuple(self.labels)),
        )

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels that a set can have."""
        named = filter(None, (self.label, *self.labels, *self.asked.labels))
        return tuple(dict.fromkeys((*LABELS, *named)))

    def label_settings(self, folder: Path) -> LabelSettings:
        """What becomes a class; `folder` has the pictures.

        Raises:
          DataError: if the file `same` is missing or invalid.
        """
        file = folder / self.same if (folder / self.same).is_file() else Path(self.same)
        return LabelSettings(
            tuple(self.labels),
            tuple(self.missing),
            self.qualifiers,
            self.several,
            self.period_years,
            read_same(file.expanduser()) if self.same else {},
            self.min_works,
        )


def _as_column(name: str) -> str:
    """As the readers of lists spell the names of columns."""
    return "_".join(name.lower().split())


class Builder(WorksBuilder):
    """A museum's own pictures."""

    OTHER_CONFIGS = """; other labels as '{"name": "mine", "label": "technique"}'"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder with your pictures as --manual_dir: with a works.csv (columns path and any of "
        "artist, genre, location, style, period, title, year, work_id), as Hugging Face or Kaggle "
        "publish it, or with one sub-folder for each class and --config artist (or genre, location, "
        "style, period)."
    )
    # TFDS builds all of BUILDER_CONFIGS where none is named: so only what needs no label is among them.
    BUILDER_CONFIGS = [CollectionConfig(name="works", description="What a list of works says.")]
    builder_configs = {
        "works": BUILDER_CONFIGS[0],
        **{label: CollectionConfig(name=label, label=label) for label in LABELS},
    }

    @property
    def LABELS(self) -> tuple[str, ...]:  # noqa: N802 (a constant in the other builders)
        """The labels that are known by name, and those that the settings name."""
        return self.builder_config.label_names

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info()

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads works.csv, or else a published list, or else the folders."""
        config = self.builder_config
        catalogue = read_folder(manual_dir, config.asked)
        return settled(catalogue, config.label_settings(manual_dir))
