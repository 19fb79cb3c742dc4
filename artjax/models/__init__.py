"""Flax Linen models, by name. Each model family is one file, imported by one line below."""

from artjax.models import vgg  # its import registers the family
from artjax.models.preprocessing import Preprocessing
from artjax.models.registry import (
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
    "HEAD",
    "STAGES",
    "Family",
    "Preprocessing",
    "StagedNetwork",
    "Translated",
    "create_model",
    "family_of",
    "names",
    "register",
    "vgg",
]
