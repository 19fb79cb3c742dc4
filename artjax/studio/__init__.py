"""The embedded collection: invented painters who share subjects and palettes and differ in hand.

Drawn with numpy and Pillow, deterministic to the byte for a seed (with the same versions of both).
"""

from artjax.studio.paintings import PAINTERS, Painting, catalogue, paint
from artjax.studio.scenes import GENRES
from artjax.studio.sheet import contact_sheet

__all__ = ["GENRES", "PAINTERS", "Painting", "catalogue", "contact_sheet", "paint"]
