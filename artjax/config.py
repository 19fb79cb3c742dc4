"""The fields of a configuration, their defaults with the reason beside each, and their checks.

A configuration is an `ml_collections.ConfigDict`. `configs/*.py` write short differences from
`default_config`; the command line changes single fields (`--config.optim.peak_lr=0.1`), which
`apply_overrides` reads; `check` looks at the whole before anything compiles. Another kind of section
serves as well, so that `ml_collections` is imported only where its own kind is made.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.errors import ConfigError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# What people type who know the thing by another name.
_OTHER_NAMES = {
    "learning_rate": "optim.peak_lr",
    "lr": "optim.peak_lr",
    "num_steps": "steps",
    "num_epochs": "epochs",
    "optimizer": "optim.name",
    "model": "model.name",
    "label_smoothing": "optim.label_smoothing",
}

LABELS = ("artist", "genre", "location", "style", "period")

MODELS = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))
MODELS += ("vgg_small",)
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "linear", "step")
PRECISIONS = ("auto", "float32", "bfloat16")
SOURCES = ("auto", "device", "host", "stream")

AUGMENT_LIMITS = {
    "rotate_degrees": 180,  # upside down
    "brightness": 1,  # beyond 1 a factor could be negative, for these three
    "contrast": 1,
    "saturation": 1,
    "hue": 0.5,  # half a turn either way is any hue
    "pca_color": 1,
    "blur": 16,
    "noise": 1,
    "drop_pixels": 1,
    "erase": 1,
    "mixup": 10,  # Beta(10, 10) is within 0.5 +- 0.2 nearly always
    "cutmix": 10,
}
"""The largest strength of each augmentation; the smallest is 0, which is none."""


def default_config(section: Callable[[], Any] | None = None) -> ConfigDict:
    """Returns the defaults: a VGG-16 with BatchNorm at 224 px, for a real collection on a GPU.

    Args:
      section: makes an empty section; default `ConfigDict`.
    """
    if section is None:
        from ml_collections import ConfigDict

        section = ConfigDict
    config: ConfigDict = section()

    # What is learnt, from what.
    config.task = ("artist",)  # one label or several of `LABELS`: one trunk, a head each
    config.collection = ""  # name of a prepared TFDS set, NAME or NAME/CONFIG
    config.image_feature = "image"  # for sets that were not prepared by artjax's own builders
    config.label_feature = ""  # "" = the feature is called like the task
    config.image_size = 224  # side of the square that the network sees, in pixels
    config.canvas_size = 0  # side of the stored canvas; 0 = 8/7 of image_size (224 -> 256)
    # Where batches come from: canvases in the devices' memory or the host's, or TFRecords, decoded anew
    # each time. auto = the first of these that fits; the run says which, and why.
    config.source = "auto"

    # How long. Exactly one of the two is above 0.
    config.steps = 0
    config.epochs = 60.0
    config.batch_size = 256  # global, over all devices of all hosts; 0 (or auto) = what fits
    config.seed = 0  # order of works, crops, dropout, initial weights: all of them follow from it

    config.model = section()
    config.model.name = "vgg16_bn"  # BatchNorm: a plain VGG-16 seldom starts to learn from scratch
    config.model.dropout = 0.5  # before each fully connected layer (VGG paper, section 3.1)
    config.model.relu_after_pool = True  # same values as before it, on a quarter of the numbers

    config.augment = section()
    config.augment.min_area = 0.3  # of the largest box that fits; brushwork needs close views too
    config.augment.max_stretch = 4 / 3  # of a crop's true width : height, either way
    config.augment.flip = True
    # The others are off: each has to earn its place on a collection. Each picture draws its own amount.
    # Ranges are in AUGMENT_LIMITS; what 0 means never changes, so that older runs go on as they were.
    config.augment.rotate_degrees = 0.0  # crops turned by up to this; they stay within the picture
    config.augment.brightness = 0.0  # factor in [1 - x, 1 + x]; 0.4 in fb.resnet.torch for ImageNet
    config.augment.contrast = 0.0  # the same
    config.augment.saturation = 0.0  # the same; 1 reaches from grey to twice as colourful
    config.augment.hue = 0.0  # share of a full turn, in [-x, x]; small, as palettes tell painters
    config.augment.pca_color = 0.0  # deviation; 0.1 in Krizhevsky et al. (2012), section 4.1
    config.augment.blur = 0.0  # largest deviation, in pixels seen; brushwork is what goes first
    config.augment.noise = 0.0  # largest deviation; 1 is the range from black to white
    config.augment.drop_pixels = 0.0  # largest share of a picture's pixels made grey
    config.augment.erase = 0.0  # largest share of a grey box; 0.4 in Zhong et al. (2020), section 4
    config.augment.mixup = 0.0  # a of Beta(a, a); 0.1 to 0.4 in Zhang et al. (2018), section 3.1
    config.augment.cutmix = 0.0  # a of Beta(a, a); 1 in Yun et al. (2019), section 3.1

    config.optim = section()
    config.optim.name = "sgd"
    config.optim.peak_lr = 0.1  # for a batch of 256 with BatchNorm
    config.optim.momentum = 0.9
    config.optim.nesterov = False
    config.optim.weight_decay = 5e-4  # VGG paper, section 3.1; on kernels only
    config.optim.clip_norm = 5.0  # global norm of the gradient; 0 = never clip
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 0  # linear from 0; at most one of the two is above 0
    config.optim.warmup_epochs = 2.0
    config.optim.end_lr_fraction = 0.0  # of peak_lr, where cosine and linear end
    config.optim.drop_at = (0.5, 0.75)  # schedule "step": drops at these fractions of all steps
    config.optim.drop_factor = 0.1  # schedule "step": each drop multiplies by this
    config.optim.label_smoothing = 0.0
    config.ema_decay = 0.0  # 0 = no moving average of the parameters; else evaluation uses it

    # Rhythm, in steps. 0 = once an epoch, as for a run over the data once between looks.
    config.log_every = 0  # 0 = about every 2 % of the run, at most 50 steps
    config.eval_every = 0
    config.checkpoint_every = 0  # 0 = at each validation

    # For a batch that does not fit in memory: each saves some, and costs time.
    config.accumulate = 1  # parts of a batch, seen one after the other before an update
    config.remat = False  # compute activations again in the backward pass; a third more arithmetic

    config.precision = "auto"  # activations: bfloat16 on GPU and TPU, float32 on CPU
    config.fsdp = 1  # devices over which large parameters are spread; 1 = every device holds all
    return config


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
    fields = dict(_leaves(config))
    for name, text in overrides:
        if name == "collection":
            raise ConfigError("the collection is given as --config FILE.py:COLLECTION")
        if name not in fields:
            known_as = _OTHER_NAMES.get(name.rpartition(".")[2])
            hint = f"; did you mean {known_as}?" if known_as else nearest(name, fields)
            raise ConfigError(f"unknown config field --config.{name}{hint}")
        section, _, leaf = name.rpartition(".")
        holder = config
        for part in section.split(".") if section else ():
            holder = holder[part]
        holder[leaf] = _parse(name, text, fields[name])
        if name in ("steps", "epochs", "optim.warmup_steps", "optim.warmup_epochs"):
            _drop_twin(holder, leaf)


def _drop_twin(holder: ConfigDict, leaf: str) -> None:
    """A duration given in steps replaces the default in epochs, and the other way round."""
    twin = leaf.replace("steps", "epochs") if "steps" in leaf else leaf.replace("epochs", "steps")
    holder[twin] = type(holder[twin])(0)


def check(config: ConfigDict) -> None:
    """Raises `ConfigError`, one line that names field and value, if the whole cannot be meant."""

    def require(holds: bool, field: str, must: str) -> None:
        if not holds:
            value = dict(_leaves(config))[field]
            raise ConfigError(f"--config.{field}={value}: it must be {must}")

    def one_of(field: str, valid: tuple[str, ...]) -> None:
        value = dict(_leaves(config))[field]
        if value not in valid:
            near = nearest(value, valid)
            raise ConfigError(f"--config.{field}={value}: valid are {', '.join(valid)}{near}")

    _check_fields(config)
    require(len(config.task) > 0, "task", "at least one label")
    for task in config.task:
        if task not in LABELS and not config.label_feature:
            near = nearest(task, LABELS)
            raise ConfigError(
                f"--config.task={','.join(config.task)}: '{task}' is no label; valid are "
                f"{', '.join(LABELS)}{near}, or set --config.label_feature"
            )
    require(len(set(config.task)) == len(config.task), "task", "free of repetitions")
    require(
        not config.label_feature or len(config.task) == 1, "label_feature", "empty for many tasks"
    )
    one_of("model.name", MODELS)
    one_of("optim.name", OPTIMIZERS)
    one_of("optim.schedule", SCHEDULES)
    one_of("precision", PRECISIONS)
    one_of("source", SOURCES)
    require(config.steps >= 0, "steps", "0 or more")
    require(config.epochs >= 0, "epochs", "0 or more")
    if (config.steps > 0) == (config.epochs > 0):
        raise ConfigError(
            f"--config.steps={config.steps} and --config.epochs={config.epochs:g}: "
            "exactly one of them must be above 0"
        )
    require(config.batch_size >= 0, "batch_size", "1 or more, or auto")
    require(config.accumulate >= 1, "accumulate", "1 or more")
    require(config.seed >= 0, "seed", "0 or more")
    smallest = smallest_image_size(config.model.name)
    require(
        config.image_size >= smallest and config.image_size % smallest == 0,
        "image_size",
        f"a multiple of {smallest}, which {config.model.name} halves down to 1",
    )
    require(
        config.canvas_size == 0 or config.canvas_size >= config.image_size,
        "canvas_size",
        f"0 or at least image_size ({config.image_size})",
    )
    require(0 <= config.model.dropout < 1, "model.dropout", "in [0, 1)")
    require(0 < config.augment.min_area <= 1, "augment.min_area", "in (0, 1]")
    require(1 <= config.augment.max_stretch <= 4, "augment.max_stretch", "in [1, 4]")
    for field, limit in AUGMENT_LIMITS.items():
        holds = 0 <= config.augment[field] <= limit
        require(holds, f"augment.{field}", f"in [0, {limit:g}], 0 for none")
    require(config.optim.peak_lr > 0, "optim.peak_lr", "above 0")
    require(0 <= config.optim.momentum < 1, "optim.momentum", "in [0, 1)")
    require(config.optim.weight_decay >= 0, "optim.weight_decay", "0 or more")
    require(config.optim.clip_norm >= 0, "optim.clip_norm", "0 (never clip) or more")
    require(config.optim.warmup_steps >= 0, "optim.warmup_steps", "0 or more")
    require(config.optim.warmup_epochs >= 0, "optim.warmup_epochs", "0 or more")
    if config.optim.warmup_steps and config.optim.warmup_epochs:
        raise ConfigError(
            f"--config.optim.warmup_steps={config.optim.warmup_steps} and "
            f"--config.optim.warmup_epochs={config.optim.warmup_epochs:g}: set one of them to 0"
        )
    require(0 <= config.optim.end_lr_fraction <= 1, "optim.end_lr_fraction", "in [0, 1]")
    drops = tuple(config.optim.drop_at)
    require(
        all(isinstance(d, int | float) and 0 < d < 1 for d in drops)
        and list(drops) == sorted(set(drops)),
        "optim.drop_at",
        "rising fractions in (0, 1)",
    )
    require(0 < config.optim.drop_factor <= 1, "optim.drop_factor", "in (0, 1]")
    require(0 <= config.optim.label_smoothing < 1, "optim.label_smoothing", "in [0, 1)")
    require(0 <= config.ema_decay < 1, "ema_decay", "in [0, 1)")
    for field in ("log_every", "eval_every", "checkpoint_every"):
        require(config[field] >= 0, field, "0 (chosen for you) or more steps")
    require(config.fsdp >= 1, "fsdp", "1 or more devices")


def smallest_image_size(model_name: str) -> int:
    """Side in pixels that the model's max-pools halve down to 1: 32 for VGG, 16 for vgg_small."""
    return 16 if model_name == "vgg_small" else 32


def canvas_size(config: ConfigDict) -> int:
    """Side of the stored canvas in pixels: what is set, else 8/7 of image_size, in steps of 8."""
    return config.canvas_size or round(config.image_size * 8 / 7 / 8) * 8


def with_batch_size(config: ConfigDict, batch_size: int) -> ConfigDict:
    """A copy of the configuration with another batch size."""
    copy = type(config)(config.to_dict())
    copy.batch_size = batch_size
    return copy


def label_features(config: ConfigDict) -> dict[str, str]:
    """Name of the feature that holds the label, by task."""
    return {task: config.label_feature or task for task in config.task}


def to_json(config: ConfigDict) -> str:
    """The configuration as JSON text with sorted keys, the form in which runs are compared."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> ConfigDict:
    """The inverse of `to_json`; JSON knows no tuples, a configuration no lists.

    Augmentations, and ways to save memory, that did not exist when it was written are off, as they were
    then; batches came from canvases.
    """
    from ml_collections import ConfigDict

    def restored(value: Any) -> Any:
        if isinstance(value, dict):
            return ConfigDict({name: restored(item) for name, item in value.items()})
        return tuple(value) if isinstance(value, list) else value

    sections = {"source": "auto", "accumulate": 1, "remat": False} | json.loads(text)
    sections["augment"] = dict.fromkeys(AUGMENT_LIMITS, 0.0) | sections["augment"]
    config: ConfigDict = restored(sections)
    return config


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """One line for each field that differs: `optim.peak_lr: 0.1 there, 0.2 now`.

    `source` differs only where one of the two is `stream`: all others give the same bits.
    """
    before, after = dict(_leaves(old)), dict(_leaves(new))
    if "stream" not in (before.get("source"), after.get("source")):
        before["source"] = after["source"]
    return [
        f"{name}: {before.get(name, 'absent')} there, {after.get(name, 'absent')} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _check_fields(config: ConfigDict) -> None:
    """A config file may only use the fields that exist, with their types."""
    known = dict(_leaves(default_config(type(config))))
    for name, value in _leaves(config):
        if name not in known:
            raise ConfigError(f"unknown config field {name}{nearest(name, known)}")
        if not _fits(value, known[name]):
            kind = type(known[name]).__name__
            raise ConfigError(f"config field {name}={value!r}: it must be of type {kind}")


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in sorted(config.keys()):
        value = config[name]
        if isinstance(value, type(config)):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


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
