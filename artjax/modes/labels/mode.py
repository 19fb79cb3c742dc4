"""`--mode labels`: which labels may be wrong, by heads on the features of a frozen trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from artjax.data.works import Split, take
from artjax.errors import ConfigError
from artjax.evaluation import embeddings, label_errors
from artjax.evaluation.label_errors import LabelsToCheck
from artjax.modes.command import Command
from artjax.modes.labels import page
from artjax.modes.labels.heads import cross_validated
from artjax.places import Places
from artjax.setup import open_setup
from artjax.training.features import features_of

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def run(command: Command) -> int:
    """`--mode labels`."""
    config, places = command.config_and_places()
    labels(config, places)
    print(command.next("describe"))
    return 0


def labels(config: ConfigDict, places: Places) -> dict[str, LabelsToCheck]:
    """Ranks the works of all splits by how little their labels are believed; writes `labels/`.

    Every work is predicted by a logistic regression that has not learnt from it, nor from another
    picture of the work or a near-duplicate, on the features of the frozen trunk.

    Args:
      config: the configuration, with its collection; its trunk is frozen and `features.views` is set, as
        in `configs/probe.py`.
      places: the folders; the workdir is made if it is not there.

    Returns:
      By task.

    Raises:
      ConfigError: if the configuration has no features.
      ArtjaxError: if data or weights cannot be opened, or the page not be written.
    """
    if not config.features.views:
        raise ConfigError(
            "--mode labels needs a frozen trunk: --config configs/probe.py:COLLECTION with "
            "--config.model.weights; after a cross-validation (--config.folds=5) the same page is "
            "written without it"
        )
    if config.folds:
        raise ConfigError("--config.folds: --mode labels makes its own folds; leave it out")
    setup = open_setup(config, places, mode="labels", find_batch_size=False)
    say, data = setup.console.say, setup.data
    if setup.weights_learnt_from is not None:
        say(
            "warning: the weights are those of a run: of works that it has learnt from, wrong labels "
            "look right"
        )
    frozen = setup.initial_frozen()
    features = features_of(setup.network, frozen, data, places.features)
    assert features is not None
    splits = list(setup.splits.values())
    seen = [features.seen(split) for split in splits]
    points = np.concatenate([embeddings.unit(take(split.images, split.rows)) for split in seen])
    groups = np.concatenate([data.groups(split) for split in splits])
    found: dict[str, LabelsToCheck] = {}
    for task, names in setup.record.classes.items():
        found[task] = _of_task(splits, task, points, groups, len(names), setup.config.seed)
        for line in label_errors.in_words(task, found[task]):
            say(line)
    near = page.Nearest(_file_names(splits), points)
    folder = places.workdir / "labels"
    page.write(folder, found, page.Collection(data, setup.splits, setup.record.classes), near)
    say(
        f"written to {folder / 'index.html'} and labels.csv: look at them before you believe either"
    )
    return found


def _of_task(
    splits: list[Split],
    task: str,
    points: np.ndarray,
    groups: np.ndarray,
    classes: int,
    seed: int,
) -> LabelsToCheck:
    given = np.concatenate([split.labels[task] for split in splits])
    (known,) = np.nonzero(given >= 0)
    predictions, in_train = cross_validated(
        points[known], given[known], groups[known], classes, seed
    )
    return label_errors.labels_to_check(_file_names(splits)[known], predictions, in_train)


def _file_names(splits: list[Split]) -> np.ndarray[Any, Any]:
    return np.concatenate([split.file_names for split in splits])
