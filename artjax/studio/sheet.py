"""A contact sheet: a row for each painter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from artjax.studio.paintings import Painting, paint

_GROUND = (246, 243, 236)
_INK = (60, 54, 48)
_GAP_PX = 10
_NAME_PX = 150


def contact_sheet(paintings: Sequence[Painting], columns: int, cell_px: int = 116) -> np.ndarray:
    """Paints a sheet with a row of pictures for each painter, uint8 RGB [H, W, 3].

    Args:
      paintings: of which each painter's first ones are shown.
      columns: pictures of each painter.
      cell_px: side of the square that a picture fits in.
    """
    painters = list(dict.fromkeys(painting.artist for painting in paintings))
    step = cell_px + _GAP_PX
    sheet = Image.new(
        "RGB", (_NAME_PX + columns * step + _GAP_PX, len(painters) * step + _GAP_PX), _GROUND
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for row, painter in enumerate(painters):
        top = _GAP_PX + row * step
        draw.text((_GAP_PX, top + cell_px / 2), painter, _INK, font, anchor="lm")
        own = [painting for painting in paintings if painting.artist == painter][:columns]
        for column, painting in enumerate(own):
            picture = Image.fromarray(paint(painting))
            picture.thumbnail((cell_px, cell_px), Image.Resampling.LANCZOS)
            left = _NAME_PX + column * step
            sheet.paste(
                picture,
                (left + (cell_px - picture.width) // 2, top + (cell_px - picture.height) // 2),
            )
    return np.asarray(sheet)
