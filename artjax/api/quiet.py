"""Keeps what the libraries log to themselves out of notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """In the block, Orbax and TFDS log errors only, as on the command line.

    A level that somebody has set stays.
    """
    before = logging.get_verbosity()
    if before == logging.WARNING:  # absl's own
        logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
