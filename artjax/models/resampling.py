"""Resizes grids of features, such as position embeddings, as PyTorch does."""

from __future__ import annotations

import numpy as np

# Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), section IV: with a = -1/2
# the result is exact for parabolas. PIL, and PyTorch with antialias=True, use it; PyTorch without, -3/4.
_A = -0.5


def resize_grid(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a grid with the cubic kernel, which is widened when the grid shrinks.

    The result is that of `torch.nn.functional.interpolate(mode="bicubic", antialias=True,
    align_corners=False)`.

    Args:
      grid: float [H, W, C].
      height: rows of the result.
      width: columns of the result.

    Returns:
      float32 [height, width, C]; the same values if the size is the same.
    """
    rows, columns = _weights(grid.shape[0], height), _weights(grid.shape[1], width)
    if grid.shape[:2] == (height, width):
        return grid.astype(np.float32)
    return np.einsum("hH,wW,HWc->hwc", rows, columns, grid, optimize=True).astype(np.float32)


def _weights(source: int, target: int) -> np.ndarray:
    """The share of each of `source` points in each of `target` points, float64 [target, source]."""
    scale = source / target
    stretch = max(scale, 1.0)
    centres = scale * (np.arange(target) + 0.5)
    distance = np.abs(np.arange(source)[None] + 0.5 - centres[:, None]) / stretch
    near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
    far = _A * (((distance - 5) * distance + 8) * distance - 4)
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)  # those beyond the border are left out
