"""`--mode predict`: the labels of picture files, by one run or by several as one."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from typing import Any

from artjax.errors import ConfigError
from artjax.evaluation.predict import Guess, predict
from artjax.files import write_results
from artjax.modes.command import Command
from artjax.prepare.readers.filename_repair import readable_name
from artjax.runs import Run, runs_in


def run(command: Command) -> int:
    """Predicts, and writes `predict/predictions.csv`; exit status 2 if a named file is unusable."""
    pictures = command.flags.get("pictures", [])
    if not pictures:
        raise ConfigError("--mode predict needs image files: put files or folders after it")
    views = command.views()
    workdirs = command.runs()
    members = [member for workdir in workdirs for member in runs_in(workdir)]
    runs = [Run.load(member, command.flags.get("checkpoint", "best")) for member in members]
    result = predict(runs, pictures, views)
    if len(runs) > 1:
        print(f"the mean of {len(runs)} runs: {', '.join(map(str, members))}")
    shown: Any = None
    for guess in result.guesses:
        if shown != (guess.path, guess.task):
            shown = (guess.path, guess.task)
            print(f"{readable_name(str(guess.path))}: {guess.task}")
        print(f"  {guess.probability:6.1%}  {guess.label}")
    for path, reason in result.unusable:
        print(f"{readable_name(str(path))}: not a usable image: {reason}", file=sys.stderr)
    if max(result.views) > 1:
        print(f"each the mean of {max(result.views)} views")
    folder = workdirs[0] / "predict"
    write_results(folder, {"predictions.csv": _csv(result.guesses)})
    print(f"written to {folder / 'predictions.csv'}")
    print(command.next("evaluate"))
    named = {path for path, _ in result.unusable} & set(pictures)
    return 2 if named else 0


def _csv(guesses: Sequence[Guess]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "task", "rank", "label", "probability"])
    for guess in guesses:
        file, share = readable_name(str(guess.path)), f"{guess.probability:.6f}"
        writer.writerow([file, guess.task, guess.rank, guess.label, share])
    return text.getvalue()
