"""A map of works: those lie near each other that the network takes for alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from threadpoolctl import threadpool_limits

SIDE_PX = 2000
_PERPLEXITY = 30.0  # van der Maaten & Hinton (2008), section 2, name 5 to 50
_COVERED = 0.2  # share of the map that thumbnails would cover if none lay on another
_FRAME_PX = 3


def places(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places on a map, float32 [N, 2] in [0, 1], by t-SNE of cosine distances.

    Van der Maaten & Hinton, Visualizing Data using t-SNE (2008), as in scikit-learn, from a start by
    principal components. Near neighbours are kept; distances between far groups mean nothing.

    Args:
      embeddings: float32 [N, C], each of length 1; N is 5 or more.
      seed: of the optimisation.
    """
    from sklearn.manifold import TSNE  # takes a second

    perplexity = min(_PERPLEXITY, (len(embeddings) - 1) / 3)
    # At length 1 the square of the Euclidean distance is twice the cosine's.
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed)
    with threadpool_limits(1):  # several threads round differently each time
        found = tsne.fit_transform(embeddings)
    low, high = found.min(axis=0), found.max(axis=0)
    placed: np.ndarray = (found - low) / np.maximum(high - low, 1e-12)
    return placed.astype(np.float32)


def works_map(
    pictures: Sequence[Image.Image], places: np.ndarray, colours: Sequence[tuple[int, int, int]]
) -> Image.Image:
    """Draws small pictures at their places on white paper, each in a frame of its colour.

    Args:
      pictures: in true proportions.
      places: as from `places`.
      colours: of the frames, RGB.

    Returns:
      A picture of 2000 x 2000 px, mode RGB.
    """
    side = int(np.clip(SIDE_PX * np.sqrt(_COVERED / len(pictures)), 24, SIDE_PX // 5))
    sheet = Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    for picture, (across, down), colour in zip(pictures, places, colours, strict=True):
        small = ImageOps.contain(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
        framed = ImageOps.expand(small, _FRAME_PX, colour)
        room = SIDE_PX - framed.width, SIDE_PX - framed.height
        sheet.paste(framed, (round(across * room[0]), round(down * room[1])))
    return sheet
