"""Style: which movement does it belong to?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'style'."""
    config = common.get_config(collection)
    config.task = ("style",)
    return config
