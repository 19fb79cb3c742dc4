"""What the pages that people read have in common: a style sheet, a template, parts, a folder."""

from artjax.pages.folders import replaced_folder
from artjax.pages.templates import render

__all__ = ["render", "replaced_folder"]
