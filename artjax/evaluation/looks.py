"""Looks at a test split, noted beside the data: how many networks have been scored on it so far.

Whoever chooses among runs by their scores on test makes the best of them look better than it is: of n
equally good runs, the highest score is too high by what the luckiest of n draws is above their mean
(Cawley & Talbot, On Over-fitting in Model Selection and Subsequent Selection Bias (2010), section 5). A
score alone does not show how many others there were, so each look is noted.
"""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artjax.data.folds import FoldedCanvases
from artjax.data.works import Split
from artjax.files import json_text, write_atomically
from artjax.places import program
from artjax.runs import OpenRun, read_config, whole_of
from artjax.runtime import locks

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict

FILE = Path("looks") / "looks.csv"
"""Where a collection has its looks, in the folder that holds its canvases of all sizes."""

_POINTER = "looks.json"
_COLUMNS = (
    *("when", "who", "run", "checkpoint", "views", "config", "collection", "task", "works"),
    *("test", "look"),
)
_DIGITS = 16
# What changes neither a network nor the choice of its checkpoint.
_NO_MATTER = ("source", "eval")


class Looking(NamedTuple):
    """Whose score is looked at: a run, or all folds or seeds of one configuration as a whole.

    Attributes:
      workdir: absolute.
      config: digest of the configuration, and of its pretrained weights.
      checkpoint: the step of a run; `best` or `last` of several.
      views: of each work.
    """

    workdir: str
    config: str
    checkpoint: str
    views: int


@dataclass(frozen=True)
class Look:
    """A look at the test works of a collection.

    Attributes:
      file: the collection's `FILE`.
      collection: name and version.
      works: for each task the number of test works with a known label, and a digest of them.
      of: a run; several of an ensemble.
      folded: whether all works are tested, in folds.
    """

    file: Path
    collection: str
    works: Mapping[str, tuple[int, str]]
    of: tuple[Looking, ...]
    folded: bool = False

    @property
    def identity(self) -> str:
        """What looks that give the same numbers share, wherever the workdir is."""
        return _digest(sorted({repr((one.config, one.checkpoint, one.views)) for one in self.of}))

    def rows(self) -> list[dict[str, str]]:
        """What the file gets: a row for each task."""
        unique = list(dict.fromkeys(self.of))

        def listed(values: Sequence[Any]) -> str:
            return "; ".join(dict.fromkeys(map(str, values)))

        return [
            {
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "who": _who(),
                "run": listed([one.workdir for one in unique]),
                "checkpoint": listed([one.checkpoint for one in unique]),
                "views": listed([one.views for one in unique]),
                "config": listed([one.config for one in unique]),
                "collection": self.collection,
                "task": task,
                "works": str(count),
                "test": digest,
                "look": self.identity,
            }
            for task, (count, digest) in self.works.items()
        ]


def of_run(opened: OpenRun, splits: Mapping[str, Split], views: int) -> Look:
    """The look that an evaluation of a run on its test split is.

    All folds of a cross-validation, and all seeds of a recipe, are one look. The works of folds are
    those of all splits, since together they test all.

    Args:
      opened: the run, and the data.
      splits: as from `evaluate.open_splits` for test.
      views: of each work.
    """
    run, data = opened.run, opened.data
    folded = isinstance(data, FoldedCanvases)
    tested = list(splits.values()) if folded else [splits["test"]]
    works = {}
    for task in tested[0].labels:
        names = sorted(n for of in tested for n in of.file_names[of.labels[task] >= 0].tolist())
        if names:
            works[task] = len(names), _digest([data.prepared.fingerprint, task, *names])
    whole = whole_of(run.workdir)
    config, checkpoint = run.config, str(run.step)
    if whole != run.workdir:
        config, checkpoint = read_config(whole) or config, run.which
    of_config = _of_config(config, run.record.pretrained.get("sha256", ""))
    looking = Looking(str(whole.absolute()), of_config, checkpoint, views)
    file = data.directory.parent / FILE
    collection = f"{data.prepared.name}/{data.prepared.version}"
    return Look(file, collection, works, (looking,), folded)


def _of_config(config: ConfigDict, weights: str) -> str:
    """Digest of what makes a network: the configuration, and the pretrained weights by their digest."""
    settings = {name: of for name, of in config.to_dict().items() if name not in _NO_MATTER}
    if config.seeds:  # more may be added to them: that is the same look; other seeds alone are not
        settings |= {"seeds": (), "seed": f"{min(config.seeds)} and others"}
    return _digest([json.dumps(settings, sort_keys=True), weights])


def together(parts: Sequence[Look]) -> Look:
    """The look at several runs as one: an ensemble, all folds, or all seeds."""
    return replace(parts[0], of=tuple(looking for part in parts for looking in part.of))


def note(folder: Path, look: Look) -> None:
    """Adds a look to the collection's file, unless it is there, and says in `folder` which it is.

    The same checkpoint gives the same numbers, and is counted once. Where the file cannot be read or
    written, nothing fails: `lines` then says so. For process 0 only.

    Args:
      folder: where the results of this evaluation are written.
      look: as from `of_run` or `together`.
    """
    before = _read_pointer(folder)
    problem = ""
    try:
        with locks.after_others(look.file.parent, "noting a look at test works"):
            rows = _read(look.file)
            there = {(row["look"], row["test"]) for row in rows}
            new = [row for row in look.rows() if (row["look"], row["test"]) not in there]
            if new:
                write_atomically(look.file, _text([*rows, *new]))
    except (OSError, ValueError, csv.Error) as error:
        problem = getattr(error, "strerror", None) or str(error)
    pointer = {
        "file": str(look.file.absolute()),
        "look": look.identity,
        "test": {task: digest for task, (_, digest) in look.works.items()},
        "folded": look.folded,
        "again": before.get("look") == look.identity and not problem,
        "problem": problem,
    }
    write_atomically(folder / _POINTER, json_text(pointer))


def lines(folder: Path) -> list[str]:
    """What is to be said of the looks beside a result on test; nothing for the first look.

    Args:
      folder: of the results, as given to `note`; it may be from an earlier evaluation.
    """
    pointer = _read_pointer(folder)
    if not pointer:
        return []
    try:
        rows = _read(Path(pointer["file"]))
    except (OSError, ValueError, csv.Error):
        rows = []
    if pointer["problem"]:
        return [
            f"  note: this look at the test works is not counted, because {pointer['file']} cannot be "
            f"written or read ({pointer['problem']})"
        ]
    said: dict[str, list[str]] = {}
    for task, digest in pointer["test"].items():
        found = list(dict.fromkeys(row["look"] for row in rows if row["test"] == digest))
        if pointer["look"] in found:
            number = found.index(pointer["look"]) + 1
            if text := _in_words(number, len(found), pointer):
                said.setdefault(text, []).append(task)
    of_all = len(pointer["test"])
    return [
        f"  {'' if len(tasks) == of_all else ', '.join(tasks) + ': '}{text}"
        for text, tasks in said.items()
    ]


def not_looked_at(workdir: Path, *more: str) -> str:
    """What is said at the end of a training that leaves test alone.

    Args:
      workdir: of what was trained.
      more: words that the command to look needs.
    """
    command = " ".join([program(), "--workdir", str(workdir), "--mode", "evaluate", *more])
    return (
        "test was not looked at (--config.eval.test=never); once all choices are made, look with: "
        f"{command}"
    )


def _in_words(number: int, so_far: int, pointer: Mapping[str, Any]) -> str:
    where = "these works as a test" if pointer["folded"] else "this test split"
    which = _ordinal(number) if number == so_far else f"{_ordinal(number)} of {so_far:,}"
    look = f"the {which} look{'' if number == so_far else 's'} at {where}"
    if pointer["again"]:
        look += " (once more: the same checkpoint is not counted again)"
    if so_far == 1:
        return look if pointer["again"] else ""
    return (
        f"{look}: choosing among runs by test makes the best one's score too high, so choose by "
        f"validation; all looks: {pointer['file']}"
    )


def _ordinal(number: int) -> str:
    """`1st`, `2nd`, `12th`."""
    teens = 10 <= number % 100 < 20
    return f"{number:,}" + ("th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th"))


def _who() -> str:
    user = "unknown"
    with suppress(KeyError, OSError, ImportError):  # a container may have no name for its user
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _read(file: Path) -> list[dict[str, str]]:
    """The rows; none where there is no file yet. Raises `ValueError` if it is none of these files."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    if any(not row.get(name) for row in rows for name in ("look", "test")):
        raise ValueError("it is damaged: a row lacks its last columns")
    return rows


def _text(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _read_pointer(folder: Path) -> dict[str, Any]:
    try:
        pointer: dict[str, Any] = json.loads((folder / _POINTER).read_text())
    except (OSError, ValueError):
        return {}
    return pointer


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]
