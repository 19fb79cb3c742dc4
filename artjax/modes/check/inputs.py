"""Whether the input of the network is the one that its weights expect."""

from __future__ import annotations

from dataclasses import asdict

import jax.numpy as jnp
import numpy as np

from artjax.models import Preprocessing
from artjax.models.presets import PRESETS
from artjax.modes.check.verdicts import CANNOT_TELL, OK, WARNING, Verdict

_NAME = "input"
# Of the deviation that is expected. Presets that are mixed up are further apart; the pictures of a
# collection are nearer to those of ImageNet.
_FAR_MEAN = 1.0
_FAR_RATIO = 2.0
# For a network from scratch, whose first weights are made for an input of mean 0 and deviation 1.
_MOST_MEAN, _LEAST_DEVIATION, _MOST_DEVIATION = 3.0, 0.1, 10.0


def network_input(
    images: np.ndarray, given: Preprocessing, expected: Preprocessing | None, known: bool
) -> Verdict:
    """Compares the numbers that reach the network with those that its weights expect.

    Args:
      images: of the first batch as evaluation sees them, uint8 [B, H, W, 3].
      given: what the configuration makes of them.
      expected: what the weights expect; None for a network from scratch.
      known: whether the weights say so, and it is not only usual for such names of arrays.

    Returns:
      `WARNING` if the input is another one. `CANNOT_TELL` if it is only unusual.
    """
    mean, std = _moments(images, given)
    text = f"on the first batch {_in_words(mean, std, given)}"
    numbers = {"mean": mean.tolist(), "std": std.tolist(), "given": asdict(given)}
    if expected is None:
        low, high = float(std.min()), float(std.max())
        if low < _LEAST_DEVIATION or high > _MOST_DEVIATION or np.abs(mean).max() > _MOST_MEAN:
            return Verdict(
                _NAME,
                WARNING,
                f"{text}; a network from scratch learns best from a mean near 0 and a deviation near 1: "
                "leave --config.preprocessing out",
                numbers,
            )
        return Verdict(_NAME, OK, text, numbers)
    numbers["expected"] = asdict(expected)
    their_mean, their_std = _moments(images, expected)
    ratio = np.maximum(std / their_std, their_std / std).max()
    far = np.abs(mean - their_mean).max() > _FAR_MEAN * their_std.min() or ratio > _FAR_RATIO
    if not far and given.channel_order == expected.channel_order:
        return Verdict(_NAME, OK, f"{text}, as the weights expect", numbers)
    theirs = _in_words(their_mean, their_std, expected)
    if not known:
        return Verdict(
            _NAME,
            CANNOT_TELL,
            f"{text}; the file does not say what it expects: with such names often {theirs}",
            numbers,
        )
    return Verdict(
        _NAME,
        WARNING,
        f"{text}, but the weights expect {theirs}: leave --config.preprocessing out, or set it to "
        f"{_preset_of(expected)}",
        numbers,
    )


def _moments(images: np.ndarray, preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of the input, in its order there, float64 [3]."""
    values = np.asarray(preprocessing.normalise(jnp.asarray(images)), np.float64)
    return values.mean((0, 1, 2)), values.std((0, 1, 2))


def _in_words(mean: np.ndarray, std: np.ndarray, of: Preprocessing) -> str:
    return f"{of.channel_order}, mean {mean.mean():.3g} and deviation {std.mean():.3g}"


def _preset_of(expected: Preprocessing) -> str:
    """`preset=NAME` if there is one, else mean, std and order of the channels."""
    own = asdict(expected)
    for name, fields in PRESETS.items():
        if all(own[field] == value for field, value in fields.items()):
            return f"preset={name}"
    return f"mean={expected.mean}, std={expected.std}, channel_order={expected.channel_order}"
