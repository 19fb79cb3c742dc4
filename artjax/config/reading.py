"""Configurations from files, the command line and JSON, and what differs between two of them."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.config.fields import FIELDS, leaves, set_field
from artjax.errors import ConfigError

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def load_config_file(path: str | Path, collection: str) -> ConfigDict:
    """Runs `get_config(collection)` of the Python file at `path`.

    Raises:
      ConfigError: if there is no such file, or it has no `get_config`.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        there = f"; {path.parent}/ has {', '.join(beside)}" if beside else ""
        raise ConfigError(f"no config file {path}{there}")
    spec = importlib.util.spec_from_file_location(f"artjax_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file: give one like configs/artist.py")
    module = importlib.util.module_from_spec(spec)
    # So that it can say `from configs import common`, wherever the command is called.
    sys.path.insert(0, str(path.resolve().parents[1]))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{path} defines no get_config(collection): see configs/artist.py")
    config: ConfigDict = module.get_config(collection)
    config.collection = collection
    return config


def apply_overrides(config: ConfigDict, overrides: Iterable[tuple[str, str]]) -> None:
    """Sets fields from text, in place.

    Args:
      config: the configuration to change.
      overrides: pairs of dotted field name and value as typed, such as ("optim.peak_lr", "0.1").

    Raises:
      ConfigError: for an unknown field (with the nearest name) or a value of the wrong type.
    """
    for name, text in overrides:
        if name == "collection":
            raise ConfigError("the collection is given as --config FILE.py:COLLECTION")
        field = FIELDS.get(name)
        if field is None:
            raise ConfigError(f"unknown config field --config.{name}{_nearest_field(name)}")
        set_field(config, name, _parse(name, text, field.default))
        if field.excludes:  # a duration in steps replaces the default in epochs, and the reverse
            other = FIELDS[field.excludes]
            set_field(config, other.name, type(other.default)(0))


def _nearest_field(name: str) -> str:
    """`; did you mean X?` for a field that people know by this name, or whose name is like it."""
    leaf = name.rpartition(".")[2]
    known_as = next((field.name for field in FIELDS.values() if leaf in field.also), None)
    return f"; did you mean {known_as}?" if known_as else nearest(name, FIELDS)


def with_batch_size(config: ConfigDict, batch_size: int) -> ConfigDict:
    """A copy of the configuration with another batch size."""
    copy = type(config)(config.to_dict())
    copy.batch_size = batch_size
    return copy


def canvas_size(config: ConfigDict) -> int:
    """Side of the stored canvas in pixels: what is set, else 8/7 of image_size, in steps of 8."""
    return config.canvas_size or round(config.image_size * 8 / 7 / 8) * 8


def label_features(config: ConfigDict) -> dict[str, str]:
    """Name of the feature that holds the label, by task."""
    return {task: config.label_feature or task for task in config.task}


def collection_settings(config: ConfigDict) -> dict[str, Any]:
    """What a configuration says of its data: the arguments of `artjax.data.canvases.Request`."""
    return {
        "collection": config.collection,
        "label_features": label_features(config),
        "canvas_size": canvas_size(config),
        "image_feature": config.image_feature,
        "source": config.source,
    }


def to_json(config: ConfigDict) -> str:
    """The configuration as JSON text with sorted keys, the form in which runs are compared."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> ConfigDict:
    """The inverse of `to_json`; JSON has no tuples, a configuration no lists.

    A field that did not exist when the text was written gets the value that `Field.when_absent` says.
    """
    from ml_collections import ConfigDict

    def restored(value: Any) -> Any:
        if isinstance(value, dict):
            return ConfigDict({name: restored(item) for name, item in value.items()})
        return tuple(value) if isinstance(value, list) else value

    config: ConfigDict = restored(json.loads(text))
    there = dict(leaves(config))
    for field in FIELDS.values():
        if field.name not in there:
            set_field(config, field.name, field.when_absent, ConfigDict)
    return config


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """One line for each field that differs: `optim.peak_lr: 0.1 there, 0.2 now`.

    `source` differs only where one of the two is `stream`: all others give the same bits.
    """
    before, after = dict(leaves(old)), dict(leaves(new))
    if "stream" not in (before.get("source"), after.get("source")):
        before["source"] = after["source"]
    return [
        f"{name}: {before.get(name, 'absent')} there, {after.get(name, 'absent')} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean X?` for the valid name most like the one typed, or an empty string."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _parse(name: str, text: str, default: Any) -> Any:
    wrong = ConfigError(
        f"--config.{name}={text}: not of type {type(default).__name__} (default {default!r})"
    )
    if name == "batch_size" and text.lower() == "auto":
        return 0
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise wrong
        return text.lower() in ("true", "1")
    if isinstance(default, str):
        return text
    if isinstance(default, tuple):
        return _parse_tuple(text, default, wrong)
    try:
        return type(default)(text)
    except ValueError:
        raise wrong from None


def _parse_tuple(text: str, default: tuple, wrong: ConfigError) -> tuple:
    """Reads `artist,genre` or `('artist', 'genre')`; the items take the default's item type."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = [part.strip() for part in text.split(",") if part.strip()]
    items = value if isinstance(value, list | tuple) else (value,)
    kind = type(default[0])
    try:
        return tuple(kind(item) for item in items)
    except (TypeError, ValueError):
        raise wrong from None
