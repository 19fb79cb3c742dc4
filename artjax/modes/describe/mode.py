"""`--mode describe`: a page that shows what a collection holds, before a network is trained on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax import pages
from artjax.data import reports
from artjax.data.works import Split
from artjax.modes.command import Command
from artjax.modes.describe import page
from artjax.modes.describe.numbers import near_duplicate_rows, near_duplicate_summary, numbers_of
from artjax.modes.describe.seen import seen_of, write_seen
from artjax.pages.pictures import write_pictures
from artjax.places import Places
from artjax.setup import open_setup

PICTURES_PER_CLASS = 12


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
    if setup.nominal_batch_size:  # the page says that it is not known yet
        config = config_lib.changed(config, {"batch_size": 0})
    features = config_lib.label_features(config)
    near_duplicates = near_duplicate_rows(config, data, splits)
    summary = numbers_of(config, data, splits) | {
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
        for row in near_duplicates[: page.MOST_NEAR_DUPLICATES]
        for name in (row.file_name, row.near_duplicate)
    }
    train = splits["train"]
    seen = seen_of(config, train, setup.network.preprocessing)
    wanted |= {str(train.file_names[work]) for work in seen.works}
    with pages.replaced_folder(places.workdir / "describe") as folder:
        for name in ("pictures", "seen"):
            (folder / name).mkdir()
        pictures = write_pictures(data, splits, wanted, config.image_feature, folder / "pictures")
        works = write_seen(seen, train, folder / "seen")
        reports.copy_reports(data.reports, folder)
        html = page.render(
            summary, sheets, near_duplicates, splits, pictures, class_names, config, works
        )
        (folder / "index.html").write_text(html, encoding="utf-8")
        text = json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / "summary.json").write_text(text, encoding="utf-8")
    return summary


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
