"""Artist: who painted it?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'artist'."""
    config = common.get_config(collection)
    config.task = ("artist",)
    return config
