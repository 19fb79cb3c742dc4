"""Opens what a new run would start from, for the modes that try it out without being one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jax

from artjax import workdir as workdir_lib
from artjax.errors import ConfigError, WorkdirError
from artjax.runtime import mesh as mesh_lib
from artjax.train import Setup, set_up
from artjax.training.checks import check_config
from artjax.training.logs import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_collections import ConfigDict


def open_trial(
    config: ConfigDict,
    workdir: Path,
    data_dir: Path,
    canvas_dir: Path | None = None,
    feature_dir: Path | None = None,
    *,
    mode: str,
    devices: Sequence[jax.Device] | None = None,
) -> Setup:
    """The data, the network and the pretrained weights of a run that has not begun.

    A run that the workdir holds already is neither read nor changed, except that an automatic batch size
    is the one that it found.

    Args:
      config: the configuration, with its collection. Of a cross-validation, the first fold is opened.
      workdir: the run's folder; it need not exist.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; default `data_dir/canvases`.
      feature_dir: the folder for features; default `data_dir/features`.
      mode: name of the mode, for messages; a folder of the workdir has the same name.
      devices: the devices to use; default: all devices.

    Raises:
      ConfigError: if the configuration is invalid, or there are several processes.
      ArtjaxError: as `train` does, if data or weights cannot be opened.
    """
    check_config(config)
    if jax.process_count() > 1:
        raise ConfigError(f"--mode {mode} is for one process; leave --coordinator out")
    config = type(config)(config.to_dict())
    if config.batch_size == 0:
        previous = workdir_lib.read_config(workdir)
        config.batch_size = previous.batch_size if previous is not None else 0
    if config.folds and config.fold < 0:
        config.fold = 0
    mesh = mesh_lib.create_mesh(config.fsdp, devices)
    mesh_lib.check_batch_size(config.batch_size, mesh, config.accumulate)
    # In its own folder, where no run is, so that pretrained weights are read as for a new one.
    folder = workdir / mode
    return set_up(config, folder, data_dir, canvas_dir, feature_dir, mesh, Console(enabled=True))


def write_files(folder: Path, texts: dict[str, str]) -> None:
    """Writes text files into a folder, each atomically.

    Raises:
      WorkdirError: if they cannot be written.
    """
    for name, text in texts.items():
        try:
            workdir_lib.write_atomically(folder / name, text)
        except OSError as error:
            raise WorkdirError(
                f"cannot write {folder / name}: {error.strerror or error}"
            ) from error
