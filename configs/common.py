"""The recipe for each collection, shared by all tasks."""

from ml_collections import ConfigDict

from artjax.config import default_config
from artjax.data import collections


def get_config(collection: str) -> ConfigDict:
    """The defaults (VGG-16 with BatchNorm at 224 px), or smaller settings for small collections."""
    config = default_config()
    known = collections.find(collection)
    if known and known.recipe == "small":
        small(config)
        if not known.synthetic:
            # For a few hundred works: more epochs, and a lower learning rate.
            config.epochs = 100.0
            config.optim.peak_lr = 0.05
            config.optim.warmup_epochs = 5.0
    return config


def get_pretrained_config(collection: str) -> ConfigDict:
    """What recipes with pretrained weights share: network and image size are those of the weights."""
    config = default_config()
    known = collections.find(collection)
    config.task = ("artist",)
    config.model.name = "auto"
    config.image_size = 0
    config.batch_size = 32 if known and known.recipe == "small" else 256
    return config


def small(config: ConfigDict) -> None:
    """Sets fields for a small collection: about four minutes for 1,000 works on two CPU cores."""
    config.image_size = 64
    config.batch_size = 32
    config.epochs = 40.0
    config.model.name = "vgg_small"
    config.model.dropout = 0.1  # there are no hidden layers of 4,096 units to regularise
    config.augment.min_area = 0.7  # at 64 px smaller crops show no more brushwork
    config.optim.nesterov = True
    config.optim.label_smoothing = 0.1  # a network soon memorises a thousand works
    config.ema_decay = 0.99  # less noise from small batches: validation 95 % instead of 87 %
