"""Writes the report of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

import artjax
from artjax import pages
from artjax.evaluation import looks, report
from artjax.evaluation.evaluate import Evaluated, folder_of
from artjax.pages import charts
from artjax.report import course, matrix
from artjax.report.concentration import concentrations
from artjax.report.sections import Section, section_of
from artjax.report.shown import Gallery, gallery_of, reason_of
from artjax.report.works import works_of
from artjax.runs import OpenRun, Run
from artjax.runtime.mesh import is_first_process

if TYPE_CHECKING:  # ml_collections is not needed to run this
    from ml_collections import ConfigDict

_INDEX, _SUMMARY = "index.html", "summary.json"


class Evaluation(NamedTuple):
    """What a report is about.

    Attributes:
      workdir: of the run, or of the cross-validation, into which the report is written.
      name: of the folder in `evaluation/` with the result.
      result: what `metrics.json` holds.
      parts: the works with what networks said of them: one, or one for each fold.
      runs: the workdirs of the trainings.
      which: the checkpoint of these, `best` or `last`.
      opened: the run of a single part, where it is in memory already.
    """

    workdir: Path
    name: str
    result: Mapping[str, Any]
    parts: Sequence[Evaluated]
    runs: Sequence[Path]
    which: str = "best"
    opened: OpenRun | None = None

    @property
    def alone(self) -> OpenRun | None:
        """`opened`, unless its network is spread over several processes."""
        return self.opened if jax.process_count() == 1 else None

    def run_of(self, part: int) -> Run | None:
        """The run of a part, opened where it is not; None where several answered as one.

        None also where a network is spread over several processes, of which only one writes the page.
        """
        if self.alone is not None:
            return self.alone.run
        if len(self.runs) != len(self.parts) or jax.process_count() > 1:
            return None
        return Run.load(self.runs[part], self.which)


def wants_report(config: ConfigDict | None, settings: Mapping[str, Any] | None = None) -> bool:
    """Whether an evaluation shall end with a report: as in `settings`, else `eval.report`."""
    own = config is not None and config.eval.report
    return bool((settings or {}).get("report", own))


def report_folder(workdir: Path, name: str) -> Path:
    """Where the report of an evaluation is: `report/`, or `report-<name>/` of others than the main one.

    Args:
      workdir: of the run.
      name: of the folder in `evaluation/`, such as `test`, `folds` or `validation`.
    """
    return workdir / ("report" if name in ("test", "folds") else f"report-{name}")


def write_report(evaluation: Evaluation, say: Callable[[str], None] = print) -> Path | None:
    """Writes the report, in process 0. What goes wrong costs a line, and never the evaluation.

    Returns:
      The page; None if it could not be written.
    """
    if not is_first_process():
        return None
    try:
        page = _write(evaluation)
    except Exception as error:  # whatever it is: the numbers are written, after hours of training
        say(
            f"warning: no report was written ({reason_of(error)}); the results are complete without it"
        )
        return None
    say(f"report: {page}")
    return page


def _write(evaluation: Evaluation) -> Path:
    result, parts = evaluation.result, evaluation.parts
    works = works_of(parts)
    found = concentrations(works, parts)
    tasks = [
        section_of(number, name, result, of_task, found[name])
        for number, (name, of_task) in enumerate(works.items(), start=1)
    ]
    courses = [course.course_of(run) for run in evaluation.runs]
    folder = report_folder(evaluation.workdir, evaluation.name)
    with pages.replaced_folder(folder) as new:
        gallery = gallery_of(tasks, parts, evaluation.run_of, new, evaluation.alone)
        shown = gallery.works
        summary = _summary(evaluation, tasks, courses, gallery)
        values = {"summary": summary, "tasks": tasks, "shown": shown}
        html = pages.render(
            "report/index.html",
            **values,
            curves=course.curves(evaluation.runs, result["checkpoint_step"]),
            subject=report.subject(result),
            chart_size=(charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.BOTTOM),
            courses=course.table(courses),
            warnings=list(dict.fromkeys(text for of in courses for text in of["warnings"])),
            notes=[line.strip() for line in looks.lines(_results(evaluation))],
            cell_id=matrix.cell_id,
            class_id=matrix.class_id,
        )
        (new / _INDEX).write_text(html, encoding="utf-8")
        for task in tasks:
            html = pages.render(
                "report/works.html",
                **values,
                task=task,
                shown_in={
                    cell: sum(shown[task.name][i].picture is not None for i in of_cell)
                    for cell, of_cell in task.chosen.cells.items()
                },
                cell_id=matrix.cell_id,
                class_id=matrix.class_id,
            )
            (new / task.page).write_text(html, encoding="utf-8")
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (new / _SUMMARY).write_text(text, encoding="utf-8")
    return folder / _INDEX


def _results(evaluation: Evaluation) -> Path:
    return folder_of(evaluation.workdir, evaluation.name)


def _summary(
    evaluation: Evaluation,
    tasks: Sequence[Section],
    courses: Sequence[Mapping[str, Any]],
    gallery: Gallery,
) -> dict[str, Any]:
    """What `summary.json` holds."""
    result = evaluation.result
    return {
        "artjax": artjax.__version__,
        "run": evaluation.workdir.absolute().name,
        "evaluation": f"evaluation/{_results(evaluation).name}",
        **{name: result[name] for name in ("collection", "split", "checkpoint_step", "views")},
        "tasks": {
            task.name: {
                **{name: value for name, value in task.row.items() if name != "by_class"},
                "warnings": task.warnings,
                "largest_confusions": task.confusions,
                "errors_by": [
                    {
                        "by": of.name,
                        "p": of.p,
                        "adjusted_p": of.adjusted_p,
                        "shown": of.is_shown,
                        "bins": [
                            bin_._asdict() | {"interval": list(bin_.interval)} for bin_ in of.bins
                        ],
                    }
                    for of, _ in task.concentrations
                ],
                "surest_errors": [str(task.works.file_names[i]) for i in task.chosen.errors],
                "least_sure_hits": [str(task.works.file_names[i]) for i in task.chosen.unsure],
            }
            for task in tasks
        },
        "divisions": sum(len(task.concentrations) for task in tasks),
        "training": list(courses),
        "pictures": gallery.pictures,
        "heat_maps": gallery.heat_maps,
        "heat_method": gallery.method,
    }
