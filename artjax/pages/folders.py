"""A folder that is there as a whole, old or new, and never in part."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artjax.errors import WorkdirError


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder, which takes the place of `folder` if the block ends without an error.

    Until then the old one stays as it is. If the block fails, nothing has changed. The folder above is
    made if it is not there.

    Args:
      folder: the folder to replace; it need not exist.

    Raises:
      WorkdirError: if it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.incomplete-", dir=folder.parent))
        try:
            yield new
            new.chmod(0o755)  # mkdtemp makes it for its owner alone
            _exchange(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise WorkdirError(f"cannot write {folder}: {error.strerror or error}") from error


def _exchange(new: Path, folder: Path) -> None:
    """Puts `new` into the place of `folder`, which is removed only after that.

    To remove it first would leave neither of them to whoever is killed in between.
    """
    if not folder.is_dir():
        os.replace(new, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f"{folder.name}.old-", dir=folder.parent))
    try:
        os.replace(folder, old / folder.name)
        try:
            os.replace(new, folder)
        except OSError:
            os.replace(old / folder.name, folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
