"""Exports a run into a folder of its own, and verifies what was written before anybody sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from artjax.errors import ConfigError, WorkdirError
from artjax.export import program as program_lib
from artjax.export.card import card
from artjax.export.formats import FORMATS
from artjax.export.verification import Verified, pictures_for, verify
from artjax.files import json_text
from artjax.pages.folders import replaced_folder

ABOUT = "artjax.json"
CARD = "README.md"


class Exported(NamedTuple):
    """What was written.

    Attributes:
      file: the network.
      size: of it, in bytes.
      verified: how near it is to the run.
    """

    file: Path
    size: int
    verified: Verified


def export(
    workdir: Path,
    name: str,
    folder: Path,
    *,
    which: str = "best",
    views: int | None = None,
    inside: bool = True,
    overwrite: bool = False,
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
) -> Exported:
    """Writes a network, `artjax.json` and a model card, `README.md`.

    Args:
      workdir: the folder of a run.
      name: a key of `FORMATS`.
      folder: is made; it is there as a whole, verified, or not at all.
      which: the checkpoint, `best` by validation or `last`.
      views: 1, 5 or 10 views of each picture; default: as the run's `eval.views` says.
      inside: whether the preprocessing is part of the network.
      overwrite: whether an earlier export in that folder is replaced.
      data_dir: the present data directory, if it is another than in training.
      canvas_dir: the present folder for canvases, if it is another.

    Raises:
      ConfigError: for an unknown checkpoint, views that nobody cuts out, or a folder that is there.
      WorkdirError: if there is no checkpoint, or the folder cannot be written.
      ExportError: if the format cannot hold the network, or what was written differs from the run.
    """
    form = FORMATS[name]
    folder = folder.absolute()
    _check_target(folder, overwrite)
    with replaced_folder(folder) as new:
        program = program_lib.load(workdir, which, views, inside and form.program)
        form.check(program)
        pictures = pictures_for(program, data_dir, canvas_dir)
        file = new / form.file
        form.write(program, file)
        verified = verify(program, lambda: form.load(file, program), pictures)
        about = {"format": name, **program.about(), "verified": verified.to_json()}
        (new / ABOUT).write_text(json_text(about))
        text = card(program, name, form.file, form.use(program), verified, pictures.works)
        (new / CARD).write_text(text)
        size = sum(part.stat().st_size for part in [file, *file.rglob("*")] if part.is_file())
    return Exported(folder / form.file, size, verified)


def _check_target(folder: Path, overwrite: bool) -> None:
    """Raises `ConfigError` if something is there that is not to be replaced."""
    if folder.is_file():
        raise WorkdirError(f"{folder} is a file; name a folder with --out")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        own = json.loads((folder / ABOUT).read_text())["kind"] == program_lib.KIND
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        raise ConfigError(f"{folder} holds something else than an export; name another with --out")
    if not overwrite:
        raise ConfigError(
            f"{folder} holds an export already; add --overwrite to replace it, or name another folder "
            "with --out"
        )
