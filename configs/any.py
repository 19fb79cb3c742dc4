"""Any label: --config configs/any.py:collection --config.task=medium."""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, without a task: --config.task names one or more of its labels."""
    config = common.get_config(collection)
    config.task = ()
    return config
