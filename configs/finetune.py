"""Fine-tuning: first the head, then the whole network, the early stages slowest.

    python launch.py --config configs/finetune.py:collection --config.model.weights=WEIGHTS

Without WEIGHTS it starts from the SqueezeNet of the extra `weights`, where that is installed.

LP-FT: Kumar et al., Fine-Tuning can Distort Pretrained Features (2022), section 3. Layer decay: Clark et
al., ELECTRA (2020), appendix A. Another task: --config.task=style.
"""

from ml_collections import ConfigDict

from artjax.models import named_weights
from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'artist'."""
    config = common.get_pretrained_config(collection)
    config.model.weights = named_weights.default()
    config.optim.head_first = 0.3
    config.optim.layer_decay = 0.75
    config.optim.groups = (("head_.*", 10.0),)
    config.model.fix_norms = True  # small batches have poor statistics
    config.model.dropout = 0.1
    config.epochs = 60.0
    config.optim.name = "adamw"
    config.optim.peak_lr = 0.0003
    config.optim.weight_decay = 0.01
    config.optim.warmup_epochs = 5.0
    return config
