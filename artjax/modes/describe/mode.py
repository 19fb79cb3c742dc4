"""`--mode describe`: a page that shows what a collection holds, before a network is trained on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax import pages
from artjax import workdir as workdir_lib
from artjax.data import canvases, reports
from artjax.data.canvases import Split
from artjax.data.splits import SPLITS
from artjax.models import family_of
from artjax.modes.describe import page
from artjax.modes.describe.numbers import near_duplicate_rows, near_duplicate_summary, numbers_of
from artjax.modes.describe.pictures import write_pictures
from artjax.modes.describe.seen import seen_of, write_seen
from artjax.training.checks import check_config
from artjax.training.experiment import preprocessing_of

PICTURES_PER_CLASS = 12


def describe(
    config: ConfigDict, workdir: Path, data_dir: Path, canvas_dir: Path | None = None
) -> dict[str, Any]:
    """Writes `describe/index.html`, its pictures and `describe/summary.json` into a workdir.

    The pictures of "What the network sees" are the input of step 0 of a run with this configuration.

    The page needs no server and no network. It replaces an older one only when it is complete.

    Args:
      config: the configuration, with its collection.
      workdir: made if it is not there.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.

    Returns:
      What `summary.json` holds.

    Raises:
      ArtjaxError: if the configuration is invalid, the collection is missing or lacks a label, or the
        page cannot be written.
    """
    check_config(config)
    previous = None if config.batch_size else workdir_lib.read_config(workdir)
    if previous is not None:  # the size that the run found for auto
        config = config_lib.with_batch_size(config, previous.batch_size)
    data = canvases.open_collection(
        canvases.Request(**config_lib.collection_settings(config)), data_dir, canvas_dir
    )
    features = config_lib.label_features(config)
    splits = {name: data.split(name, features) for name in SPLITS}
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
    preprocessing = preprocessing_of(config, family_of(config.model.name).preprocessing)
    seen = seen_of(config, train, preprocessing)
    wanted |= {str(train.file_names[work]) for work in seen.works}
    with pages.replaced_folder(workdir / "describe") as folder:
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
