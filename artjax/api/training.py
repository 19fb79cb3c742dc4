"""`artjax.default_config` and `artjax.train`: what the command line does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax import default_collection
from artjax.api.paths import AnyPath, data_dir_of, given
from artjax.api.quiet import quiet_libraries
from artjax.modes.command import Command
from artjax.modes.seeds import train_any
from artjax.places import Places
from artjax.runtime import mesh
from artjax.train import Outcome

if TYPE_CHECKING:
    import jax
    from ml_collections import ConfigDict


def default_config(
    collection: str = "",
    task: str | Sequence[str] = (),
    recipe: str = "artist",
    *,
    settings: Mapping[str, Any] | None = None,
    data_dir: AnyPath | None = None,
) -> ConfigDict:
    """The configuration that `--config configs/RECIPE.py:COLLECTION` gives.

    Fields can be set afterwards too (`config.epochs = 10`). Those that a recipe cannot do without, such
    as `model.weights` of `baumer_chen`, must be given here.

    Args:
      collection: the name of a prepared set, as from `artjax.prepare`; default: the largest collection
        that is prepared, else the synthetic studio, and a line says which.
      task: one label or several, such as `style`; default: that of the recipe.
      recipe: the name of a file in `configs/` (`artist`, `probe`, `finetune` …), or the path of one.
      settings: fields by their name, such as `{"optim.peak_lr": 0.01}`.
      data_dir: TFDS's data directory, where a collection is looked for if none is named; default: TFDS's
        own.

    Raises:
      ConfigError: for an unknown recipe or field, or an invalid value.
    """
    file = recipe if recipe.endswith(".py") else f"configs/{recipe}.py"
    values = dict(settings or {})
    if task:
        values["task"] = (task,) if isinstance(task, str) else tuple(task)
    command = Command(
        "train",
        {
            "config": f"{file}:{collection}" if collection else file,
            "data_dir": data_dir_of(data_dir),
        },
        [(name, str(value)) for name, value in values.items()],
    )
    return command.config()


@quiet_libraries()
def train(
    config: ConfigDict,
    workdir: AnyPath,
    data_dir: AnyPath | None = None,
    canvas_dir: AnyPath | None = None,
    feature_dir: AnyPath | None = None,
    *,
    devices: Sequence[jax.Device] | None = None,
    stop_after_steps: int | None = None,
) -> Outcome:
    """Trains or resumes the run of a workdir, then evaluates its best checkpoint.

    With `config.folds` it trains all folds of a cross-validation. If it is interrupted (Ctrl-C, or the
    stop button of a notebook), it saves a checkpoint and returns; called again, it resumes.

    Args:
      config: the configuration, as from `default_config`. It is not changed.
      workdir: the run's own folder; it is created if it does not exist.
      data_dir: TFDS's data directory; default: TFDS's own.
      canvas_dir: the folder for canvases; default: `data_dir/canvases`.
      feature_dir: the folder for the features of frozen trunks; default: `data_dir/features`.
      devices: default: all devices.
      stop_after_steps: save and return after this total number of steps, to try things out.

    Returns:
      The steps done, whether the run is finished, the signal that stopped it, and for a finished run
      `results`: what `metrics.json` has, for each split (of a cross-validation for `folds`, of several
      seeds for `seeds`).

    Raises:
      ArtjaxError: for an error that you can fix; see `artjax.errors`.
    """
    places = Places(
        Path(workdir).expanduser(), data_dir_of(data_dir), given(canvas_dir), given(feature_dir)
    )
    if config.collection == default_collection.NAME:
        with mesh.first_process_first():
            default_collection.build_if_missing(config.task, places.data_dir, places.canvas_dir)
    return train_any(config, places, devices=devices, stop_after_steps=stop_after_steps)
