"""Baumer & Chen, Understanding Visual Art with CNNs (2016): VGG-16 from ImageNet, stages 1 to 4 frozen.

    python launch.py --config configs/baumer_chen.py:wga --config.model.weights=WEIGHTS

The head has layers of 4,096, 4,096 and 1,000 with BatchNorm and dropout; Adam with an L2 penalty. They
drew the learning rate from 10^U(-6, -3), as --mode search does here. Another task: --config.task=genre.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'artist'."""
    config = common.get_pretrained_config(collection)
    config.optim.groups = (("(conv|bn|act)[1-4]_.*", 0.0),)
    config.model.head_layers = (4096, 4096, 1000)
    config.model.head_norm = True
    config.model.dropout = 0.5
    config.epochs = 30.0
    config.optim.name = "adam"
    config.optim.peak_lr = 0.0001
    config.search.peak_lr = (1e-6, 1e-3)
    config.optim.weight_decay = 0.0005
    return config
