"""The Web Gallery of Art: its catalogue, and the pictures as the site lays them out."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.errors import ConfigError, DataError
from artjax.prepare.builder import WorksBuilder, WorksConfig, require_whole_number
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.missing_urls import command, write_missing_urls
from artjax.prepare.readers import wga_catalogue

# The kinds of painting that the paper tells apart, as the catalogue's TYPE has them. By number alone, a
# part of the catalogue could have "other" among its six.
_PAPERS_GENRES = ("genre", "landscape", "mythological", "portrait", "religious", "still-life")
_LABELS = ("artist", "genre", "location", "period")


@dataclasses.dataclass(eq=False)
class WgaConfig(WorksConfig):
    """What is taken of the gallery; as JSON: `--config '{"name": "prints", "forms": ["graphics"]}'`.

    Attributes:
      forms: the values of the catalogue's FORM to take.
      most_frequent: by label, the number of classes to keep; other labels keep all.
      classes: by label, the classes to keep by name, as in `{"location": ["Dutch", "Flemish"]}`.
    """

    forms: tuple[str, ...] = ("painting",)
    most_frequent: dict[str, int] = dataclasses.field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    min_works: int = 3

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        super().check()
        forms = self.forms
        if not isinstance(forms, list | tuple) or not all(isinstance(f, str) for f in forms):
            raise ConfigError(f'--config: forms must be a list like ["painting"], not {forms!r}')
        if not isinstance(self.most_frequent, dict) or set(self.most_frequent) - set(_LABELS):
            raise ConfigError(
                f"--config: most_frequent must give numbers for {', '.join(_LABELS)}, as in "
                f'{{"artist": 20}}, not {self.most_frequent!r}'
            )
        for label, number in self.most_frequent.items():
            require_whole_number(f"most_frequent {label}", number)
        if not isinstance(self.classes, dict) or not all(
            label in _LABELS
            and isinstance(names, list | tuple)
            and len(set(names)) > 1
            and all(isinstance(name, str) for name in names)
            for label, names in self.classes.items()
        ):
            raise ConfigError(
                f"--config: classes must give two or more names for {', '.join(_LABELS)}, as in "
                f'{{"location": ["Dutch", "Flemish"]}}, not {self.classes!r}'
            )
        if both := sorted(self.classes.keys() & self.most_frequent.keys()):
            raise ConfigError(f"--config: {both[0]} is in most_frequent and in classes: remove one")


class Builder(WorksBuilder):
    """Some 40,000 works of European art, with artist, genre, location and period."""

    LABELS = _LABELS
    BUILDER_CONFIGS = [
        WgaConfig(
            name="baumer_chen",
            description="The 20 most frequent artists, 6 genres and 13 locations of paintings.",
            most_frequent={"artist": 20, "location": 13},
            classes={"genre": _PAPERS_GENRES},
        ),
        # On average one of ten works is in test; a smaller class would seldom be measured.
        WgaConfig(name="full", description="Every class with ten paintings.", min_works=10),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Unpack https://www.wga.hu/database/download/data_txt.zip, and give the folder that then holds "
        "catalog.csv as --manual_dir; the build says how to download the pictures."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info(homepage=wga_catalogue.SITE)

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads catalog.csv; if there is no picture yet, the error says how to download them."""
        config = self.builder_config
        try:
            return wga_catalogue.read(
                manual_dir, config.forms, config.most_frequent, config.classes
            )
        except wga_catalogue.NoPicturesError as error:
            urls_file = write_missing_urls(error.urls, [manual_dir, Path(self.data_dir).parent])
            raise DataError(f"{error}\ndownload them: {command(urls_file, manual_dir)}") from None
