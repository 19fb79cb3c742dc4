"""All fields of a configuration: default, reason, valid values, and what their absence means.

Each field stands here once. The defaults, the checks, the hints for a misspelt name, `--helpfull` and
docs/config.md follow from this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_collections import ConfigDict

LABELS = ("artist", "genre", "location", "style", "period")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an open end does not include its limit.

    `words` replaces the description that follows from the numbers.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    words: str = ""

    def __contains__(self, value: Any) -> bool:
        above = self.low < value if self.low_open else self.low <= value
        below = value < self.high if self.high_open else value <= self.high
        return above and below  # False for a number that is not a number

    def __str__(self) -> str:
        if self.words:
            return self.words
        if self.high == math.inf:
            return f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    choices: tuple[str, ...]


@dataclass(frozen=True)
class NameIn:
    """A name in a table that another package keeps, such as the table of models; see `check`."""

    table: str


@dataclass(frozen=True)
class Field:
    """A field of the configuration.

    Attributes:
      name: with dots, such as `optim.peak_lr`.
      default: its value where nobody sets it. Its type is the type of the field.
      reason: what it is, and why the default is what it is.
      valid: the values that it may have; None where `check` has a rule of its own, or all are valid.
      absent: the value that a run had whose `config.json` lacks the field; None: the default. A default
        that changes leaves its old value here, so that older runs resume as they were.
      also: what people type who know the field by another name.
      excludes: the other field for the same duration. Setting one clears the other.
    """

    name: str
    default: Any
    reason: str
    valid: Range | OneOf | NameIn | None = None
    absent: Any = None
    also: tuple[str, ...] = ()
    excludes: str = ""

    @property
    def when_absent(self) -> Any:
        """The value where an older file lacks the field."""
        return self.default if self.absent is None else self.absent


def _magnitude(name: str, reason: str, high: float) -> Field:
    """An augmentation that is off by default. What 0 means never changes: it is "off" in older runs."""
    valid = Range(0, high, words=f"in [0, {high:g}], 0 for none")
    return Field(f"augment.{name}", 0.0, reason, valid, absent=0.0)


_STEPS_OR_NONE = Range(0, words="0 (chosen for you) or more steps")

GROUPS: Mapping[str, Sequence[Field]] = {
    "Task and data": (
        Field(
            "task",
            ("artist",),
            "One label or several: one trunk, and a head for each label.",
        ),
        Field(
            "collection",
            "",
            "Name of a prepared TFDS set, NAME or NAME/CONFIG. Given as --config FILE.py:COLLECTION.",
        ),
        Field(
            "image_feature",
            "image",
            "The feature that holds the picture, for sets that artjax did not prepare.",
        ),
        Field(
            "label_feature",
            "",
            "The feature that holds the label; empty where it is called like the task.",
        ),
        Field("image_size", 224, "Side of the square that the network sees, in pixels."),
        Field(
            "canvas_size",
            0,
            "Side of the stored canvas in pixels; 0 = 8/7 of image_size (224 gives 256).",
        ),
        Field(
            "source",
            "auto",
            "Where batches come from: canvases in the devices' memory or in the host's, or TFRecords "
            "that are decoded anew for each batch. auto takes the first of these that fits; the run "
            "says which, and why.",
            OneOf(("auto", "device", "host", "stream")),
        ),
    ),
    "Duration and batches": (
        Field(
            "steps",
            0,
            "Length of the run in steps. Exactly one of steps and epochs is above 0.",
            Range(0),
            also=("num_steps",),
            excludes="epochs",
        ),
        Field(
            "epochs",
            60.0,
            "Length of the run in passes over the training split.",
            Range(0),
            also=("num_epochs",),
            excludes="steps",
        ),
        Field(
            "batch_size",
            256,
            "Works in a step, over all devices of all processes; 0 (or auto) = what fits.",
            Range(0, words="1 or more, or auto"),
        ),
        Field(
            "seed",
            0,
            "Order of the works, crops, dropout and initial weights follow from it.",
            Range(0),
        ),
        Field(
            "accumulate",
            1,
            "Micro-batches of a batch, processed one after the other before an update. More of them "
            "need less memory and more time.",
            Range(1),
            absent=1,
        ),
        Field(
            "remat",
            False,
            "Compute activations again in the backward pass (rematerialisation): less memory, a third "
            "more arithmetic.",
            absent=False,
        ),
    ),
    "Model": (
        Field(
            "model.name",
            "vgg16_bn",
            "The network. With BatchNorm: a plain VGG-16 seldom starts to learn from scratch.",
            NameIn("model"),
            also=("model",),
        ),
        Field(
            "model.dropout",
            0.5,
            "Rate before each fully connected layer (VGG paper, section 3.1).",
            Range(0, 1, high_open=True),
        ),
        Field(
            "model.relu_after_pool",
            True,
            "The last ReLU of a stage comes after its max-pool: the same values, on a quarter of the "
            "numbers.",
        ),
    ),
    "Augmentation": (
        Field(
            "augment.min_area",
            0.3,
            "Smallest area of a crop, as a share of the largest box that fits. Brushwork needs close "
            "views too.",
            Range(0, 1, low_open=True),
        ),
        Field(
            "augment.max_stretch",
            4 / 3,
            "Largest change of a crop's true width : height, either way.",
            Range(1, 4),
        ),
        Field("augment.flip", True, "Mirror half of the pictures, left to right."),
        # The others are off: each has to earn its place on a collection. Each picture draws its amount.
        _magnitude(
            "rotate_degrees", "Largest angle of a crop, which stays within the picture.", 180
        ),
        _magnitude(
            "brightness", "Factor in [1 - x, 1 + x]; 0.4 in fb.resnet.torch for ImageNet.", 1
        ),
        _magnitude("contrast", "Factor in [1 - x, 1 + x].", 1),
        _magnitude(
            "saturation", "Factor in [1 - x, 1 + x]; 1: from grey to twice as colourful.", 1
        ),
        _magnitude("hue", "Share of a full turn, in [-x, x]. Small: palettes tell painters.", 0.5),
        _magnitude(
            "pca_color", "Standard deviation; 0.1 in Krizhevsky et al. (2012), section 4.1.", 1
        ),
        _magnitude(
            "blur",
            "Maximum standard deviation, in pixels that the network sees. Brushwork is lost first.",
            16,
        ),
        _magnitude("noise", "Maximum standard deviation; 1 is the range from black to white.", 1),
        _magnitude("drop_pixels", "Largest share of a picture's pixels that become grey.", 1),
        _magnitude(
            "erase", "Largest share of a grey box; 0.4 in Zhong et al. (2020), section 4.", 1
        ),
        # Beta(10, 10) is within 0.5 +- 0.2 nearly always.
        _magnitude("mixup", "a of Beta(a, a); 0.1 to 0.4 in Zhang et al. (2018), section 3.1.", 10),
        _magnitude("cutmix", "a of Beta(a, a); 1 in Yun et al. (2019), section 3.1.", 10),
    ),
    "Optimizer": (
        Field("optim.name", "sgd", "The optimizer.", NameIn("optimizer"), also=("optimizer",)),
        Field(
            "optim.peak_lr",
            0.1,
            "Learning rate at the end of the warm-up; 0.1 is for a batch of 256 with BatchNorm.",
            Range(0, low_open=True),
            also=("learning_rate", "lr"),
        ),
        Field("optim.momentum", 0.9, "Of sgd; 0 for none.", Range(0, 1, high_open=True)),
        Field("optim.nesterov", False, "Nesterov's momentum, of sgd."),
        Field(
            "optim.weight_decay",
            5e-4,
            "On kernels only (VGG paper, section 3.1).",
            Range(0),
        ),
        Field(
            "optim.clip_norm",
            5.0,
            "Largest global norm of the gradient; 0 = never clip.",
            Range(0, words="0 (never clip) or more"),
        ),
        Field(
            "optim.schedule", "cosine", "The learning rate after the warm-up.", NameIn("schedule")
        ),
        Field(
            "optim.warmup_steps",
            0,
            "Length of the linear warm-up from 0. At most one of the two is above 0.",
            Range(0),
            excludes="optim.warmup_epochs",
        ),
        Field(
            "optim.warmup_epochs",
            2.0,
            "The same in epochs.",
            Range(0),
            excludes="optim.warmup_steps",
        ),
        Field(
            "optim.end_lr_fraction",
            0.0,
            "Share of peak_lr at which cosine and linear end.",
            Range(0, 1),
        ),
        Field(
            "optim.drop_at",
            (0.5, 0.75),
            "Schedule step: fractions of all steps at which the learning rate drops.",
        ),
        Field(
            "optim.drop_factor",
            0.1,
            "Schedule step: each drop multiplies the learning rate by this.",
            Range(0, 1, low_open=True),
        ),
        Field(
            "optim.label_smoothing",
            0.0,
            "Share of the target that is spread over all classes.",
            Range(0, 1, high_open=True),
            also=("label_smoothing",),
        ),
        Field(
            "ema_decay",
            0.0,
            "Decay of the EMA of the parameters, which evaluation then uses; 0 = no EMA.",
            Range(0, 1, high_open=True),
        ),
    ),
    "Logs and checkpoints": (
        Field(
            "log_every",
            0,
            "Steps between rows; 0 = 2 % of the run, at most 50.",
            _STEPS_OR_NONE,
        ),
        Field("eval_every", 0, "Steps between validations; 0 = once an epoch.", _STEPS_OR_NONE),
        Field(
            "checkpoint_every",
            0,
            "Steps between checkpoints; 0 = at each validation.",
            _STEPS_OR_NONE,
        ),
    ),
    "Devices": (
        Field(
            "precision",
            "auto",
            "Activations: auto is bfloat16 on GPU and TPU, float32 on CPU.",
            OneOf(("auto", "float32", "bfloat16")),
        ),
        Field(
            "fsdp",
            1,
            "Devices over which large parameters are spread; 1 = every device holds all.",
            Range(1, words="1 or more devices"),
        ),
    ),
}

FIELDS: Mapping[str, Field] = {field.name: field for group in GROUPS.values() for field in group}

AUGMENT_LIMITS: Mapping[str, float] = {
    field.name.removeprefix("augment."): field.valid.high
    for field in GROUPS["Augmentation"]
    if isinstance(field.valid, Range) and field.default == 0
}
"""The largest magnitude of each augmentation that is off by default; the smallest is 0 (none)."""


def default_config(section: Callable[[], Any] | None = None) -> ConfigDict:
    """Returns the defaults: a VGG-16 with BatchNorm at 224 px, for a real collection on a GPU.

    Args:
      section: makes an empty section; default `ConfigDict`.
    """
    if section is None:
        from ml_collections import ConfigDict

        section = ConfigDict
    config: ConfigDict = section()
    for field in FIELDS.values():
        set_field(config, field.name, field.default, section)
    return config


def set_field(config: Any, name: str, value: Any, section: Callable[[], Any] | None = None) -> None:
    """Sets a field by its dotted name; `section` makes the sections that are missing."""
    *path, leaf = name.split(".")
    for part in path:
        if section is not None and part not in config:
            config[part] = section()
        config = config[part]
    config[leaf] = value


def leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each field, by name."""
    for name in sorted(config.keys()):
        value = config[name]
        if isinstance(value, type(config)):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
