"""The works on the pages of the report: their small copies, and where the network looked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from artjax.data.works import take
from artjax.evaluation import train_embeddings
from artjax.evaluation.alike import TrainWorks
from artjax.evaluation.evaluate import Evaluated
from artjax.explain import heat_maps, overlay
from artjax.pages.pictures import Picture, write_pictures
from artjax.report.sections import Section
from artjax.report.works import Bar, TaskWorks, bars_of
from artjax.runs import OpenRun, Run

MOST_PICTURES = 400
"""Small copies of works in a report, of all tasks together: about 5 MB."""

MOST_EXPLAINED = 48
"""Works with a heat map and neighbours, of all tasks together: a large network takes up to a second for
each on a CPU."""

_NEAREST = 3

RunOf = Callable[[int], Run | None]
"""The run of a part, by its number; None where several networks answered as one."""

Explained = tuple[Section, int]
"""A task, and the number of a work in it."""


class Near(NamedTuple):
    """A train work that the network sees near a work: name, class, cosine of the embeddings, picture."""

    file_name: str
    label: str
    similarity: float
    picture: Picture | None = None


class Shown(NamedTuple):
    """A work as the pages show it.

    Attributes:
      file_name: its unique key.
      label: its class.
      named: the class that it was named.
      probability: of that one, in [0, 1].
      right: whether they are the same.
      bars: its most probable classes.
      picture: None beyond `MOST_PICTURES`.
      heat: the picture with the heat map, its path relative to the page; None where there is none.
      nearest: the train works that the network sees nearest to it; empty where these are not known.
    """

    file_name: str
    label: str
    named: str
    probability: float
    right: bool
    bars: list[Bar]
    picture: Picture | None
    heat: str | None
    nearest: Sequence[Near]


class Gallery(NamedTuple):
    """All works that the pages show.

    Attributes:
      works: by task and by their number in it.
      pictures: how many have a picture.
      heat_maps: how many have a heat map.
      method: of the heat maps, in words; or why there is none.
    """

    works: Mapping[str, Mapping[int, Shown]]
    pictures: int
    heat_maps: int
    method: str


def gallery_of(
    sections: Sequence[Section],
    parts: Sequence[Evaluated],
    run_of: RunOf,
    folder: Path,
    opened: OpenRun | None = None,
) -> Gallery:
    """Writes the pictures of the works that the pages show.

    Args:
      sections: of all tasks.
      parts: what was evaluated.
      run_of: the networks, for the heat maps.
      folder: of the pages; pictures are written into folders of it.
      opened: the run of the only part, with which the nearest train works are found.
    """
    explained = _in_turn([(of, i) for i in of.chosen.explained] for of in sections)
    explained = [(of, i) for of, i in explained if of.works.predictions.finite[i]][:MOST_EXPLAINED]
    near = {} if opened is None else _nearest(explained, parts[0], opened)
    pictures = _pictures(sections, parts, explained, near, folder / "pictures")
    try:
        heat, method = _heat_maps(explained, parts, run_of, pictures, folder)
    except Exception as error:  # too little memory, say: the rest of the page needs none of it
        heat, method = {}, f"There are no heat maps: {reason_of(error)}."
    works = {
        of.name: {
            i: _shown(of, i, pictures, heat.get((of.name, i)), near.get((of.name, i), ()))
            for i in of.chosen.all
        }
        for of in sections
    }
    return Gallery(works, len(pictures), len(heat), method)


def reason_of(error: Exception) -> str:
    """Why something went wrong, in a line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _in_turn(by_task: Iterable[Sequence[Explained]]) -> list[Explained]:
    """The first of each task, the second of each …"""
    return [of for of_rank in zip_longest(*by_task) for of in of_rank if of is not None]


def _nearest(
    explained: Sequence[Explained], part: Evaluated, opened: OpenRun
) -> dict[tuple[str, int], list[Near]]:
    """The nearest train works of those that are explained, by task and work."""
    run = opened.run
    # Without kept ones it would be a pass over all of train.
    kept = train_embeddings.kept(run.workdir, run.step) is not None
    if not kept or part.split.name == "train" or not explained:
        return {}
    indices = np.asarray([of.works.place[i] for of, i in explained])
    queries = train_embeddings.of_works(opened, part.split, indices)
    found = TrainWorks.of(opened).near(queries, _NEAREST)
    return {
        (of.name, i): [
            Near(near.file_name, near.labels.get(of.name, "unknown"), near.similarity)
            for near in of_work
        ]
        for (of, i), of_work in zip(explained, found, strict=True)
    }


def _pictures(
    sections: Sequence[Section],
    parts: Sequence[Evaluated],
    explained: Sequence[Explained],
    near: Mapping[tuple[str, int], Sequence[Near]],
    folder: Path,
) -> Mapping[str, Picture]:
    """Small copies of the works that are shown, by file name, the most telling first."""
    of_cells = _in_turn([(of, i) for i in of.chosen.all] for of in sections)
    wanted = [str(of.works.file_names[i]) for of, i in explained]
    wanted += [of.file_name for of_work in near.values() for of in of_work]
    wanted += [str(of.works.file_names[i]) for of, i in of_cells]
    splits = {str(number): part.split for number, part in enumerate(parts)}
    if near:
        splits["train"] = parts[0].train
    data = parts[0].data
    folder.mkdir()
    chosen = list(dict.fromkeys(wanted))[:MOST_PICTURES]
    return write_pictures(data, splits, chosen, data.image_feature, folder)


def _heat_maps(
    explained: Sequence[Explained],
    parts: Sequence[Evaluated],
    run_of: RunOf,
    pictures: Mapping[str, Picture],
    folder: Path,
) -> tuple[dict[tuple[str, int], str], str]:
    """Pictures with the heat map of the class that they were named, by task and work; and the method."""
    written: dict[tuple[str, int], str] = {}
    said = ""
    sections = list({of.name: of for of, _ in explained}.values())
    for number, part in enumerate(parts):
        run = None
        for of in sections:
            own = [i for section, i in explained if section is of and of.works.part[i] == number]
            chosen = [i for i in own if of.works.file_names[i] in pictures]
            if not chosen or (run := run or run_of(number)) is None:
                continue
            rows, split = of.works.place[chosen], part.split
            found = heat_maps(
                run,
                take(split.images, split.rows[rows]),
                of.works.predictions.predicted[chosen],
                aspect=split.aspect[rows],
                task=of.name,
            )
            said = f"{_METHOD} (Grad-CAM, layer {found.layer})."
            for i, heat in zip(chosen, found.maps, strict=True):
                path = f"heat/{len(written):05d}.jpg"
                _save(folder, pictures[str(of.works.file_names[i])], heat, found.share, path)
                written[of.name, i] = path
    return written, said


_METHOD = (
    "Beside a picture stands where the network looked to name it so: what is yellow and red spoke for "
    "the class, and what is pale the network did not see"
)


def _save(folder: Path, picture: Picture, heat: np.ndarray, share: float, path: str) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    with Image.open(folder / picture.path) as image:
        overlay(image, heat, share).save(folder / path, "JPEG", quality=85)


def _shown(
    section: Section,
    i: int,
    pictures: Mapping[str, Picture],
    heat: str | None,
    near: Sequence[Near],
) -> Shown:
    works: TaskWorks = section.works
    label, named = works.predictions.labels[i], works.predictions.predicted[i]
    name = str(works.file_names[i])
    return Shown(
        name,
        works.names[label],
        works.names[named] if named >= 0 else "no finite output",
        float(works.probability[i]),
        bool(label == named),
        bars_of(works, i),
        pictures.get(name),
        heat,
        [of._replace(picture=pictures.get(of.file_name)) for of in near],
    )
