"""Files that hold a catalogue or pictures and cannot be read as they are: what to do with each kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

_WHAT_TO_DO = {
    **dict.fromkeys(
        (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
        "is a spreadsheet, which is not read; save it as CSV UTF-8 (works.csv)",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz"),
        "is an archive, which is not read; unpack it there",
    ),
    ".parquet": "pictures and lists in .parquet are not read; save them as files, with a metadata.csv "
    "(columns file_name and a label) or a folder for each class",
    **dict.fromkeys(
        (".xml", ".rdf", ".ttl", ".mdb", ".accdb", ".sqlite", ".db3", ".pdf", ".docx", ".html"),
        "may be a catalogue, and is not read; save it as CSV UTF-8 (works.csv)",
    ),
}


def unusable(folder: Path, names: Iterable[str]) -> list[str]:
    """A line for each kind of file that is there and is not read; the first of its kind is named.

    Args:
      folder: the collection.
      names: relative paths of its files.
    """
    first: dict[str, str] = {}
    for name in names:
        if (what := _WHAT_TO_DO.get(PurePosixPath(name).suffix.lower())) is not None:
            first.setdefault(what, name)
    return [
        f"{folder / name}{':' if what.startswith('pictures') else ''} {what}"
        for what, name in first.items()
    ]
