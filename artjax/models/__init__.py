"""Flax Linen models, by name. Each model family is one file, imported by one line below."""

from artjax.models import (  # each import registers a family
    convnext,
    efficientnet,
    resnet,
    squeezenet,
    vgg,
    vit,
)
from artjax.models.preprocessing import Preprocessing
from artjax.models.registry import (
    AUTO,
    HEAD,
    Family,
    Translated,
    create_model,
    family_of,
    names,
    register,
)
from artjax.models.staged import STAGES, StagedNetwork

__all__ = [
    "AUTO",
    "HEAD",
    "STAGES",
    "Family",
    "Preprocessing",
    "StagedNetwork",
    "Translated",
    "convnext",
    "create_model",
    "efficientnet",
    "family_of",
    "names",
    "register",
    "resnet",
    "squeezenet",
    "vgg",
    "vit",
]
