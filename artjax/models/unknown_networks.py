"""Names the networks in files that fit none of the networks here, by the names of their arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_SHOWN = 3

# A pattern that some array's name has, and whose it is. The first one counts.
_WHOSE: tuple[tuple[str, str], ...] = (
    (r"\blora_|\.lora\b", "adapters (LoRA), which only change another network"),
    (r"roi_heads|^rpn\b|bbox_head|\bdetect|anchor", "an object detector"),
    (r"^model\.\d+\.(conv|cv1|m\.0)\b", "an object detector (YOLO)"),
    (r"diffusion_model|down_blocks|time_embed", "a diffusion model, which draws pictures"),
    (r"relative_position_bias_table", "a Swin transformer"),
    (r"denseblock\d", "a DenseNet"),
    (r"Mixed_\db|^Conv2d_1a|inception\d", "an Inception network"),
    (r"^features\.\d+\.conv\.\d", "a MobileNet"),
    (r"(^|\.)blocks\.\d+\.\d+\.(conv_dw|conv_pw)", "an EfficientNet or MobileNet of timm"),
    (r"word_embeddings|\bwte\b|lm_head|embed_tokens", "a language model"),
    (r"text_model|token_embedding", "a model of texts and images"),
    (r"dist_token|distillation_token", "a DeiT with a distillation token"),
    (r"mask_token|decoder_blocks", "a masked autoencoder"),
    (r"layer[1-4]\.\d+\.conv\d", "a ResNet of another size or variant"),
    (r"stages\.\d+\.blocks\.\d+", "a ConvNeXt or alike of another size or variant"),
    (
        r"(^|\.)blocks\.\d+\.attn|encoder\.layer\.\d+",
        "a vision transformer of another size or variant",
    ),
    (r"(^|\.)conv\d+_block\d+_|_bn/0$", "a network of Keras that is not read here"),
)


def in_words(arrays: Mapping[str, np.ndarray]) -> str:
    """What the arrays are: whose names they have, how many, and the first of them with their shapes."""
    whose = next(
        (words for pattern, words in _WHOSE if any(re.search(pattern, name) for name in arrays)), ""
    )
    shown = [f"{name} {list(array.shape)}" for name, array in list(arrays.items())[:_SHOWN]]
    more = f" and {len(arrays) - _SHOWN:,} more" if len(arrays) > _SHOWN else ""
    parameters = sum(array.size for array in arrays.values())
    return (
        f"{f'the names are those of {whose}: ' if whose else ''}{', '.join(shown)}{more}; "
        f"{parameters:,} numbers in all"
    )
