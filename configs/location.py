"""Where does it come from?"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe that fits the collection, for the task 'location'."""
    config = common.get_config(collection)
    config.task = ("location",)
    return config
