"""Flax Linen models, by name. Each model family is one file, imported by one line below."""

from artjax.models import vgg  # its import registers the family
from artjax.models.preprocessing import Preprocessing
from artjax.models.registry import HEAD, Family, create_model, family_of, names, register

__all__ = [
    "HEAD",
    "Family",
    "Preprocessing",
    "create_model",
    "family_of",
    "names",
    "register",
    "vgg",
]
