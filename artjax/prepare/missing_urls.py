"""Pictures that a catalogue lists but that are missing: the command that downloads them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

MISSING_URLS = "missing_urls.txt"


def write_missing_urls(urls: Iterable[str], folders: Sequence[Path]) -> Path:
    """Writes `missing_urls.txt`, a URL a line, into the first folder that is writable.

    Raises:
      OSError: if none is.
    """
    for folder in folders[:-1]:
        try:
            return _write(urls, folder)
        except OSError:
            continue
    return _write(urls, folders[-1])


def command(urls_file: Path, manual_dir: Path) -> str:
    """The command that downloads the pictures to the places where the builder looks for them.

    wget, because it is everywhere. It waits between pictures, stays below 500 kB a second, continues
    incomplete pictures and skips complete ones.
    """
    return (
        "wget --continue --no-verbose --force-directories --no-host-directories --wait=1 "
        f"--random-wait --limit-rate=500k --directory-prefix={shlex.quote(str(manual_dir))} "
        f"--input-file={shlex.quote(str(urls_file))}"
    )


def _write(urls: Iterable[str], folder: Path) -> Path:
    file = folder / MISSING_URLS
    file.write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
    return file
