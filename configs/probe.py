"""Linear probe: a pretrained trunk, frozen, and a linear head. Minutes on a CPU.

    python launch.py --config configs/probe.py:collection --config.model.weights=WEIGHTS

Without WEIGHTS it starts from the SqueezeNet of the extra `weights`, where that is installed.

As in Kornblith et al., Do Better ImageNet Models Transfer Better? (2019), section 3. Another task:
--config.task=style.
"""

from ml_collections import ConfigDict

from artjax.models import named_weights
from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'artist'."""
    config = common.get_pretrained_config(collection)
    config.model.weights = named_weights.default()
    config.optim.groups = (("(?!head_).*", 0.0),)  # everything but the head is frozen
    config.features.views = 1  # the work as evaluation sees it: crops and flips harm a linear head
    config.model.dropout = 0.0
    config.optim.name = "lbfgs"  # solved, with a penalty from a cross-validation of train
    # For --config.optim.name=adamw --config.features.views=4.
    config.epochs = 100.0
    config.optim.weight_decay = 0.01
    return config
