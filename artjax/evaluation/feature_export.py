"""The features of a whole collection as two files for other programs: an array, and a table of works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from artjax import config as config_lib
from artjax.data.canvases import Canvases
from artjax.data.joined import JoinedImages
from artjax.data.reports import write_csv
from artjax.data.splits import SPLITS
from artjax.data.works import Split
from artjax.errors import ConfigError, WorkdirError
from artjax.evaluation import train_embeddings
from artjax.evaluation.embeddings import outputs_of
from artjax.files import replacing
from artjax.runs import OpenRun, folds_in, open_run, runs_in

FEATURES_NPY, WORKS_CSV = "features.npy", "works.csv"


def export_features(
    workdir: Path,
    folder: Path,
    which: str = "best",
    data_dir: Path | None = None,
    canvas_dir: Path | None = None,
) -> tuple[int, int]:
    """Writes `features.npy` and `works.csv`: row i of both is the same work.

    All works of the collection of training are there, also those without a label. `features.npy` is
    float16 [N, C]: the outputs of the last stage of the network for each work as evaluation sees it,
    flattened where they have a height and a width. Those that the run has kept are not computed again.
    `works.csv` has the file name, the work id, the split, the year and every label of the collection;
    what is unknown is empty. The split is that of the run; of a cross-validation the fold that tests the
    work.

    Args:
      workdir: of a run; or of a cross-validation whose trunk is frozen, so that all folds have the same.
      folder: made if it is not there.
      which: the checkpoint, `best` by validation or `last`.
      data_dir: the present data directory, if it differs from that of training.
      canvas_dir: the present folder for canvases, if it differs.

    Returns:
      N and C.

    Raises:
      ConfigError: for several runs with networks of their own.
      WorkdirError: if there is no checkpoint, the data has changed since training, or the files cannot
        be written.
      DataError: if the data cannot be found.
    """
    members = runs_in(workdir)
    opened = open_run(members[0], which, data_dir, canvas_dir)
    frozen = opened.run.network.freezes_trunk
    if len(members) > 1 and not (frozen and folds_in(workdir)):
        raise ConfigError(
            f"features are those of one network, and {workdir} has {len(members)}; give one of them: "
            f"--workdir {members[0]}"
        )
    rest = [open_run(member, which, data_dir, canvas_dir) for member in members[1:]]
    works = _all_works(opened.data)
    columns = _columns(opened.data, works, _splits_of([opened, *rest]))
    outputs = _outputs(opened, works)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / FEATURES_NPY) as partial, partial.open("wb") as file:
            np.save(file, outputs)
        with replacing(folder / WORKS_CSV) as partial:
            write_csv(partial, list(columns), zip(*columns.values(), strict=True))
    except OSError as error:
        raise WorkdirError(f"cannot write into {folder}: {error.strerror or error}") from error
    return outputs.shape[0], outputs.shape[1]


def _all_works(data: Canvases) -> Split:
    """All works of a collection in the order of its canvases, without labels."""
    names = sorted(data.prepared.splits)
    tables = [data.columns(name) for name in names]
    columns = {
        key: np.concatenate([table[key] for table in tables])
        for key in ("aspect", "file_name", "year", "work_id")
    }
    return Split(
        name="all",
        images=JoinedImages([data.images(name) for name in names]),
        rows=np.arange(data.works),
        aspect=columns["aspect"],
        labels={},
        file_names=columns["file_name"],
        years=columns["year"],
        work_ids=columns["work_id"],
    )


def _splits_of(opened: Sequence[OpenRun]) -> dict[str, str]:
    """The split of each work by its file name; of several folds the one that tests it."""
    splits: dict[str, str] = {}
    for number, one in enumerate(opened):
        labels = config_lib.label_features(one.run.config)
        for name in ("test",) if len(opened) > 1 else SPLITS:
            of = f"fold{number}" if len(opened) > 1 else name
            splits |= dict.fromkeys(one.data.split(name, labels).file_names.tolist(), of)
    return splits


def _columns(data: Canvases, works: Split, splits: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns of the table, by their names."""
    tables = [data.columns(name) for name in sorted(data.prepared.splits)]
    files = works.file_names.tolist()
    columns = {
        "file_name": files,
        "work_id": works.work_ids.tolist(),
        "split": [splits.get(file, "") for file in files],
        "year": ["" if year < 0 else str(year) for year in works.years.tolist()],
    }
    for label, names in data.prepared.labels.items():
        values = np.concatenate([table[f"label/{label}"] for table in tables]).tolist()
        columns[label] = [names[value] if value >= 0 else "" for value in values]
    return columns


def _outputs(opened: OpenRun, works: Split) -> np.ndarray:
    """The outputs of the last stage, float16 [N, C]."""
    seen = train_embeddings.as_features(opened, works)
    parts = outputs_of(opened.run.network, opened.run.variables, seen)
    outputs = np.concatenate([part.reshape(len(part), -1) for part in parts])
    return outputs.astype(np.float16, copy=False)
