"""Reads configurations from files, the command line and JSON, and compares them."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.config.fields import FIELDS, Field, leaves, set_field
from artjax.errors import ArtjaxError, ConfigError
from artjax.places import bundled

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_CONFIGS = "configs"
_MAX_NAMED = 6


def load_config_file(path: str | Path, collection: str) -> ConfigDict:
    """Calls `get_config(collection)` of the Python file at `path`, which is executed.

    Raises:
      ConfigError: if there is no such file, it does not define `get_config`, or this fails or ends the
        program: one line, with the line of the file.
    """
    path = Path(path)
    if not path.is_file():
        others = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = f"; {path.parent}/ has {', '.join(others)}" if others else ""
        own = f"{_CONFIGS}/{path.stem}.py"
        if (bundled() / own).is_file():
            hint = f"; did you mean {own}?"
        raise ConfigError(f"no config file {path}{hint}")
    spec = importlib.util.spec_from_file_location(f"artjax_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file: use one like configs/artist.py")
    module = importlib.util.module_from_spec(spec)
    with _configs_of(path.resolve().parent), _failing_plainly(path):
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise ConfigError(
                f"{path} does not define get_config(collection): see configs/artist.py"
            )
        config: ConfigDict = module.get_config(collection)
    if not hasattr(config, "to_dict"):
        raise ConfigError(
            f"{path}: get_config returns {type(config).__name__}, not a configuration: see "
            "configs/artist.py"
        )
    config.collection = collection
    return config


@contextmanager
def _failing_plainly(path: Path) -> Iterator[None]:
    """What a config file raises is one line, with the line of the file that led there."""
    try:
        yield
    except (ArtjaxError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename) == path
        ]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
        where = f"{path}, line {line}" if line else str(path)
        said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        said = f"it ends the program ({said})" if isinstance(error, SystemExit) else said
        raise ConfigError(f"{where}: {type(error).__name__}: {said}") from error


@contextmanager
def _configs_of(folder: Path) -> Iterator[None]:
    """In the block, `from configs import common` means the file beside `folder`, else that of artjax.

    So in any working directory, and also where another package `configs` is installed or imported: that
    one is put back at the end.
    """
    others = _take_modules(_CONFIGS)
    package = types.ModuleType(_CONFIGS)
    package.__path__ = [str(folder.parent / _CONFIGS), str(bundled() / _CONFIGS)]
    sys.modules[_CONFIGS] = package
    sys.path.insert(0, str(folder.parent))
    try:
        yield
    finally:
        sys.path.remove(str(folder.parent))
        _take_modules(_CONFIGS)
        sys.modules.update(others)


def _take_modules(package: str) -> dict[str, types.ModuleType]:
    """Removes a package and its modules from those that are imported, and returns them."""
    names = [name for name in sys.modules if name.partition(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}


def apply_overrides(config: ConfigDict, overrides: Iterable[tuple[str, str]]) -> None:
    """Sets fields of a configuration, in place, from values as typed by the user.

    Args:
      config: the configuration to change.
      overrides: pairs of dotted field name and text, such as ("optim.peak_lr", "0.1").

    Raises:
      ConfigError: for an unknown field (the message has the nearest name), or a value of the wrong type.
    """
    overrides = list(overrides)
    values = dict(overrides)
    for name, text in overrides:
        if name == "collection":
            raise ConfigError("the collection is given as --config FILE.py:COLLECTION")
        field = FIELDS.get(name)
        if field is None:
            raise ConfigError(f"unknown config field --config.{name}{_nearest_field(name)}")
        value = _parse(field, text)
        if field.resets and value != dict(leaves(config))[name]:
            for reset in field.resets:
                if reset not in values:
                    set_field(config, reset, FIELDS[reset].default)
        set_field(config, name, value)
        if field.excludes in values:
            if value and _parse(FIELDS[field.excludes], values[field.excludes]):
                raise ConfigError(
                    f"--config.{name}={text} and --config.{field.excludes}={values[field.excludes]}: "
                    "give one of them"
                )
        elif field.excludes:  # a duration in steps replaces the default in epochs, and the reverse
            other = FIELDS[field.excludes]
            set_field(config, other.name, type(other.default)(0))


def field_called(name: str) -> str:
    """The field with this name, last part of a name, or alias; empty if there is none, or several."""
    leaf = name.rpartition(".")[2]
    for found in (
        [field for field in FIELDS if field == name],
        [field.name for field in FIELDS.values() if leaf in field.also],
        [field for field in FIELDS if field.rpartition(".")[2] == leaf],
    ):
        if len(found) == 1:
            return found[0]
    return ""


def _nearest_field(name: str) -> str:
    """`; did you mean X?` for a field with this alias, else with the most similar name."""
    called = field_called(name)
    return f"; did you mean {called}?" if called else nearest(name, FIELDS)


def changed(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A copy of the configuration with other values for some fields.

    Args:
      config: it stays as it is.
      values: by dotted name, such as `{"optim.peak_lr": 0.1}`.
    """
    copy: ConfigDict = type(config)(config.to_dict())
    for name, value in values.items():
        set_field(copy, name, value)
    return copy


def canvas_size(config: ConfigDict) -> int:
    """Side of a stored canvas in pixels: as set, else 8/7 of image_size, rounded to a multiple of 8."""
    return config.canvas_size or round(config.image_size * 8 / 7 / 8) * 8


def label_features(config: ConfigDict) -> dict[str, str]:
    """For each task, the name of the feature that holds its label."""
    return {task: config.label_feature or task for task in config.task}


def collection_settings(config: ConfigDict) -> dict[str, Any]:
    """The part of a configuration about data, as arguments for `artjax.data.canvases.Request`."""
    return {
        "collection": config.collection,
        "label_features": label_features(config),
        "canvas_size": canvas_size(config),
        "image_feature": config.image_feature,
        "source": config.source,
    }


def to_json(config: ConfigDict) -> str:
    """The configuration as JSON text with sorted keys."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> ConfigDict:
    """The inverse of `to_json`. Lists become tuples: JSON has no tuples, a configuration no lists.

    Raises:
      ValueError: if the text is not JSON.
      ConfigError: if a field is missing or unknown. One line names them.
    """
    from ml_collections import ConfigDict

    def restored(value: Any) -> Any:
        if isinstance(value, dict):
            return ConfigDict({name: restored(item) for name, item in value.items()})
        return tuple(map(restored, value)) if isinstance(value, list) else value

    config: ConfigDict = restored(json.loads(text))
    present = dict(leaves(config)) if isinstance(config, ConfigDict) else {}
    missing = [name for name in FIELDS if name not in present]
    unknown = [name for name in present if name not in FIELDS]
    wrong = [f"lacks the {_named(missing)}"] if missing else []
    wrong += [f"has the unknown {_named(unknown)}"] if unknown else []
    if wrong:
        raise ConfigError(
            f"the configuration {' and '.join(wrong)}: it was edited, or another version of artjax "
            "wrote it"
        )
    return config


def _named(fields: list[str]) -> str:
    shown = ", ".join(fields[:_MAX_NAMED])
    more = len(fields) - _MAX_NAMED
    return f"field{'s' if fields[1:] else ''} {shown}" + (f" and {more} more" if more > 0 else "")


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """One text for each field that differs, such as `optim.peak_lr: 0.1 there, 0.2 now`.

    Two sources count as different only if one of them is `stream`: all others give the same bits.
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
    """`; did you mean X?` with the most similar valid name; an empty string if none is similar."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _parse(field: Field, text: str) -> Any:
    default = field.default
    wrong = ConfigError(
        f"--config.{field.name}={text}: not of type {type(default).__name__} (default {default!r})"
        + ("; --helpfull shows how it is written" if field.item else "")
    )
    if field.name in ("batch_size", "image_size") and text.lower() == "auto":
        return 0
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise wrong
        return text.lower() in ("true", "1")
    if isinstance(default, str):
        return text
    if isinstance(default, tuple):
        return _parse_tuple(text, field.item or type(default[0]), wrong)
    try:
        return type(default)(text)
    except ValueError:
        raise wrong from None


def _parse_tuple(text: str, item: Callable[[Any], Any], wrong: ConfigError) -> tuple:
    """Reads `artist,genre` or `('artist', 'genre')`; `item` makes each item of what was read."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = [part.strip() for part in text.split(",") if part.strip()]
    parts = value if isinstance(value, list | tuple) else (value,)
    try:
        return tuple(item(part) for part in parts)
    except (TypeError, ValueError):
        raise wrong from None
