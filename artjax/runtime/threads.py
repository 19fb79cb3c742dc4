"""One thread for numpy and scikit-learn: on a busy machine several wait for each other."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@contextmanager
def one_thread(*libraries: str) -> Iterator[None]:
    """In the block, numpy and scikit-learn compute with one thread.

    Their libraries start a thread for each core, and each product ends with the last of them. Where
    other programs use the cores, a fit of a second then takes a minute. The threads of OpenCV, JAX and
    Python are not limited.

    Args:
      libraries: modules that the block imports, such as `sklearn.ensemble`. They are imported before:
        what is loaded in the block has its own number of threads.

    Raises:
      ModuleNotFoundError: where only training is installed, without threadpoolctl or these.
    """
    from threadpoolctl import threadpool_limits

    for library in libraries:
        importlib.import_module(library)
    with threadpool_limits(limits=1):
        yield


def on_one_thread(
    *libraries: str,
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Decorates a function that computes as in `one_thread`, whose arguments are the same."""

    def decorated(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        @wraps(function)
        def limited(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            with one_thread(*libraries):
                return function(*args, **kwargs)

        return limited

    return decorated
