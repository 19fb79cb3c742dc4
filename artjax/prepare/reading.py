"""How a folder was understood, said before its pictures are cleaned: a wrong reading costs hours."""

from __future__ import annotations

from collections import Counter

from artjax.prepare.catalogue import Catalogue

_NAMED = 8


def reading_lines(catalogue: Catalogue) -> list[str]:
    """Lines for the user: where labels come from, the classes, what is not used and what is not clear.

    Args:
      catalogue: as its reader returned it. One that says nothing about its reading, such as that of a
        builder for a single collection, gets no lines.
    """
    if not catalogue.reading:
        return []
    lines = list(catalogue.reading)
    for label, names in catalogue.class_names.items():
        counts = Counter(
            work.labels[label] for work in catalogue.works if label in work.labels and work.picture
        )
        if names:
            most = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(_NAMED))
            more = ", …" * (len(counts) > _NAMED)
            lines.append(
                f"{label}: {len(names):,} classes, {counts.total():,} pictures: {most}{more}"
            )
    return lines + catalogue.notes
