"""Errors that the user can cause and fix, and how a command line reports them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class ArtjaxError(Exception):
    """An error that the user can fix. The message has one or two lines: what, where, what to do.

    `exit_status` is that of a command which it ends.
    """

    exit_status = 2


class ConfigError(ArtjaxError):
    """An invalid command line or configuration."""


class DataError(ArtjaxError):
    """A collection, catalogue or prepared set that is missing or unusable."""


class ChangedListError(DataError):
    """A set that is prepared already, while its folder lists other works now; the set stays as it is.

    It has a status of its own, so that a script (cron, say) can tell it from what went wrong.
    """

    exit_status = 3


class ImageError(DataError):
    """A file that is not a usable image. The message is the reason, without the file's name."""


class WorkdirError(ArtjaxError):
    """A workdir that belongs to another run, has no checkpoint, or cannot be written."""


class WeightsError(ArtjaxError):
    """Pretrained weights that are missing, cannot be read, or belong to another network."""


class ExportError(ArtjaxError):
    """A network that a format cannot hold, or an export that does not compute what its run does."""


class TrainingError(ArtjaxError):
    """A training run that cannot continue, for instance because its loss is not finite."""


def show_plainly() -> None:
    """Makes an uncaught `ArtjaxError` end the process with only its message and its exit status.

    Ctrl-C also ends it with one line (status 130). Replaces `sys.excepthook`, so only a main program, or
    `plain_if_uncaught`, calls it. Code that catches an error sees an ordinary exception.
    """
    if getattr(sys.excepthook, "shows_artjax_errors", False):
        return
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            print("artjax: interrupted; incomplete files will not be used", file=sys.stderr)
            raise SystemExit(128 + signal.SIGINT)
        if not isinstance(error, ArtjaxError):
            previous(kind, error, traceback)
            return
        sys.stdout.flush()
        print(f"artjax: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status)

    hook.shows_artjax_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


@contextmanager
def plain_if_uncaught() -> Iterator[None]:
    """Shows an `ArtjaxError` or Ctrl-C that leaves the block plainly if nobody catches it.

    For code that runs inside another program's `main`, such as a builder inside `tfds build`.
    `sys.excepthook` stays as it is unless such an exception leaves the block.
    """
    try:
        yield
    except (ArtjaxError, KeyboardInterrupt):
        show_plainly()
        raise
