"""Fine-tuning: a linear probe first, then the whole network, the early stages slowest.

    python launch.py --config configs/finetune.py:collection --config.model.weights=WEIGHTS

Without WEIGHTS it starts from the SqueezeNet of the extra `weights`, where that is installed.

LP-FT: Kumar et al., Fine-Tuning can Distort Pretrained Features (2022), section 3. Layer decay: Clark et
al., ELECTRA (2020), appendix A. Another task: --config.task=style. The last stage alone, many times
faster: docs/transfer.md.
"""

from ml_collections import ConfigDict

from artjax.models import named_weights
from configs import common


def get_config(collection: str) -> ConfigDict:
    """The recipe for the collection, with the task 'artist'."""
    config = common.get_pretrained_config(collection)
    config.model.weights = named_weights.default()
    config.optim.head_solved = True
    config.optim.layer_decay = 0.75
    config.model.fix_norms = True  # small batches have poor statistics
    config.model.dropout = 0.0  # the head is a linear one, and starts at its optimum
    config.epochs = 10.0  # more only take time: docs/performance.md
    config.optim.name = "adamw"
    config.optim.peak_lr = 0.0001
    config.optim.weight_decay = 0.01
    config.optim.warmup_epochs = 1.0
    return config
