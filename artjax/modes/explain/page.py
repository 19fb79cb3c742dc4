"""What the parts of `--mode explain` return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Page:
    """What a page holds, and what is to be said of it.

    Attributes:
      template: its file in this room.
      values: that the template names.
      lines: for the screen.
      problems: for standard error.
      interrupted: whether Ctrl-C came before all was done.
      failed: whether a file that was named is not usable.
    """

    template: str
    values: Mapping[str, Any]
    lines: Sequence[str]
    problems: Sequence[str] = ()
    interrupted: bool = False
    failed: bool = False


def in_parts(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Some items at a time, in their order; `itertools.batched` comes with Python 3.12."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
