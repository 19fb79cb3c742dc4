"""What a network looks at: heat maps, laid over pictures; and pictures of its classes."""

from artjax.explain.class_pictures import class_pictures
from artjax.explain.heat import HeatMaps, attributions, heat_maps, methods_of
from artjax.explain.overlay import overlay, seen_box

__all__ = [
    "HeatMaps",
    "attributions",
    "class_pictures",
    "heat_maps",
    "methods_of",
    "overlay",
    "seen_box",
]
