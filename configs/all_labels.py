"""Artist, genre and location at once: one trunk, and a head for each label."""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the tasks 'artist', 'genre' and 'location'."""
    config = common.get_config(collection)
    # Unknown labels are masked: in wga, works of other artists than the 20 still train the other heads.
    config.task = ("artist", "genre", "location")
    return config
