"""WikiArt (refined), with the official lists of its three tasks."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from artjax.prepare.builder import WorksBuilder, WorksConfig
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.readers import wikiart_lists

TASKS = ("artist", "genre", "style")


@dataclasses.dataclass(eq=False)
class WikiartConfig(WorksConfig):
    """As JSON: `--config '{"name": "mine", "task": "artist", "conflicts": "drop"}'`.

    Attributes:
      task: the task whose official lists are used.
    """

    task: str = ""

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        super().check()
        self.require_one_of("task", TASKS)


class Builder(WorksBuilder):
    """81,446 paintings; 23 artists, 10 genres, 27 styles, each with its own official lists."""

    BUILDER_CONFIGS = [
        WikiartConfig(name="artist", task="artist", description="Who painted it: 23 artists."),
        WikiartConfig(name="genre", task="genre", description="What kind of picture: 10 genres."),
        WikiartConfig(name="style", task="style", description="Which movement: 27 styles."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Get wikiart.zip (25 GB) and the lists (folder 'WikiArt Dataset') from "
        "https://github.com/cs-chan/ArtGAN, unpack both, and give the folder that then holds "
        "wikiart/<Style>/<picture>.jpg and wikiart_csv/artist_train.csv … as --manual_dir."
    )

    @property
    def LABELS(self) -> tuple[str, ...]:  # noqa: N802 (a constant in the other builders)
        """The label of the config."""
        return (self.builder_config.task,)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info(homepage="https://github.com/cs-chan/ArtGAN")

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads the official lists of the config's task."""
        return wikiart_lists.read(manual_dir, self.builder_config.task)
