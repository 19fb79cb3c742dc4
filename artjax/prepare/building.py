"""Builds a collection with its builder in `datasets/`, which an installed artjax has as well."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.config import nearest
from artjax.data import collections, prepared
from artjax.data.prepared import Prepared
from artjax.errors import ArtjaxError, ConfigError, DataError
from artjax.places import bundled

if TYPE_CHECKING:  # TFDS is imported only to build
    from artjax.prepare.builder import WorksBuilder


def build(
    name: str,
    pictures: Path | None,
    data_dir: Path,
    config: str | Mapping[str, Any] = "",
    overwrite: bool = False,
    spelling: Mapping[str, str] | None = None,
) -> list[Prepared]:
    """Does what `tfds build datasets/NAME` does, wherever artjax is installed.

    Args:
      name: of the collection, such as `collection` or `wikiart`.
      pictures: the folder with the pictures; None for a collection that draws its own.
      data_dir: TFDS's data directory.
      config: the builder's config by name, or its settings, as JSON or as a mapping with a `name`.
        Without it, all that the builder lists are built.
      overwrite: whether to build again what is there.
      spelling: what the caller calls the flags of `tfds build`, which the builders' messages name.

    Returns:
      What is prepared now, for each config.

    Raises:
      ConfigError: for an unknown collection, config or setting.
      DataError: if the pictures are missing, or cannot be used.
    """
    builder, entry = load_builder(name), collections.find(name)
    assert entry is not None  # `load_builder` has found it
    if entry.manual_dir and pictures is None:
        raise ConfigError(f"the collection '{name}' needs the folder with its pictures")
    if not entry.manual_dir and pictures is not None:
        raise ConfigError(f"the collection '{name}' draws its own pictures; leave {pictures} out")
    if pictures is not None and not pictures.is_dir():
        kind = "is not a folder" if pictures.exists() else "does not exist"
        raise DataError(f"the folder with the pictures, {pictures}, {kind}")
    # A builder that fails replaces it, for TFDS's own program. Here the caller decides.
    hook = sys.excepthook
    try:
        return [
            _build_one(builder, pictures, data_dir, of, overwrite)
            for of in _configs(builder, config)
        ]
    except ArtjaxError as error:
        message = str(error)
        for flag, word in (spelling or {}).items():
            message = message.replace(flag, word)
        raise type(error)(message) from error
    finally:
        sys.excepthook = hook


def load_builder(name: str) -> type[WorksBuilder]:
    """The class of the builder in `datasets/NAME`.

    It is loaded from its file, because another package may have the name of the collection. The module
    is called as TFDS calls it, which writes that name into the prepared data.

    Raises:
      ConfigError: for an unknown collection.
    """
    if name not in (valid := collections.names()):
        raise ConfigError(
            f"unknown collection '{name}': valid are {', '.join(valid)}{nearest(name, valid)}"
        )
    module_name = f"{name}.{name}_dataset_builder"
    file = bundled() / "datasets" / name / f"{name}_dataset_builder.py"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None  # its name ends with .py
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # TFDS looks the class up by it
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    builder: type[WorksBuilder] = module.Builder
    if builder.__module__ == module_name and "code_path" not in vars(builder):
        import tensorflow_datasets as tfds

        # TFDS would import the package `NAME`, to find README.md and the others beside the module.
        builder.code_path = tfds.core.Path(file)
        builder.pkg_dir_path = tfds.core.Path(file.parent)
    return builder


def _configs(builder: type[WorksBuilder], config: str | Mapping[str, Any]) -> list[Any]:
    """What `Builder(config=…)` takes, for each set to build."""
    if not config:
        return [known.name for known in builder.BUILDER_CONFIGS] or [None]
    if not builder.BUILDER_CONFIGS:
        raise ConfigError(f"the collection '{builder.name}' has no configs; leave {config} out")
    if isinstance(config, str) and not config.startswith("{"):
        return [config]
    try:
        settings = json.loads(config) if isinstance(config, str) else dict(config)
    except ValueError as error:
        raise ConfigError(f"the builder's config {config} is not valid JSON: {error}") from error
    return [builder.builder_config_cls(**settings)]


def _build_one(
    builder_class: type[WorksBuilder],
    pictures: Path | None,
    data_dir: Path,
    config: Any,
    overwrite: bool,
) -> Prepared:
    import tensorflow_datasets as tfds

    builder = builder_class(config=config, data_dir=data_dir)
    if overwrite and builder.is_prepared():
        builder.data_path.rmtree()
        builder = builder_class(config=config, data_dir=data_dir)
    settings = tfds.download.DownloadConfig(manual_dir=pictures)
    builder.download_and_prepare(download_config=settings)
    print(repr(builder.info), flush=True)
    return prepared.read(Path(builder.data_dir), data_dir)
