"""The model card: `README.md` in the layout of the Hugging Face hub, of what is known and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from artjax.evaluation import evaluate
from artjax.export.program import Program
from artjax.export.using import Use
from artjax.export.verification import TOLERANCE, Verified
from artjax.models.named_weights import NAMED

_BASELINES = {
    "train_majority": "the most frequent class of train",
    "colour_histograms": "colour histograms",
    "nearest_neighbours": "nearest neighbours in the same features",
    "source_facts": "facts of the files, without looking at the pictures",
}


def card(
    program: Program,
    name: str,
    file: str,
    use: Use,
    verified: Verified,
    works: Mapping[str, int],
) -> str:
    """The text of the card.

    Args:
      program: what was exported.
      name: of the format.
      file: what it is called in the folder.
      use: how to use it.
      verified: from `verification.verify`.
      works: number of works of each split; empty if the data are not there.
    """
    evaluated = _evaluated(program)
    sections = [
        _front_matter(program, name, evaluated),
        _what(program, file),
        _use(use),
        _input(program),
        _data(program, works),
        _scores(program, evaluated),
        _limits(program, evaluated),
        _weights(program),
        _verified(program, verified),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _evaluated(program: Program) -> dict[str, dict[str, Any]]:
    """What `metrics.json` says of this checkpoint, by split."""
    found = {}
    run = program.run
    for split in ("test", "validation"):
        file = evaluate.folder_of(run.workdir, split, run.which) / "metrics.json"
        try:
            result = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if result.get("checkpoint_step") == run.step and result.get("tasks"):
            found[split] = result
    return found


def _licence(program: Program) -> str:
    named = NAMED.get(str(program.run.record.pretrained.get("source", "")))
    return named.licence.lower() if named else "unknown"


def _front_matter(
    program: Program, name: str, evaluated: Mapping[str, dict[str, Any]]
) -> list[str]:
    tags = ["image-classification", "art", "paintings", program.run.config.model.name, name]
    lines = [
        "---",
        f"license: {_licence(program)}",
        "library_name: artjax",
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return [*lines, *(["metrics:", "- accuracy", "- f1"] if evaluated else []), "---"]


def _what(program: Program, file: str) -> list[str]:
    about = program.about()
    lines = [
        f"# {_in_text(', '.join(program.tasks))} of paintings: {about['model']}",
        "",
        f"`{file}` holds a {about['model']} of {about['parameters']:,} parameters, trained with artjax "
        f"{program.run.record.versions.get('artjax', about['artjax'])} on the collection "
        f"{_in_text(about['collection'])}; the checkpoint is of step {program.run.step:,}. "
        "`artjax.json` has labels and preprocessing for programs.",
        "",
    ]
    for task in program.tasks:
        labels = program.run.classes[task]
        shown = ", ".join(map(_in_text, labels[:20]))
        more = f", and {len(labels) - 20:,} more (in `artjax.json`)" if len(labels) > 20 else ""
        lines.append(f"- **{_in_text(task)}**, {len(labels):,} classes: {shown}{more}")
    return lines


def _use(use: Use) -> list[str]:
    return [
        "## How to use",
        "",
        f"`pip install {use.needs}`, then:",
        "",
        "```python",
        use.code,
        "```",
    ]


def _input(program: Program) -> list[str]:
    preprocessing, config = program.run.preprocessing, program.run.config
    about = program.about()["preprocessing"]
    lines = ["## Input and output", ""]
    share = "" if preprocessing.crop_share == 1 else f"{preprocessing.crop_share:.4g} of "
    filters = f"a {preprocessing.interpolation} filter that is widened where the picture shrinks"
    numbers = (
        f"mean {_numbers(preprocessing.mean)} and standard deviation {_numbers(preprocessing.std)} of "
        "red, green and blue in [0, 1]"
    )
    if program.inside:
        views = program.judge.views
        seen = (
            f"the central square ({share}the shorter side)"
            if views == 1
            else f"{views} views, whose probabilities are averaged"
        )
        lines += [
            f"- `image`, uint8 [batch, {about['canvas_px']}, {about['canvas_px']}, 3]: RGB, the whole "
            f"upright picture squashed to a square of {about['canvas_px']} px with a Lanczos filter, "
            "without cropping.",
            "- `aspect`, float32 [batch]: width / height of the picture before that.",
            f"- The network cuts out {seen} in its true proportions, resamples to "
            f"{config.image_size} px with {filters}, normalises with {numbers}, and "
            "returns probabilities for each task, "
            "float32 [batch, classes].",
        ]
        for task in program.tasks:
            of = program.judge.temperature(task)
            known = "not calibrated" if of is None else f"logits divided by temperature {of:.4f}"
            lines.append(f"- {_in_text(task)}: {known}.")
    else:
        order = preprocessing.channel_order
        lines += [
            f"- The picture, upright and in RGB: its central square ({share}the shorter side), "
            f"resampled to {config.image_size} px with {filters}; then (x / 255 - mean) / std with "
            f"{numbers}; channels in the order {order}. float32 [batch, {config.image_size}, "
            f"{config.image_size}, 3], or channels first for PyTorch.",
            "- It returns logits for each task, float32 [batch, classes].",
        ]
        lines += [
            f"- {_in_text(task)}: artjax divides the logits by {of:.4f} before the softmax."
            for task in program.tasks
            if (of := program.judge.temperature(task)) is not None
        ]
    lines.append(
        "- artjax itself first converts colours to sRGB, shrinks large scans to "
        f"{about['short_side_px']} px on the shorter side and stores them as JPEG; without that, "
        "probabilities differ slightly."
    )
    return lines


def _data(program: Program, works: Mapping[str, int]) -> list[str]:
    record = program.run.record
    lines = ["## Data", ""]
    lines.append(f"Collection {_in_text(f'{record.collection}/{record.version}')}.")
    sizes = works or {"train": record.train_works}
    lines += ["", "| split | images |", "|---|---|"]
    lines += [f"| {split} | {number:,} |" for split, number in sizes.items()]
    return lines


def _scores(program: Program, evaluated: Mapping[str, dict[str, Any]]) -> list[str]:
    lines = ["## Scores", ""]
    if not evaluated:
        return [*lines, "This checkpoint has not been evaluated."]
    lines += [
        "With 95 % intervals, of this network on other works of the same kind.",
        "",
        "| split | task | images | top-1 | macro-F1 | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for split, result in evaluated.items():
        for task, row in result["tasks"].items():
            # Checkpoint and temperature were chosen on validation: no interval says what it is worth.
            ranges = split == "test"
            cells = [
                split,
                _in_text(task),
                f"{row['n']:,}",
                _with_interval(row, "top1", ranges),
                _with_interval(row, "macro_f1", ranges),
                "–" if row.get("ece") is None else f"{row['ece']:.3f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    if "validation" in evaluated:
        lines += ["", "Checkpoint and temperature were chosen on validation, whose scores flatter."]
    if "test" not in evaluated:
        return [*lines, "", "It has not been evaluated on test."]
    lines.append("")
    if evaluated["test"].get("views") not in (None, program.about()["views"]):
        lines += [f"The scores are of {evaluated['test']['views']} views of each picture.", ""]
    for task, row in evaluated["test"]["tasks"].items():
        known = {name: row["baselines"].get(name) for name in _BASELINES}
        shown = [f"{_BASELINES[name]} {of:.1%}" for name, of in known.items() if of is not None]
        lines.append(f"Top-1 to beat on test, {_in_text(task)}: {'; '.join(shown)}.")
    return lines


def _with_interval(row: Mapping[str, Any], metric: str, ranges: bool) -> str:
    value, interval = row.get(metric), row.get(f"{metric}_ci95")
    if value is None:
        return "–"
    if not ranges or interval is None:
        return f"{value:.1%}"
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _limits(program: Program, evaluated: Mapping[str, dict[str, Any]]) -> list[str]:
    names = ", ".join(
        f"{len(program.run.classes[task]):,} {_in_text(task)}s" for task in program.tasks
    )
    lines = [
        "## Limits",
        "",
        f"- It knows {names}, and answers with one of them for every picture, also for one of "
        "something else. The export does not tell unsure answers or foreign pictures; "
        "`--mode predict` does.",
        "- Scores hold for works like those of the collection: the same kind of scans, the same choice "
        "of works. A probability is no attribution.",
    ]
    for task, row in evaluated.get("test", {}).get("tasks", {}).items():
        worst = sorted(
            (of for of in row.get("by_class", {}).items() if of[1].get("f1") is not None),
            key=lambda item: item[1]["f1"],
        )[:3]
        shown = ", ".join(f"{_in_text(label)} {of['f1']:.2f} ({of['n']})" for label, of in worst)
        if shown:
            lines.append(f"- Lowest F1 on test, {_in_text(task)} (images): {shown}.")
    return lines


def _weights(program: Program) -> list[str]:
    pretrained = program.run.record.pretrained
    lines = ["## Licence and provenance of the weights", ""]
    if not pretrained:
        lines.append("Trained from scratch: no weights of others are in it.")
    else:
        revision = f", revision {pretrained['revision']}" if pretrained.get("revision") else ""
        whose = f" ({pretrained['provenance']})" if pretrained.get("provenance") else ""
        lines.append(
            f"Training started from {_in_text(str(pretrained.get('source', '?')))}{whose}{revision}, "
            f"SHA-256 {pretrained.get('sha256', '?')}."
        )
    if _licence(program) == "unknown":
        lines += ["", "The run records no licence: state one above before you pass the network on."]
    else:
        lines += [
            "",
            f"The licence above, {_licence(program)}, is that of these weights. What was learnt since "
            "is yours to license.",
        ]
    return [*lines, "Rights in the pictures are not recorded here: see the collection's own page."]


def _verified(program: Program, verified: Verified) -> list[str]:
    what = "probability" if program.inside else "logit"
    return [
        "## Verified",
        "",
        f"After the export, on {_in_text(verified.on)}: the largest difference of a {what} from the "
        f"run's own is {verified.largest_difference:.2g} (allowed: {TOLERANCE:g}); the first five "
        "labels are the same, in the same order, for "
        f"{verified.same_top:,} of {verified.answers:,} answers.",
    ]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _in_text(text: str) -> str:
    """Text that Markdown shows as it is: names come from catalogues."""
    marked = "".join(f"\\{c}" if c in r"\`*_[]<>#|" else c for c in text)
    return " ".join(marked.split())
