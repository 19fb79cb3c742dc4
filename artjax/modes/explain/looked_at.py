"""The page of pictures: what a run answers, where it looks, and which works of train are near."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from artjax import config as config_lib
from artjax.data.works import Split
from artjax.errors import ArtjaxError, DataError
from artjax.evaluation.alike import Near, TrainWorks, embeddings_of
from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import answers_of, judges_of, none_usable, ranked
from artjax.explain import heat_maps, methods_of, overlay
from artjax.modes.explain.page import Page, in_parts
from artjax.modes.predict.screen import shown_path
from artjax.pages.pictures import Picture, save_small, write_pictures
from artjax.prepare.picture_paths import files_of
from artjax.prepare.seeing import Seen, see_all
from artjax.runs import OpenRun, Run, with_data

SHOWN_PX = 384
"""Side of the canvas from which a file is shown: more than small networks see."""
_TOP = 5
_AT_ONCE = 16
_SECONDS_WITHOUT_BAR = 2


class Settings(NamedTuple):
    """What the user may set.

    Attributes:
      views: of each picture, for the answers; None = as the run says.
      of_eval: fields of `eval` in place of the run's own.
      neighbours: works of train that are shown for each picture.
      data_dir: the present data directory, if it is another than in training.
      canvas_dir: the present folder for canvases, if it is another.
    """

    views: int | None
    of_eval: Mapping[str, Any]
    neighbours: int
    data_dir: Path | None
    canvas_dir: Path | None


class Item(NamedTuple):
    """A picture to explain.

    Attributes:
      picture: its small copy.
      seen: its canvas.
      labels: what is known of it, by task.
      file_name: in the collection; empty for a file.
    """

    picture: Picture
    seen: Seen
    labels: Mapping[str, str]
    file_name: str = ""


def of_files(folder: Path, run: Run, paths: Sequence[Path], settings: Settings) -> Page:
    """The page of files and all files in folders.

    Raises:
      DataError: if none of them is usable.
    """
    found = files_of(paths)
    unusable = [(path, reason) for path, reason in found.missing]
    train, why_none = _train_of(run, settings)
    side = config_lib.canvas_size(run.config)

    def items() -> Iterable[Item]:
        sides = sorted({side, SHOWN_PX})
        with closing(see_all(found.files, run.record.short_side_px, sides)) as several:
            for number, (file, seen) in enumerate(zip(found.files, several, strict=True)):
                if seen.reason:
                    unusable.append((file, seen.reason))
                    continue
                path = folder / "pictures" / f"{number:05d}.jpg"
                size = save_small(Image.fromarray(seen.canvases[SHOWN_PX]), seen.aspect, path)
                name = shown_path(file)
                yield Item(Picture(f"pictures/{path.name}", *size, name, ""), seen, {})

    page = _page(folder, run, items(), len(found.files), train, settings, why_none)
    if not page.values["works"] and not page.interrupted:
        raise none_usable([(shown_path(path), reason) for path, reason in unusable])
    problems = [f"{shown_path(path)}: not a usable image: {reason}" for path, reason in unusable]
    failed = any(path in set(paths) for path, _ in unusable)
    return Page(page.template, page.values, page.lines, problems, page.interrupted, failed)


def of_split(folder: Path, run: Run, name: str, count: int, settings: Settings) -> Page:
    """The page of some works of a split, drawn at random by the run's seed."""
    opened = with_data(run, settings.data_dir, settings.canvas_dir)
    split = opened.data.split(name, config_lib.label_features(run.config))
    if not len(split):
        raise DataError(f"the split {name} has no works to explain")
    rng = np.random.default_rng(run.config.seed)
    split = split.only(np.sort(rng.choice(len(split), min(count, len(split)), replace=False)))
    train = TrainWorks.of(opened) if settings.neighbours else None
    small = small_copies(opened, split, folder)
    side = config_lib.canvas_size(run.config)

    def items() -> Iterable[Item]:
        for i in range(len(split)):
            image = split.gather(np.asarray([i]))["image"][0]
            seen = Seen({side: image}, float(split.aspect[i]))
            name = str(split.file_names[i])
            yield Item(small[name], seen, labels_of(run, split, i), name)

    return _page(folder, run, items(), len(split), train, settings)


def small_copies(opened: OpenRun, split: Split, folder: Path) -> dict[str, Picture]:
    """Writes small copies of all works of a split into `folder/pictures`; by file name."""
    (folder / "pictures").mkdir(exist_ok=True)
    feature = opened.run.config.image_feature
    names = split.file_names.tolist()
    return write_pictures(opened.data, {"of": split}, names, feature, folder / "pictures")


def labels_of(run: Run, split: Split, index: int) -> dict[str, str]:
    """The known labels of a work, by task."""
    numbers = {task: int(of_task[index]) for task, of_task in split.labels.items()}
    return {task: run.classes[task][n] for task, n in numbers.items() if n >= 0}


def _train_of(run: Run, settings: Settings) -> tuple[TrainWorks | None, str]:
    """The works of train; where they are not at hand, why: files are explained without them."""
    if not settings.neighbours:
        return None, ""
    try:
        return TrainWorks.of(with_data(run, settings.data_dir, settings.canvas_dir)), ""
    except ArtjaxError as error:
        return None, str(error)


def _page(
    folder: Path,
    run: Run,
    items: Iterable[Item],
    total: int,
    train: TrainWorks | None,
    settings: Settings,
    why_none: str = "",
) -> Page:
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "heat").mkdir()
    judges = judges_of([run], settings.views, settings.of_eval)
    layers: dict[str, str] = {}
    works: list[dict[str, Any]] = []
    interrupted = False
    with tqdm(
        total=total, desc="explaining", unit="picture", delay=_SECONDS_WITHOUT_BAR, disable=None
    ) as bar:
        try:
            for several in in_parts(items, _AT_ONCE):
                works += _explained(folder, run, several, judges, train, settings, layers, works)
                bar.update(len(several))
        except KeyboardInterrupt:
            interrupted = True
    if train is not None:
        _add_pictures(folder, train, works)
    of_all = f" of {total:,}" if interrupted else ""
    lines = [f"{len(works):,}{of_all} pictures explained"]
    lines += [f"{_IN_WORDS[method]}: {layer}" for method, layer in layers.items()]
    if why_none:
        lines.append(f"the nearest works of train are not shown: {why_none}")
    values = {
        "works": works,
        "methods": [(_IN_WORDS[method], layer) for method, layer in layers.items()],
        "size": run.config.image_size,
        "why_none": why_none,
    }
    return Page("looked_at.html", values, lines, interrupted=interrupted)


_IN_WORDS = {
    "gradcam": "Grad-CAM",
    "integrated_gradients": "Integrated Gradients",
    "rollout": "attention rollout",
}


def _explained(
    folder: Path,
    run: Run,
    items: Sequence[Item],
    judges: Sequence[Judge],
    train: TrainWorks | None,
    settings: Settings,
    layers: dict[str, str],
    before: Sequence[Any],
) -> list[dict[str, Any]]:
    """What the page says of some pictures; notes the layer of each method in `layers`."""
    side = config_lib.canvas_size(run.config)
    seen = [item.seen for item in items]
    images = np.stack([one.canvases[side] for one in seen])
    aspect = np.asarray([one.aspect for one in seen])
    answers = answers_of([run], seen, judges)
    near = [()] * len(items) if train is None else _near(run, train, items, settings.neighbours)
    works: list[dict[str, Any]] = [
        {
            "picture": item.picture,
            "unlike": answers.unlikeness is not None and answers.unlikeness[row] > 1,
            "tasks": [],
            "near": [{"of": one, "picture": None} for one in near[row]],
        }
        for row, item in enumerate(items)
    ]
    for position, (task, probabilities) in enumerate(answers.probabilities.items()):
        heats: list[list[dict[str, str]]] = [[] for _ in items]
        first = probabilities.argmax(axis=1)
        for method in methods_of(run.network):
            if method == "rollout" and position:
                continue  # it is the same for all tasks
            found = heat_maps(run, images, first, method, aspect=aspect, task=task)
            layers[method] = found.layer
            for row, item in enumerate(items):
                path = f"heat/{len(before) + row:05d}-{position}-{method}.jpg"
                with Image.open(folder / item.picture.path) as picture:
                    laid = overlay(picture, found.maps[row], found.share)
                laid.save(folder / path, "JPEG", quality=88)
                nothing = "" if found.maps[row].any() else " (nothing speaks for the answer)"
                heats[row].append({"path": path, "caption": _IN_WORDS[method] + nothing})
        unsure = answers.unsure[task]
        for row, item in enumerate(items):
            order = ranked(probabilities[row])[:_TOP]
            truth = item.labels.get(task, "")
            works[row]["tasks"].append(
                {
                    "task": task,
                    "truth": truth,
                    "right": truth == run.classes[task][order[0]],
                    "unsure": unsure is not None and bool(unsure[row]),
                    "answers": [
                        (run.classes[task][c], float(probabilities[row, c])) for c in order
                    ],
                    "heats": heats[row],
                }
            )
    return works


def _near(run: Run, train: TrainWorks, items: Sequence[Item], count: int) -> list[tuple[Near, ...]]:
    """The nearest works of train; a work of train is not its own neighbour."""
    queries = embeddings_of(run, [item.seen for item in items])
    return [
        tuple(one for one in found if one.file_name != item.file_name)[:count]
        for item, found in zip(items, train.near(queries, count + 1), strict=True)
    ]


def _add_pictures(folder: Path, train: TrainWorks, works: Sequence[dict[str, Any]]) -> None:
    """Small copies of all works that are near, each written once."""
    (folder / "near").mkdir()
    names = {near["of"].file_name for work in works for near in work["near"]}
    feature = train.opened.run.config.image_feature
    pictures = write_pictures(
        train.opened.data, {"train": train.split}, names, feature, folder / "near"
    )
    for work in works:
        for near in work["near"]:
            near["picture"] = pictures[near["of"].file_name]
