"""Location: where does it come from?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'location'."""
    config = common.get_config(collection)
    config.task = ("location",)
    return config
