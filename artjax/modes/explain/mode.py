"""`--mode explain`: what a run looks at, as a page."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from artjax import pages
from artjax.errors import ConfigError
from artjax.evaluation.evaluate import check_split
from artjax.files import json_text
from artjax.modes.command import Command
from artjax.modes.explain import classes, looked_at, mapped
from artjax.modes.explain.looked_at import Settings
from artjax.modes.explain.page import Page
from artjax.runs import Run, runs_in

_KIND = "explanations of artjax"
_RECORD = "explained.json"
_KINDS = ("class_pictures", "map")
_WORKS, _NEIGHBOURS = 24, 5


def run(command: Command) -> int:
    """Writes a folder with `index.html`.

    Returns:
      0; 2 if a file that was named is not usable; 130 after Ctrl-C, when the page has what was done.
    """
    flags = command.flags
    name = _name_of(command)
    settings = _settings(command)
    workdir = _only(command)
    folder = Path(flags.get("out", workdir / "explanations" / name)).expanduser()
    _check_folder(folder)
    loaded = Run.load(workdir, flags.get("checkpoint", "best"))
    with pages.replaced_folder(folder) as new:
        page = _page(command, new, loaded, settings)
        text = pages.render(f"modes/explain/{page.template}", run=str(workdir), **page.values)
        (new / "index.html").write_text(text, encoding="utf-8")
        record = {"kind": _KIND, "run": str(workdir.absolute()), "step": loaded.step}
        (new / _RECORD).write_text(json_text(record), encoding="utf-8")
    for line in page.problems:
        print(line, file=sys.stderr, flush=True)
    print("\n".join([*page.lines, f"written to {folder / 'index.html'}"]))
    if page.interrupted:
        print("artjax: interrupted; the page has what was done", file=sys.stderr)
        return 128 + signal.SIGINT
    return 2 if page.failed else 0


def _page(command: Command, folder: Path, run: Run, settings: Settings) -> Page:
    flags = command.flags
    pictures, split = flags.get("pictures", []), flags.get("split", "validation")
    if "class_pictures" in flags:
        return classes.write(folder, run, pictures)
    if "map" in flags:
        return mapped.write(folder, run, split, settings)
    if pictures:
        return looked_at.of_files(folder, run, command.pictures(), settings)
    return looked_at.of_split(folder, run, split, flags.get("works", _WORKS), settings)


def _name_of(command: Command) -> str:
    """The name of the default folder. Raises `ConfigError` for flags that do not go together."""
    flags = command.flags
    kinds = [kind for kind in _KINDS if kind in flags]
    if len(kinds) > 1:
        raise ConfigError(f"--{kinds[0]} and --{kinds[1]} are two pages: give one of them")
    pictures, split = flags.get("pictures", []), flags.get("split", "validation")
    if pictures and "split" in flags:
        raise ConfigError("--split and pictures are two pages: give one of them")
    if pictures and "map" in flags:
        raise ConfigError("--map is of the works of a split: leave the pictures out")
    if len(pictures) > 1 and "class_pictures" in flags:
        raise ConfigError("--class_pictures begins with one picture, or none (noise)")
    for name in ("works", "neighbours"):
        if flags.get(name, 1) < (name == "works"):
            raise ConfigError(f"--{name} {flags[name]}: it must be {int(name == 'works')} or more")
    check_split(split)
    if kinds:
        return kinds[0] if kinds[0] != "map" else f"map-{split}"
    return "pictures" if pictures else split


def _settings(command: Command) -> Settings:
    flags = command.flags
    return Settings(
        command.views(),
        command.eval_settings(),
        flags.get("neighbours", _NEIGHBOURS),
        flags.get("data_dir"),
        flags.get("canvas_dir"),
    )


def _only(command: Command) -> Path:
    """The workdir. Raises `ConfigError` if it is one of several runs."""
    (workdir,) = command.runs()
    members = runs_in(workdir)
    if len(members) > 1:
        raise ConfigError(
            f"an explanation is that of one network, and {workdir} has {len(members)}; give one of "
            f"them: --workdir {members[0]}"
        )
    return members[0]


def _check_folder(folder: Path) -> None:
    """Raises `ConfigError` if a folder holds anything but a page of this mode: it is replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if _kind_of(folder) == _KIND:
        return
    raise ConfigError(
        f"{folder} is there already, and is not a page that this mode has written; it would be "
        "replaced: name another --out"
    )


def _kind_of(folder: Path) -> str:
    try:
        record: Any = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return str(record["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
