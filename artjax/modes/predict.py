"""`--mode predict`: the labels of picture files, by one run or by several as one."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from typing import Any

from artjax.errors import ConfigError
from artjax.evaluation import judging
from artjax.evaluation.predict import Guess, predict
from artjax.files import write_results
from artjax.modes.command import Command
from artjax.prepare.readers.filename_repair import readable_name
from artjax.runs import Run, runs_in

_YES_NO = {True: "yes", False: "no", None: ""}


def run(command: Command) -> int:
    """Predicts, and writes `predict/predictions.csv`; exit status 2 if a named file is unusable."""
    pictures = command.flags.get("pictures", [])
    if not pictures:
        raise ConfigError("--mode predict needs image files: put files or folders after it")
    views, settings = command.views(), command.eval_settings()
    workdirs = command.runs()
    members = [member for workdir in workdirs for member in runs_in(workdir)]
    runs = [Run.load(member, command.flags.get("checkpoint", "best")) for member in members]
    result = predict(runs, pictures, views, settings)
    if len(runs) > 1:
        print(f"the mean of {len(runs)} runs: {', '.join(map(str, members))}")
    shown: Any = None
    for guess in result.guesses:
        if shown != (guess.path, guess.task):
            shown = (guess.path, guess.task)
            print(f"{readable_name(str(guess.path))}: {guess.task}{_doubts(guess)}")
        print(f"  {guess.probability:6.1%}  {guess.label}")
    for path, reason in result.unusable:
        print(f"{readable_name(str(path))}: not a usable image: {reason}", file=sys.stderr)
    most = max(judge.views for judge in result.judges)
    if most > 1:
        print(f"each the mean of {most} views")
    print("\n".join([*_counts(result.guesses), *judging.said_of(result.judges)]))
    folder = workdirs[0] / "predict"
    write_results(folder, {"predictions.csv": _csv(result.guesses)})
    print(f"written to {folder / 'predictions.csv'}")
    print(command.next("evaluate"))
    named = {path for path, _ in result.unusable} & set(pictures)
    return 2 if named else 0


def _csv(guesses: Sequence[Guess]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    doubts = ["unsure", "unlike_train", "unlikeness"]
    writer.writerow(["file", "task", "rank", "label", "probability", *doubts])
    for guess in guesses:
        file, share = readable_name(str(guess.path)), f"{guess.probability:.6f}"
        unlikeness = "" if guess.unlikeness is None else f"{guess.unlikeness:.4f}"
        said = _YES_NO[guess.unsure], _YES_NO[guess.unlike_train], unlikeness
        writer.writerow([file, guess.task, guess.rank, guess.label, share, *said])
    return text.getvalue()


def _doubts(guess: Guess) -> str:
    """What is to be said against an answer, as it follows the name of its task."""
    said = [
        words
        for words, holds in (
            ("unsure", guess.unsure),
            ("unlike anything in train", guess.unlike_train),
        )
        if holds
    ]
    return f" ({', '.join(said)})" if said else ""


def _counts(guesses: Sequence[Guess]) -> list[str]:
    """How many answers are unsure, and how many pictures foreign, if there are several pictures."""
    first = [guess for guess in guesses if guess.rank == 1]
    pictures = {guess.path: guess.unlike_train for guess in first}
    if len(pictures) < 2:
        return []
    said = []
    if any(guess.unsure is not None for guess in first):
        unsure = sum(bool(guess.unsure) for guess in first)
        said.append(f"{unsure:,} of {len(first):,} answers are unsure")
    if None not in pictures.values():
        count = sum(map(bool, pictures.values()))
        said.append(f"{count:,} of {len(pictures):,} pictures are unlike anything in train")
    return ["; ".join(said)] if said else []
