"""The rows of a trained head that a head for other classes can keep: those of the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_SHOWN = 5  # names in a line


@dataclass(frozen=True)
class KeptHead:
    """How the classes of a head and those of an earlier one correspond.

    Attributes:
      classes: names of the classes, in the order of the logits.
      earlier: those of the earlier head.
    """

    classes: Sequence[str]
    earlier: Sequence[str]

    @property
    def new(self) -> list[str]:
        """The classes that the earlier head does not know."""
        return [name for name in self.classes if name not in set(self.earlier)]

    @property
    def gone(self) -> list[str]:
        """The classes of the earlier head that are no longer there."""
        return [name for name in self.earlier if name not in set(self.classes)]

    @property
    def kept(self) -> int:
        """How many classes both have."""
        return len(self.classes) - len(self.new)

    def values(self, array: np.ndarray) -> np.ndarray:
        """An array of the earlier head, with the classes last, for the head.

        The values of new classes are 0, as in a new head (`StagedNetwork`).
        """
        values = np.zeros((*array.shape[:-1], len(self.classes)), array.dtype)
        place = {name: i for i, name in enumerate(self.earlier)}
        for i, name in enumerate(self.classes):
            if name in place:
                values[..., i] = array[..., place[name]]
        return values

    def in_words(self, task: str) -> str:
        """One line for people; empty if the classes are the same, in any order."""
        if not self.new and not self.gone:
            return ""
        parts = [f"{self.kept} of {len(self.classes)} classes are kept"]
        for names, one, more in (
            (self.new, "is new", "are new"),
            (self.gone, "is gone", "are gone"),
        ):
            if names:
                shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
                parts.append(f"{len(names)} {one if len(names) == 1 else more}: {shown}")
        return f"the head for {task}: {'; '.join(parts)}"


def kept_heads(
    classes: Mapping[str, Sequence[str]], earlier: Mapping[str, Sequence[str]]
) -> dict[str, KeptHead]:
    """For each task that both have: how the classes correspond, where they share any."""
    found = {task: KeptHead(names, earlier.get(task, ())) for task, names in classes.items()}
    return {task: head for task, head in found.items() if head.kept}
