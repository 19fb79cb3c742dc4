"""`--mode evaluate`: scores a run, a cross-validation, or several runs as one, on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artjax.errors import ConfigError
from artjax.evaluation import ensemble, evaluate, report
from artjax.modes.command import Command
from artjax.modes.folds import evaluate_folds
from artjax.runs import config_of, folds_in, runs_in
from artjax.runtime import mesh
from artjax.training import switches


def run(command: Command) -> int:
    """Evaluates, and writes `evaluation/` in the (first) workdir."""
    workdirs = command.runs()
    split = command.flags.get("split", "test")
    given = {
        "data_dir": command.flags.get("data_dir"),
        "canvas_dir": command.flags.get("canvas_dir"),
        "views": command.views(),
        "which": command.flags.get("checkpoint", "best"),
    }
    result, lines, folder = evaluate_workdirs(workdirs, split, "split" in command.flags, given)
    if mesh.is_first_process():
        print("\n".join([*lines, *report.report_lines(result)]))
        print(f"written to {folder}")
        print(command.next("predict", "PICTURE_OR_FOLDER"))
    return 0


def evaluate_workdirs(
    workdirs: list[Path], split: str, named: bool, given: dict[str, Any]
) -> tuple[dict[str, Any], list[str], Path]:
    """The result, its heading, and the folder that it was written to."""
    workdir = workdirs[0]
    config = config_of(workdir)
    folds = folds_in(workdir) if len(workdirs) == 1 else []
    if folds:
        if named:
            raise ConfigError(
                f"--split {split}: {workdir} is a cross-validation, which tests all works; leave "
                f"--split out, or name a fold: --workdir {workdir / 'fold0'}"
            )
        result = evaluate_folds(workdir, len(folds), **given)
        return result, [], workdir / "evaluation" / "folds"
    members = runs_in(workdir) if len(workdirs) == 1 else workdirs
    if len(members) > 1:
        result = ensemble.evaluate_ensemble(members, split, **given)
        heading = [f"ensemble of {len(members)} runs, {result['collection']}"]
        folder = members[0] / "evaluation" / f"ensemble-{split}"
        return result, heading + ensemble.member_lines(result), folder
    result = evaluate.evaluate_workdir(members[0], split, **given)
    heading = [f"checkpoint of step {result['checkpoint_step']:,}, {result['collection']}"]
    if config is not None and (brief := switches.in_brief(config)):
        heading.append(brief)
    return result, heading, members[0] / "evaluation" / split
