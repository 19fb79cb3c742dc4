"""WikiArt (refined), with the official lists of its three tasks."""

from pathlib import Path

import tensorflow_datasets as tfds

from artjax.data import wikiart_lists
from artjax.data.builder import WorksBuilder
from artjax.data.collections import Catalogue


class Builder(WorksBuilder):
    """81,446 paintings; 23 artists, 10 genres, 27 styles, each with its own official lists."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="artist", description="Who painted it: 23 artists."),
        tfds.core.BuilderConfig(name="genre", description="What kind of picture: 10 genres."),
        tfds.core.BuilderConfig(name="style", description="Which movement: 27 styles."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Get wikiart.zip (25 GB) and the lists (folder 'WikiArt Dataset') from "
        "https://github.com/cs-chan/ArtGAN, unpack both, and give the folder that then holds "
        "wikiart/<Style>/<picture>.jpg and wikiart_csv/artist_train.csv … as --manual_dir."
    )

    @property
    def LABELS(self) -> tuple[str, ...]:  # noqa: N802 (a constant in the other builders)
        """The label of the config."""
        return (self.builder_config.name,)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.works_info(homepage="https://github.com/cs-chan/ArtGAN")

    def read_catalogue(self, manual_dir: Path) -> Catalogue:
        """Reads the official lists of the config's task."""
        return wikiart_lists.read(manual_dir, self.builder_config.name)
