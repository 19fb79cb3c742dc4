"""`--mode describe`: a page that shows what is in a collection before a network is trained on it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from ml_collections import ConfigDict

from artjax import config as config_lib
from artjax import workdir as workdir_lib
from artjax.data import canvases, reports
from artjax.data.canvases import Split
from artjax.data.reports import TwinRow
from artjax.data.splits import SPLITS
from artjax.describe.numbers import summarise, twin_rows, twin_summary
from artjax.describe.pictures import Picture, write_pictures
from artjax.describe.views import View, in_words, seen_of, write_views
from artjax.errors import WorkdirError
from artjax.training.checks import check_config

PICTURES_PER_CLASS = 12
MOST_TWINS_SHOWN = 100


def describe(
    config: ConfigDict, workdir: Path, data_dir: Path, canvas_dir: Path | None = None
) -> dict[str, Any]:
    """Writes `describe/index.html`, its pictures and `describe/summary.json` into a workdir.

    The pictures of "What the network sees" are the input of step 0 of a run with this configuration.

    The page needs no server and no network. It is written beside an older one, which it then replaces.

    Args:
      config: the configuration, with its collection.
      workdir: made if it is not there.
      data_dir: TFDS's data directory.
      canvas_dir: where canvases are kept; default `data_dir/canvases`.

    Returns:
      What `summary.json` holds.

    Raises:
      ArtjaxError: if the configuration cannot be meant, the collection is not there or lacks a label, or
        the page cannot be written.
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
    twins = twin_rows(config, data, splits)
    summary = summarise(config, data, splits) | {
        "twins": twin_summary(twins),
        "augment": config.augment.to_dict(),
    }
    # Those that falsify a number first, then those that falsify a label.
    twins.sort(key=lambda row: (row.split == row.twin_split, not row.conflict, row.file_name))
    class_names = {task: data.prepared.labels[feature] for task, feature in features.items()}
    sheets = {task: _sheets(task, summary, splits, names) for task, names in class_names.items()}
    wanted = {name for of_task in sheets.values() for names in of_task.values() for name in names}
    wanted |= {name for row in twins[:MOST_TWINS_SHOWN] for name in (row.file_name, row.twin)}
    train = splits["train"]
    seen = seen_of(config, train)
    wanted |= {str(train.file_names[work]) for work in seen.works}
    folder = workdir / "describe"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="describe.incomplete-", dir=workdir))
        try:
            for name in ("pictures", "views"):
                (partial / name).mkdir()
            pictures = write_pictures(
                data, splits, wanted, config.image_feature, partial / "pictures"
            )
            views = write_views(seen, train, partial / "views")
            for name in (reports.SKIPPED, reports.PLACED, reports.TWINS):
                if (data.reports / name).is_file():
                    shutil.copyfile(data.reports / name, partial / name)
            (partial / "index.html").write_text(
                _page(summary, sheets, twins, splits, pictures, class_names, config, views),
                encoding="utf-8",
            )
            text = json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
            (partial / "summary.json").write_text(text, encoding="utf-8")
            partial.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise WorkdirError(f"cannot write {folder}: {error.strerror or error}") from error
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


def _page(
    summary: Mapping[str, Any],
    sheets: Mapping[str, Mapping[str, Sequence[str]]],
    twins: Sequence[TwinRow],
    splits: Mapping[str, Split],
    pictures: Mapping[str, Picture],
    class_names: Mapping[str, Sequence[str]],
    config: ConfigDict,
    views: Sequence[View],
) -> str:
    shown = {row.file_name for row in twins} | {row.twin for row in twins}
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
        loader=jinja2.PackageLoader("artjax", "describe"),
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
        twins=twins[:MOST_TWINS_SHOWN],
        labels=labels,
        pictures=pictures,
        splits=SPLITS,
        config=config,
        views=views,
        augmentations=in_words(config.augment),
    )
