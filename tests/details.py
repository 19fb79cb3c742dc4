"""A collection such as museums have: details, second photographs, near-duplicates, unknown labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tiny import encoded, store, tiny_config

from artjax.data import reports
from artjax.data.reports import NearDuplicateRow, SplitRow

LABELS = {
    "artist": ("ada", "bo", "cy"),
    "genre": ("portrait", "seascape", "still life"),
    "period": ("early", "middle", "late"),
}
_WORKS = 90
_IMAGES = (3, 1, 2, 1, 1)  # of a work; the next works have as many again

# Pictures that look the same, each pair of two works. Some are chains, through details of one work and
# through works without a label.
NEAR_DUPLICATES = (
    *(("00b", "07a"), ("07b", "14a")),
    ("03a", "62a"),
    *(("20c", "33a"), ("33a", "46a")),
    *(("41a", "58a"), ("58a", "71a"), ("71a", "88a")),  # the artist of 71 is unknown
    ("25a", "80a"),
    *(("10a", "29a"), ("10b", "53a"), ("10c", "77a")),
)


@dataclass(frozen=True)
class Picture:
    """One image of the collection."""

    file_name: str
    work_id: str
    split: str
    labels: dict[str, int]


def _labels(work: int) -> dict[str, int]:
    return {
        "artist": -1 if work % 11 == 5 else work % 3,
        "genre": work // 3 % 4 - 1,
        "period": -1 if work % 7 == 3 else work // 2 % 3,
    }


PICTURES = tuple(
    Picture(
        f"{work:02d}{'abc'[number]}.jpg",
        f"work {work:02d}",
        {7: "validation", 0: "test", 9: "test"}.get(work % 10, "train"),
        _labels(work),
    )
    for work in range(_WORKS)
    for number in range(_IMAGES[work % len(_IMAGES)])
)


def write_details(
    data_dir: Path, splits: Iterable[str] = ("train", "validation", "test"), seed: int = 0
) -> None:
    """Prepares the collection `details`, with its `near_duplicates.csv`.

    Args:
      data_dir: TFDS's data directory.
      splits: those that it has; the pictures of the others are in train.
      seed: of the colours of the pictures.
    """
    rng = np.random.default_rng(seed)
    examples: dict[str, list[dict[str, Any]]] = {split: [] for split in splits}
    split_of = {}
    for picture in PICTURES:
        split = split_of[picture.file_name] = (
            picture.split if picture.split in examples else "train"
        )
        pixels = rng.integers(0, 256, (12, 16, 3), np.uint8)
        examples[split].append(
            {
                "image": encoded(Image.fromarray(pixels)),
                "file_name": picture.file_name,
                "work_id": picture.work_id,
                **picture.labels,
            }
        )
    store(data_dir, "details", LABELS, examples)
    folder = data_dir / "details" / "1.0.0"
    pairs = [(f"{a}.jpg", f"{b}.jpg") for a, b in NEAR_DUPLICATES]
    rows = [NearDuplicateRow(a, split_of[a], b, split_of[b], 3, 0.99, "artist") for a, b in pairs]
    reports.write_csv(folder / reports.NEAR_DUPLICATES_CSV, NearDuplicateRow._fields, rows)
    placed = [SplitRow(p.file_name, p.work_id, split_of[p.file_name], 16, 12) for p in PICTURES]
    reports.write_csv(folder / reports.SPLITS_CSV, SplitRow._fields, placed)


def details_config(**changes: object) -> ConfigDict:
    """A configuration for this collection; changes as for `tiny_config`."""
    return tiny_config(collection="details", **changes)


def groups() -> dict[str, int]:
    """For each file name the number of its group: a work, its details and all that looks like them."""
    place = {picture.file_name: i for i, picture in enumerate(PICTURES)}
    first_of = {picture.work_id: place[picture.file_name] for picture in reversed(PICTURES)}
    links = [(place[p.file_name], first_of[p.work_id]) for p in PICTURES]
    links += [(place[f"{a}.jpg"], place[f"{b}.jpg"]) for a, b in NEAR_DUPLICATES]
    rows, columns = np.asarray(links).T
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(place), len(place)))
    _, numbers = connected_components(graph, directed=False)
    return {name: int(numbers[i]) for name, i in place.items()}
