"""A network within the names of a larger one: `module.`, `model.backbone.`, `teacher.encoder.`"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from artjax.models.checkpoints import AVERAGED

# A part with fewer of the names than this is no network but one of its stages, or a head.
_LEAST_SHARE = 0.3
_LEAST_NAMES = 4


def prefixes(names: Iterable[str]) -> list[str]:
    """What may precede the names of a network: parts of the file's names, such as `model.encoder.`.

    The empty one, which is most often right, comes first, but for those of an averaged network
    (`teacher.`): the student has the same names, and would be taken before it.
    """
    found = list(_within(list(names), ""))
    return sorted(found, key=lambda prefix: not AVERAGED.search(prefix))


def _within(names: list[str], prefix: str) -> Iterator[str]:
    yield prefix
    parts = Counter(name[len(prefix) :].partition(".")[0] for name in names)
    for part, count in parts.items():
        inner = f"{prefix}{part}."
        among = [name for name in names if name.startswith(inner)]
        if len(among) == count >= max(_LEAST_NAMES, _LEAST_SHARE * len(names)):
            yield from _within(among, inner)


def without(prefix: str, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The arrays whose names begin with a prefix, without it."""
    if not prefix:
        return arrays
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
