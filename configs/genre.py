"""What kind of picture is it?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe that fits the collection, for the task 'genre'."""
    config = common.get_config(collection)
    config.task = ("genre",)
    return config
