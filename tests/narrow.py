"""Networks that are quick to trace and to compile."""

from collections.abc import Callable, Mapping
from typing import Any


def narrow_vgg(batch_norm: bool) -> Callable[..., Any]:
    """What stands for `create_model`: makes every model a VGG of four convolutions."""

    def create(
        name: str, classes: Mapping[str, int], *, dropout: float, platform: str, **rest: Any
    ) -> Any:
        from artjax.models.vgg import VGG

        return VGG(
            ((8,), (16,), (16, 16)),
            hidden=(),
            classes=dict(classes),
            batch_norm=batch_norm,
            dropout=dropout if batch_norm else 0.0,
            **rest,
        )

    return create
