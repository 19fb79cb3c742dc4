"""artjax: trains neural networks on collections of digitised art.

    import artjax

    prepared = artjax.prepare("pictures")
    config = artjax.default_config(prepared.collection)
    artjax.train(config, "runs/mine")
    artjax.load("runs/mine").predict("picture.jpg")

Importing this package imports neither JAX nor TensorFlow nor TFDS. Each function imports what it
needs when it is first used. Errors that you can fix are `artjax.errors.ArtjaxError`.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from artjax import errors

if TYPE_CHECKING:
    from artjax.api.loaded import Loaded, load
    from artjax.api.pictures import Prediction, Ranked
    from artjax.api.preparing import PreparedCollection, prepare
    from artjax.api.training import default_config, train

__version__ = "0.1.0"

__all__ = [
    "Loaded",
    "Prediction",
    "PreparedCollection",
    "Ranked",
    "default_config",
    "errors",
    "load",
    "prepare",
    "train",
]

_HOMES = {
    "Loaded": "loaded",
    "Prediction": "pictures",
    "PreparedCollection": "preparing",
    "Ranked": "pictures",
    "default_config": "training",
    "load": "loaded",
    "prepare": "preparing",
    "train": "training",
}


class _Package(types.ModuleType):
    """Keeps the name of a function where a module has it as well, such as `artjax.train`.

    Python makes each module that is imported an attribute of its package. `from artjax.train import …`
    does not need that.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'artjax' has no attribute '{name}'")
    return getattr(importlib.import_module(f"artjax.api.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
