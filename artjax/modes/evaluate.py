"""`--mode evaluate`: scores a run, a cross-validation, seeds, or several runs as one, on a split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.errors import ConfigError
from artjax.evaluation import ensemble, evaluate, looks, recipe, report
from artjax.modes import folds, seeds
from artjax.modes.command import Command
from artjax.report.writing import Evaluation, wants_report, write_report
from artjax.runs import config_of, folds_in, is_several_seeds, runs_in
from artjax.runtime import mesh
from artjax.training import switches

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def run(command: Command) -> int:
    """Evaluates, and writes `evaluation/` in the (first) workdir."""
    workdirs = command.runs()
    split = command.flags.get("split", "test")
    given = {
        "data_dir": command.flags.get("data_dir"),
        "canvas_dir": command.flags.get("canvas_dir"),
        "views": command.views(),
        "settings": command.eval_settings(),
        "which": command.flags.get("checkpoint", "best"),
    }
    said: list[str] = []
    result, lines, folder = evaluate_workdirs(
        workdirs, split, "split" in command.flags, given, said.append
    )
    if mesh.is_first_process():
        print("\n".join([*lines, *lines_of(result), *looks.lines(folder)]))
        print("\n".join([f"written to {folder}", *said]))
        print(command.next("predict", "PICTURE_OR_FOLDER"))
    return 0


def lines_of(result: dict[str, Any]) -> list[str]:
    """A result in words, whatever it is of."""
    in_words = recipe.report_lines if result["split"] == "seeds" else report.report_lines
    return in_words(result)


def evaluate_workdirs(
    workdirs: list[Path],
    split: str,
    named: bool,
    given: dict[str, Any],
    say: Callable[[str], None] = print,
) -> tuple[dict[str, Any], list[str], Path]:
    """The result, its heading, and the folder that it was written to; `say` gets what else there is."""
    workdir, which = workdirs[0], given["which"]
    config = config_of(workdir)
    if len(workdirs) == 1 and (folds_in(workdir) or (config and is_several_seeds(config))):
        return _evaluate_parts(workdir, config, split if named else "", given, say)
    members = runs_in(workdir) if len(workdirs) == 1 else workdirs
    if len(members) > 1:
        of_runs = ensemble.Given(which, given["data_dir"], given["canvas_dir"])
        found = ensemble.check_and_evaluate(
            members, split, of_runs, given["views"], given["settings"]
        )
        result = found.result
        heading = [f"ensemble of {len(members)} runs, {result['collection']}"]
        folder = evaluate.folder_of(members[0], f"ensemble-{split}", which)
        if wants_report(config_of(members[0]), given["settings"]):
            of = Evaluation(members[0], folder.name, result, [found], members, which)
            write_report(of, say)
        return result, heading + ensemble.member_lines(result), folder
    opened, found = evaluate.open_and_evaluate(members[0], split, **given)
    result, folder = found.result, evaluate.folder_of(members[0], split, which)
    if wants_report(opened.run.config, given["settings"]):
        of = Evaluation(members[0], folder.name, result, [found], members, which, opened)
        write_report(of, say)
    heading = [f"checkpoint of step {result['checkpoint_step']:,}, {result['collection']}"]
    if config is not None and (brief := switches.in_brief(config)):
        heading.append(brief)
    return result, heading, folder


def _evaluate_parts(
    workdir: Path,
    config: ConfigDict | None,
    named: str,
    given: dict[str, Any],
    say: Callable[[str], None],
) -> tuple[dict[str, Any], list[str], Path]:
    """The same for all folds, or all seeds; `named` is the split that was named, if any."""
    if config is not None and is_several_seeds(config):
        if named and (named != "test" or config.folds):
            raise ConfigError(
                f"--split {named}: {workdir} holds several seeds, which are scored on test; leave "
                f"--split out, or name one of them: --workdir {runs_in(workdir)[0]}"
            )
        result = seeds.evaluate_seeds(workdir, **given)
        return result, [], evaluate.folder_of(workdir, "seeds", given["which"])
    if named:
        raise ConfigError(
            f"--split {named}: {workdir} is a cross-validation, which tests all works; leave "
            f"--split out, or name a fold: --workdir {workdir / 'fold0'}"
        )
    result = folds.evaluate_folds(workdir, len(folds_in(workdir)), **given, say=say)
    return result, [], evaluate.folder_of(workdir, "folds", given["which"])
