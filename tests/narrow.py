"""A family of networks that are quick to trace and to compile: VGGs of four convolutions.

Importing this module registers it. `conftest` does so for all tests; a process that a test starts must
do so itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from artjax.models import family_of, register
from artjax.models.vgg import VGG

STAGES = ((8,), (16,), (16, 16))


def _create(
    name: str, classes: Mapping[str, int], *, platform: str, dropout: float, **options: Any
) -> VGG:
    batch_norm = name == "narrow_bn"
    return VGG(
        STAGES,
        hidden=(),
        classes=classes,
        batch_norm=batch_norm,
        # Without dropout, a division into micro-batches changes nothing.
        dropout=dropout if batch_norm else 0.0,
        **options,
    )


FAMILY = register(
    replace(
        family_of("vgg_small"),
        names=("narrow", "narrow_bn"),
        create=_create,
        size_multiple=lambda name: 2 ** len(STAGES),
        translate=None,
    )
)
