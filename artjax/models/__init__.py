"""Flax Linen models, by name. Each family is one file, and one line here that imports it."""

from artjax.models import vgg  # registers itself
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
