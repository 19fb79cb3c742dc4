"""`--mode describe`: a page that shows what a collection holds, before a network is trained on it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax.data import reports
from artjax.data.canvases import Split
from artjax.data.reports import NearDuplicateRow
from artjax.data.splits import SPLITS
from artjax.errors import WorkdirError
from artjax.modes.command import Command
from artjax.modes.describe.numbers import near_duplicate_rows, near_duplicate_summary, summarise
from artjax.modes.describe.pictures import Picture, write_pictures
from artjax.modes.describe.views import View, augmentations_in_words, seen_of, write_views
from artjax.places import Places
from artjax.setup import open_setup

PICTURES_PER_CLASS = 12
MOST_NEAR_DUPLICATES_SHOWN = 100


def run(command: Command) -> int:
    """`--mode describe`."""
    config, places = command.config_and_places()
    for task, row in describe(config, places)["tasks"].items():
        colour = row["colour_histograms"]
        test = f"{colour['test_top1']:.1%}" if colour else "not measured"
        majority = row["majority_top1"].get("test", float("nan"))
        print(
            f"{task}: {len(row['classes'])} classes; test top-1 by chance {row['chance']:.1%}, always "
            f"'{row['majority_class']}' {majority:.1%}, by colour histograms {test}"
        )
    print(f"written to {places.workdir / 'describe' / 'index.html'}")
    print(command.next("check"))
    return 0


def describe(config: ConfigDict, places: Places) -> dict[str, Any]:
    """Writes `describe/index.html`, its pictures and `describe/summary.json` into a workdir.

    The pictures of "What the network sees" are the input of step 0 of a run with this configuration.

    The page needs no server and no network. It replaces an older one only when it is complete.

    Args:
      config: the configuration, with its collection.
      places: the folders; the workdir is made if it is not there.

    Returns:
      What `summary.json` holds.

    Raises:
      ArtjaxError: if the configuration is invalid, the collection is missing or lacks a label, or the
        page cannot be written.
    """
    setup = open_setup(config, places, mode="describe", find_batch_size=False)
    config, data, splits = setup.config, setup.data, setup.splits
    features = config_lib.label_features(config)
    near_duplicates = near_duplicate_rows(config, data, splits)
    summary = summarise(config, data, splits) | {
        "near_duplicates": near_duplicate_summary(near_duplicates),
        "augment": config.augment.to_dict(),
    }
    # First the pairs that falsify a number, then those that falsify a label.
    near_duplicates.sort(
        key=lambda row: (row.split == row.near_duplicate_split, not row.conflict, row.file_name)
    )
    class_names = {task: data.prepared.labels[feature] for task, feature in features.items()}
    sheets = {task: _sheets(task, summary, splits, names) for task, names in class_names.items()}
    wanted = {name for of_task in sheets.values() for names in of_task.values() for name in names}
    wanted |= {
        name
        for row in near_duplicates[:MOST_NEAR_DUPLICATES_SHOWN]
        for name in (row.file_name, row.near_duplicate)
    }
    train = splits["train"]
    seen = seen_of(config, setup.network.preprocessing, train)
    wanted |= {str(train.file_names[work]) for work in seen.works}
    with _replaced(places.workdir / "describe") as folder:
        for name in ("pictures", "views"):
            (folder / name).mkdir()
        pictures = write_pictures(data, splits, wanted, config.image_feature, folder / "pictures")
        views = write_views(seen, train, folder / "views")
        reports.copy_reports(data.reports, folder)
        page = _page(summary, sheets, near_duplicates, splits, pictures, class_names, config, views)
        (folder / "index.html").write_text(page, encoding="utf-8")
        text = json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / "summary.json").write_text(text, encoding="utf-8")
    return summary


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new, empty folder, which takes the place of `folder` if the block ends without an error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.incomplete-", dir=folder.parent))
        try:
            yield partial
            partial.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise WorkdirError(f"cannot write {folder}: {error.strerror or error}") from error


def _sheets(
    task: str, summary: Mapping[str, Any], splits: Mapping[str, Split], names: Sequence[str]
) -> dict[str, list[str]]:
    """For each class, the file names that its contact sheet shows, spread over all its works."""
    sheets = {}
    for row in summary["tasks"][task]["classes"]:
        number = names.index(row["name"])
        of_class = [
            str(name)
            for split in splits.values()
            for name in split.file_names[split.labels[task] == number]
        ]
        places = np.linspace(0, len(of_class) - 1, min(len(of_class), PICTURES_PER_CLASS))
        sheets[row["name"]] = [of_class[round(place)] for place in places]
    return sheets


def _page(
    summary: Mapping[str, Any],
    sheets: Mapping[str, Mapping[str, Sequence[str]]],
    near_duplicates: Sequence[NearDuplicateRow],
    splits: Mapping[str, Split],
    pictures: Mapping[str, Picture],
    class_names: Mapping[str, Sequence[str]],
    config: ConfigDict,
    views: Sequence[View],
) -> str:
    shown = {row.file_name for row in near_duplicates} | {
        row.near_duplicate for row in near_duplicates
    }
    shown |= {view.file_name for view in views} | {view.partner for view in views}
    labels = {
        str(name): ", ".join(
            names[split.labels[task][i]] if split.labels[task][i] >= 0 else "unknown"
            for task, names in class_names.items()
        )
        for split in splits.values()
        for i, name in enumerate(split.file_names)
        if name in shown
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("artjax.modes", "describe"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    environment.filters["count"] = lambda number: f"{number:,}"
    return environment.get_template("page.html").render(
        summary=summary,
        sheets=sheets,
        near_duplicates=near_duplicates[:MOST_NEAR_DUPLICATES_SHOWN],
        labels=labels,
        pictures=pictures,
        splits=SPLITS,
        config=config,
        views=views,
        augmentations=augmentations_in_words(config.augment),
    )
