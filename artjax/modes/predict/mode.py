"""`--mode predict`: the labels of picture files, by one run or by several as one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from artjax.errors import ConfigError
from artjax.evaluation import judging
from artjax.evaluation.alike import Near, TrainWorks, embeddings_of
from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import (
    Answer,
    answers,
    check_same_classes,
    judges_of,
    none_usable,
)
from artjax.modes.command import Command
from artjax.modes.explain.mode import run as explain
from artjax.modes.predict import table
from artjax.modes.predict.forms import Row
from artjax.modes.predict.request import Request, request_for
from artjax.modes.predict.rows import Layout
from artjax.modes.predict.screen import Summary, shown_path
from artjax.modes.table import MODES
from artjax.prepare.seeing import Seen
from artjax.runs import Run, runs_in, with_data
from artjax.training.groups import flat, update_digest

_TOP = 5
_MOST_ON_PAGE = 100
_Nearest = Callable[[Sequence[Seen]], Sequence[Sequence[Near]]]
_SECONDS_WITHOUT_BAR = 2


def run(command: Command) -> int:
    """Predicts, and writes a row for each picture as it is found.

    Returns:
      0; 2 if a file that was named is not usable; 130 after Ctrl-C.
    """
    paths = command.pictures()
    if not paths:
        raise ConfigError("--mode predict needs image files: put files or folders after it")
    top = command.flags.get("top", _TOP)
    if top < 1:
        raise ConfigError(f"--top {top}: it must be 1 or more")
    views, settings = command.views(), command.eval_settings()
    workdirs = command.runs()
    default = workdirs[0] / "predict" / "predictions.csv"
    # A link stays one: what it leads to is written.
    file = Path(os.path.realpath(command.flags.get("out", default).expanduser()))
    request = request_for(paths, "catalogue" in command.flags)
    _check_any_file(request)
    members = [member for workdir in workdirs for member in runs_in(workdir)]
    runs = [Run.load(member, command.flags.get("checkpoint", "best")) for member in members]
    check_same_classes(runs)
    if "report" in command.flags and len(runs) > 1:
        raise ConfigError(f"--report shows what one network looks at, and {len(runs)} are given")
    judges = judges_of(runs, views, settings)
    several = len(runs) > 1 or any(judge.passes for judge in judges)
    neighbours = command.flags.get("neighbours", 0)
    near = _nearest(command, runs, neighbours)
    layout = Layout(runs[0].classes, top, "catalogue" in command.flags, several, neighbours)
    summary = Summary(layout, request)
    origin = _origin(runs, judges, layout, request)
    kept = layout.columns, origin, request, "out" not in command.flags
    with table.alone(file), table.opened(file, *kept, summary.add) as rows:
        done_before = summary.usable
        if not _all_predicted(runs, judges, layout, request, rows, summary, near):
            return 128 + signal.SIGINT
    if len(runs) > 1:
        print(f"the mean of {len(runs)} runs: {', '.join(map(str, members))}")
    _say(summary, request, judges, file, done_before)
    if "report" in command.flags:
        _write_page(command, request, file)
    for folder in paths if "catalogue" not in command.flags else ():
        if (folder / "works.csv").is_file():
            print(
                f"{folder} has a works.csv: with --catalogue each of its works has its work_id and title"
            )
    print(command.next("evaluate"))
    return 2 if summary.named_unusable else 0


def _write_page(command: Command, request: Request, file: Path) -> None:
    """Writes the page of `--mode explain` about the pictures, beside the table."""
    usable = [picture.file for picture in request.pictures.values() if not picture.reason]
    if len(usable) > _MOST_ON_PAGE:
        print(f"the page shows the first {_MOST_ON_PAGE} of {len(usable):,} pictures")
    flags = {name: command.flags[name] for name in MODES["explain"].flags if name in command.flags}
    flags |= {"pictures": usable[:_MOST_ON_PAGE], "out": file.with_name(f"{file.stem}-page")}
    flags.setdefault("workdir", command.runs())
    explain(replace(command, mode="explain", flags=flags))


def _nearest(command: Command, runs: Sequence[Run], count: int) -> _Nearest | None:
    """What finds the nearest works of train, if they are asked for."""
    if count < 0:
        raise ConfigError(f"--neighbours {count}: it must be 0 or more")
    if not count:
        return None
    if len(runs) > 1:
        raise ConfigError(
            f"--neighbours: the nearest works are those of one network, and {len(runs)} are given"
        )
    (run,) = runs
    train = TrainWorks.of(
        with_data(run, command.flags.get("data_dir"), command.flags.get("canvas_dir"))
    )
    return lambda pictures: train.near(embeddings_of(run, pictures), count)


def _check_any_file(request: Request) -> None:
    pictures = request.pictures.values()
    if all(picture.reason for picture in pictures):
        raise none_usable([(shown_path(of.file), of.reason) for of in pictures])


def _all_predicted(
    runs: Sequence[Run],
    judges: Sequence[Judge],
    layout: Layout,
    request: Request,
    rows: table.Table,
    summary: Summary,
    near: _Nearest | None,
) -> bool:
    """Predicts the pictures that have no row yet; False if it was interrupted."""
    done_before = summary.usable
    todo = [picture for name, picture in request.pictures.items() if name not in rows.kept]
    known = [layout.row(of, Answer(of.file, reason=of.reason)) for of in todo if of.reason]
    todo = [picture for picture in todo if not picture.reason]
    total = len(request.pictures)
    bar = tqdm(
        total=total,
        initial=total - len(todo),
        desc="predicting",
        unit="picture",
        delay=_SECONDS_WITHOUT_BAR,
        disable=None,  # where standard error is no terminal
    )
    try:
        with (
            bar,
            closing(
                answers(runs, [picture.file for picture in todo], judges, near=near)
            ) as batches,
        ):
            _add(rows, summary, known)
            pictures = iter(todo)
            for batch in batches:
                found = [layout.row(next(pictures), answer) for answer in batch]
                _add(rows, summary, found)
                bar.update(len(found))
    except KeyboardInterrupt:
        done = done_before + rows.added
        print(
            f"artjax: interrupted; {done:,} of {total:,} pictures are done and kept in {rows.file}: the "
            "same command continues",
            file=sys.stderr,
        )
        return False
    return True


def _add(rows: table.Table, summary: Summary, found: Sequence[Row]) -> None:
    rows.add(found)
    for row in found:
        summary.add(row)


def _say(
    summary: Summary, request: Request, judges: Sequence[Judge], file: Path, done_before: int
) -> None:
    """Shows what was found; raises `DataError` if no picture is usable."""
    problems = summary.problems()
    if not summary.usable:
        raise none_usable(summary.first_unusable, summary.unusable)
    if not summary.few:
        before = f", {done_before:,} of them before" if done_before else ""
        print(f"{summary.usable:,} pictures predicted{before}; {summary.unusable:,} not usable")
    print("\n".join(summary.answers()))
    sys.stdout.flush()
    if problems:
        print("\n".join(problems), file=sys.stderr, flush=True)
    most = max(judge.views for judge in judges)
    if most > 1:
        print(f"each the mean of {most} views")
    print("\n".join([*summary.doubts(), *judging.said_of(judges)]))
    print(f"written to {file}")


def _origin(
    runs: Sequence[Run], judges: Sequence[Judge], layout: Layout, request: Request
) -> table.Origin:
    """What decides the rows."""
    passes = [judge.passes for judge in judges]
    return table.Origin(
        [_digest(run, judge, layout) for run, judge in zip(runs, judges, strict=True)],
        [f"{run.workdir.absolute()} ({run.which})" for run in runs],
        {
            "folder": "" if request.folder is None else str(request.folder),
            "--catalogue": layout.catalogue,
            "--top": layout.top,
            "--neighbours": layout.neighbours,
            "eval.views": [judge.views for judge in judges],
            "eval.error_rate": [judge.reliability.error_rate for judge in judges],
            "eval.foreign_rate": [judge.reliability.foreign_rate for judge in judges],
        }
        | ({"eval.mc_dropout": passes} if any(passes) else {}),
    )


def _digest(run: Run, judge: Judge, layout: Layout) -> str:
    """Of the weights of a run, and of what its validation works say of its answers."""
    digest = hashlib.sha256()
    update_digest(digest, flat(run.variables))
    known: list[Any] = [judge.reliability.farthest]
    known += [[judge.temperature(task), judge.sure_from(task)] for task in layout.classes]
    digest.update(json.dumps(known).encode())
    return digest.hexdigest()
