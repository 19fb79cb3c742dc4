"""Who painted it, what kind of picture is it, and where does it come from? One trunk, a head each."""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe that fits the collection, for the tasks 'artist', 'genre' and 'location'."""
    config = common.get_config(collection)
    # Labels that a work lacks are masked: with wga, an artist outside the 20 still teaches the others.
    config.task = ("artist", "genre", "location")
    return config
