"""Genre: what kind of picture is it?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'genre'."""
    config = common.get_config(collection)
    config.task = ("genre",)
    return config
