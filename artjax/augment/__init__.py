"""Augmentation of batches on the device: pure functions of (key, batch), used in the compiled step.

Images are float32 or bfloat16 on the scale [0, 255] and keep their dtype. All arithmetic is float32.
Each image draws its own random numbers. `augmented` applies all transforms in order.
"""

from artjax.augment.chain import augmented, crop_boxes
from artjax.augment.color import adjust_color, random_color
from artjax.augment.damage import (
    gaussian_blur,
    random_blur,
    random_erase,
    random_noise,
    random_pixel_drop,
)
from artjax.augment.geometry import (
    box_mask,
    central_crop,
    placed_crop,
    random_boxes,
    random_flip,
    random_resized_crop,
    rotated_crop,
)
from artjax.augment.mixing import mix, partner
from artjax.augment.views import LARGEST_SHARE, View, fixed_views, view_of

__all__ = [
    "LARGEST_SHARE",
    "View",
    "adjust_color",
    "augmented",
    "box_mask",
    "central_crop",
    "crop_boxes",
    "fixed_views",
    "gaussian_blur",
    "mix",
    "partner",
    "placed_crop",
    "random_blur",
    "random_boxes",
    "random_color",
    "random_erase",
    "random_flip",
    "random_noise",
    "random_pixel_drop",
    "random_resized_crop",
    "rotated_crop",
    "view_of",
]
