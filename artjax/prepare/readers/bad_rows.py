"""Rows of a list that cannot be used: named and counted, unless there are too many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from artjax.data.reports import Skipped
from artjax.errors import DataError
from artjax.prepare.readers.tables import BadRow

# A list with more of them is probably read in the wrong way, and what is left is no fair part of it.
MAX_SHARE = 0.2
_KINDS = 3


def skipped_rows(
    file: Path, bad: Sequence[tuple[str, BadRow]], rows: int, max_share: float = MAX_SHARE
) -> tuple[list[Skipped], list[str]]:
    """The rows of `skipped.csv` for the bad rows of a list, and a line for the user.

    Args:
      file: the list.
      bad: what each bad row calls its picture, which may be empty, and the row.
      rows: how many rows the list has, with the bad ones.
      max_share: so many of them may be bad, in [0, 1].

    Raises:
      DataError: one line, with the first of them, if more are.
    """
    if not bad:
        return [], []
    bad = sorted(bad, key=lambda pair: pair[1].number)
    first = bad[0][1]
    if len(bad) > max_share * rows:
        problem = f"{file}, row {first.number}: {first.reason}"
        if len(bad) > 1:
            problem += f" (the first of {len(bad):,} bad rows, of {rows:,})"
        elif rows > 1:
            problem += f" (one of {rows:,} rows)"
        more = f'; mend them, or let more than {max_share:.0%} be left out by "max_bad_rows"'
        raise DataError(problem + more * (rows > 1))
    skipped = [
        Skipped(name, "", f"{row.reason} ({file.name}, row {row.number})") for name, row in bad
    ]
    kinds = Counter(item.kind for item in skipped).most_common(_KINDS)
    shown = "; ".join(f"{count:,} × {kind}" for kind, count in kinds)
    note = (
        f"{len(bad):,} of the {rows:,} rows of {file.name} cannot be used, and are in skipped.csv: "
        f"{shown} (the first: row {first.number})"
    )
    return skipped, [note]
