"""The table of all fields of a configuration: default, meaning, valid values, and value if missing.

Each field is defined once, here. The defaults, the checks, the hints for a misspelt name, `--helpfull`
and docs/config.md are derived from this table.
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
    """Numbers from `low` to `high`. An open end excludes its limit.

    `words` replaces the description in messages.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    words: str = ""

    def __contains__(self, value: Any) -> bool:
        above = self.low < value if self.low_open else self.low <= value
        below = value < self.high if self.high_open else value <= self.high
        return above and below  # False for nan

    def __str__(self) -> str:
        if self.words:
            return self.words
        if self.high == math.inf:
            return f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class OneOf:
    """One of a few values."""

    choices: tuple[Any, ...]


@dataclass(frozen=True)
class NameIn:
    """A name in a table of another package, such as the table of models; see `check`."""

    table: str


@dataclass(frozen=True)
class Field:
    """A field of the configuration.

    Attributes:
      name: dotted name, such as `optim.peak_lr`.
      default: the default value. Its type is the type of the field.
      reason: the meaning of the field, and the reason for the default.
      valid: the valid values; None if `check` has a special rule, or all values are valid.
      absent: the value for runs whose `config.json` lacks the field; None = the default. If a default
        changes, its old value goes here, so that older runs resume unchanged.
      also: aliases, used in hints for an unknown field.
      excludes: the other field for the same duration. Setting one clears the other.
      item: for a tuple: what makes an item of a value as typed; None = the type of the default's items.
    """

    name: str
    default: Any
    reason: str
    valid: Range | OneOf | NameIn | None = None
    absent: Any = None
    also: tuple[str, ...] = ()
    excludes: str = ""
    item: Callable[[Any], Any] | None = None

    @property
    def when_absent(self) -> Any:
        """The value for an older file that lacks the field."""
        return self.default if self.absent is None else self.absent


def _magnitude(name: str, reason: str, high: float) -> Field:
    """An augmentation that is off by default. 0 always means off, so older runs lack nothing."""
    valid = Range(0, high, words=f"in [0, {high:g}], 0 for none")
    return Field(f"augment.{name}", 0.0, reason, valid, absent=0.0)


def _group(item: Any) -> tuple[Any, ...]:
    """A group of parameters as typed: a pattern, and one or two factors."""
    pattern, *factors = item
    if not isinstance(pattern, str) or not 1 <= len(factors) <= 2:
        raise ValueError
    return pattern, *map(float, factors)


_STEPS_OR_AUTO = Range(0, words="0 (automatic) or more steps")

GROUPS: Mapping[str, Sequence[Field]] = {
    "Task and data": (
        Field(
            "task",
            ("artist",),
            "One or more labels. The network has one trunk, and a head for each label.",
        ),
        Field(
            "collection",
            "",
            "Name of a prepared TFDS set, NAME or NAME/CONFIG. Set it as --config FILE.py:COLLECTION.",
        ),
        Field(
            "image_feature",
            "image",
            "Name of the image feature, for sets that artjax did not prepare.",
        ),
        Field(
            "label_feature",
            "",
            "Name of the label feature; empty = the name of the task.",
        ),
        Field(
            "image_size",
            224,
            "Side of the network's square input, in pixels; 0 (or auto) = that of the pretrained "
            "weights.",
            Range(0, words="1 or more, or auto with pretrained weights"),
        ),
        Field(
            "canvas_size",
            0,
            "Side of the stored canvas in pixels; 0 = 8/7 of image_size (224 gives 256).",
        ),
        Field(
            "source",
            "auto",
            "Source of the batches: canvases in device memory, canvases in host memory, or TFRecords "
            "that are decoded for each batch. auto uses the first of these that fits; the run prints "
            "which one, and why.",
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
            "Images in a step, over all devices of all processes; 0 (or auto) = a number that fits.",
            Range(0, words="1 or more, or auto"),
        ),
        Field(
            "seed",
            0,
            "Determines the order of the images, augmentation, dropout and initial weights.",
            Range(0),
        ),
        Field(
            "folds",
            0,
            "Cross-validation with so many folds, for collections too small for one split: every work "
            "is tested once, each fold is a run of its own. 0 = the splits of the collection.",
            Range(0, 100),
            absent=0,
        ),
        Field(
            "fold",
            -1,
            "The fold that a run tests. Set by the cross-validation.",
            Range(-1, 99),
            absent=-1,
        ),
        Field(
            "accumulate",
            1,
            "Number of micro-batches into which a batch is divided. They are processed one after the "
            "other before an update. More of them need less memory and more time.",
            Range(1),
            absent=1,
        ),
        Field(
            "remat",
            False,
            "Recompute activations in the backward pass (rematerialisation): less memory, a third more "
            "arithmetic.",
            absent=False,
        ),
    ),
    "Model": (
        Field(
            "model.name",
            "vgg16_bn",
            "The network. The default has BatchNorm: a plain VGG-16 seldom starts to learn from "
            "scratch.",
            NameIn("model"),
            also=("model",),
        ),
        Field(
            "model.weights",
            "",
            "Pretrained weights of the trunk: a .safetensors, .h5 or .pth file, the workdir of another "
            "run, or hf:OWNER/NAME[@REVISION]. Empty = train from scratch.",
            absent="",
            also=("weights", "pretrained"),
        ),
        Field(
            "model.fix_norms",
            False,
            "BatchNorm of the trunk uses its stored statistics in training, too. That of frozen layers "
            "always does.",
            absent=False,
        ),
        Field(
            "model.dropout",
            0.5,
            "Dropout rate after each hidden layer, or before the heads if there is none (VGG paper, "
            "section 3.1).",
            Range(0, 1, high_open=True),
        ),
        Field(
            "model.activation",
            "relu",
            "Activation of the VGGs. The initial weights have the variance that He et al. (2015), "
            "section 2.2, derive for it.",
            NameIn("activation"),
            absent="relu",
        ),
        Field(
            "model.head_layers",
            (),
            "Widths of hidden layers between the trunk and the heads, as in (512,); with dropout after "
            "each. In a VGG they take the place of its two layers of 4,096.",
            absent=(),
            item=int,
        ),
        Field(
            "model.head_norm",
            False,
            "BatchNorm after each of head_layers.",
            absent=False,
        ),
        Field(
            "model.relu_after_pool",
            True,
            "Apply the last ReLU of a stage after its max-pool: the same result, with a quarter of the "
            "operations.",
        ),
    ),
    "Input of the network": (
        Field(
            "preprocessing.mean",
            (),
            "Mean of red, green and blue, each in [0, 1]; empty = as the pretrained weights expect, or "
            "else the model.",
            absent=(),
            item=float,
        ),
        Field(
            "preprocessing.std",
            (),
            "Standard deviation of red, green and blue, each in (0, 1]; empty = likewise.",
            absent=(),
            item=float,
        ),
        Field(
            "preprocessing.channel_order",
            "",
            "Order of the channels; empty = likewise.",
            OneOf(("", "RGB", "BGR")),
            absent="",
        ),
        Field(
            "preprocessing.crop_share",
            0.0,
            "Side of the central square that evaluation uses, as a share of the largest one; 0 = "
            "likewise.",
            Range(0, 1),
            absent=0.0,
        ),
        Field(
            "preprocessing.interpolation",
            "",
            "Filter of the crops; empty = likewise.",
            OneOf(("", "linear", "cubic")),
            absent="",
        ),
        Field(
            "features.views",
            0,
            "With a frozen trunk: its outputs are computed once, for so many augmented views of each "
            "work, and kept on the disk; a step computes the rest. 0 = a step computes everything.",
            Range(0, 1000),
            absent=0,
        ),
    ),
    "Augmentation": (
        Field(
            "augment.min_area",
            0.3,
            "Minimum area of a crop, as a share of the largest box that fits. Small crops show the "
            "brushwork.",
            Range(0, 1, low_open=True),
        ),
        Field(
            "augment.max_stretch",
            4 / 3,
            "A crop's true width / height is in [1 / x, x].",
            Range(1, 4),
        ),
        Field("augment.flip", True, "Mirror half of the images, left to right."),
        # The others are off: switch one on only if it helps on the collection. Amounts are random.
        _magnitude("rotate_degrees", "Maximum angle of a crop, which stays within the image.", 180),
        _magnitude(
            "brightness", "Factor in [1 - x, 1 + x]; 0.4 in fb.resnet.torch for ImageNet.", 1
        ),
        _magnitude("contrast", "Factor in [1 - x, 1 + x].", 1),
        _magnitude(
            "saturation", "Factor in [1 - x, 1 + x]; 1: from grey to doubled saturation.", 1
        ),
        _magnitude(
            "hue",
            "Rotation in [-x, x], as a share of the full circle. Keep it small: the palette helps to "
            "recognise a painter.",
            0.5,
        ),
        _magnitude(
            "pca_color", "Standard deviation; 0.1 in Krizhevsky et al. (2012), section 4.1.", 1
        ),
        _magnitude(
            "blur",
            "Maximum standard deviation, in pixels of the network's input. Brushwork is lost first.",
            16,
        ),
        _magnitude("noise", "Maximum standard deviation; 1 is the range from black to white.", 1),
        _magnitude("drop_pixels", "Maximum share of an image's pixels that become grey.", 1),
        _magnitude(
            "erase",
            "Maximum area of a grey box, as a share of the image; 0.4 in Zhong et al. (2020), section "
            "4.",
            1,
        ),
        # For a = 10, nearly all weights are in 0.5 +- 0.2.
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
        Field(
            "optim.momentum",
            0.9,
            "Of sgd; for adam and adamw their beta 1; 0 for none.",
            Range(0, 1, high_open=True),
        ),
        Field("optim.nesterov", False, "Nesterov's momentum."),
        Field(
            "optim.weight_decay",
            5e-4,
            "Weight decay of kernels; biases and BatchNorm have none (VGG paper, section 3.1).",
            Range(0),
        ),
        Field(
            "optim.clip_norm",
            5.0,
            "Maximum global norm of the gradient; 0 = no clipping.",
            Range(0, words="0 (no clipping) or more"),
        ),
        Field(
            "optim.schedule",
            "cosine",
            "Schedule of the learning rate after the warm-up.",
            NameIn("schedule"),
        ),
        Field(
            "optim.warmup_steps",
            0,
            "Length of the linear warm-up from 0, in steps. At most one of warmup_steps and "
            "warmup_epochs is above 0.",
            Range(0),
            excludes="optim.warmup_epochs",
        ),
        Field(
            "optim.warmup_epochs",
            2.0,
            "Length of the linear warm-up from 0, in epochs.",
            Range(0),
            excludes="optim.warmup_steps",
        ),
        Field(
            "optim.end_lr_fraction",
            0.0,
            "Final learning rate of cosine and linear, as a share of peak_lr.",
            Range(0, 1),
        ),
        Field(
            "optim.drop_at",
            (0.5, 0.75),
            "For the schedule step: fractions of all steps at which the learning rate drops.",
        ),
        Field(
            "optim.drop_factor",
            0.1,
            "For the schedule step: factor of the learning rate at each drop.",
            Range(0, 1, low_open=True),
        ),
        Field(
            "optim.label_smoothing",
            0.0,
            "Share of the target that is distributed evenly over all classes.",
            Range(0, 1, high_open=True),
            also=("label_smoothing",),
        ),
        Field(
            "optim.groups",
            (),
            "Pairs of a regular expression and a factor of the learning rate, for the parameters whose "
            "whole name it matches, as in (('conv[1-4]_.*',0.0),('head_.*',10.0)). 0 freezes them. A "
            "third number is a factor of the weight decay. The first pattern that matches counts.",
            absent=(),
            item=_group,
        ),
        Field(
            "optim.layer_decay",
            1.0,
            "Factor of the learning rate from each stage of the trunk to the one before it.",
            Range(0, 1, low_open=True),
            absent=1.0,
        ),
        Field(
            "optim.head_first",
            0.0,
            "Share of the run in which only the heads are trained, before the whole network is.",
            Range(0, 1, high_open=True),
            absent=0.0,
        ),
        Field(
            "ema_decay",
            0.0,
            "Decay of the EMA of the parameters; 0 = no EMA. If there is one, evaluation uses it.",
            Range(0, 1, high_open=True),
        ),
    ),
    "Evaluation": (
        Field(
            "eval.views",
            1,
            "Squares of each work whose probabilities are averaged: 1 = the central one, 5 = the four "
            "corners and the centre, 10 = these and their mirror images (Krizhevsky et al. (2012), "
            "section 4.1). More take so many times as long. --mode evaluate and predict may set it for "
            "a finished run. Validation during training always uses 1, so that choosing a checkpoint "
            "stays cheap; the evaluation at the end uses what is set.",
            OneOf((1, 5, 10)),
            absent=1,
        ),
    ),
    "Logs and checkpoints": (
        Field(
            "log_every",
            0,
            "Steps between rows of the log; 0 = 2 % of the run, but at most 50.",
            _STEPS_OR_AUTO,
        ),
        Field(
            "eval_every",
            0,
            "Steps between validations; 0 = one epoch, but at most about 40 validations.",
            _STEPS_OR_AUTO,
        ),
        Field(
            "checkpoint_every",
            0,
            "Steps between checkpoints; 0 = at each validation.",
            _STEPS_OR_AUTO,
        ),
    ),
    "Devices": (
        Field(
            "precision",
            "auto",
            "Dtype of the activations; auto = bfloat16 on GPU and TPU, float32 on CPU.",
            OneOf(("auto", "float32", "bfloat16")),
        ),
        Field(
            "fsdp",
            1,
            "Number of devices over which large parameters are sharded; 1 = every device holds all.",
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
"""The maximum magnitude of each augmentation that is off by default. The minimum is 0 (off)."""


def default_config(section: Callable[[], Any] | None = None) -> ConfigDict:
    """Returns the default configuration: a VGG-16 with BatchNorm at 224 px, for training on a GPU.

    Args:
      section: creates an empty section; default `ConfigDict`.
    """
    if section is None:
        from ml_collections import ConfigDict

        section = ConfigDict
    config: ConfigDict = section()
    for field in FIELDS.values():
        set_field(config, field.name, field.default, section)
    return config


def set_field(config: Any, name: str, value: Any, section: Callable[[], Any] | None = None) -> None:
    """Sets a field by its dotted name. `section`, if given, creates missing sections."""
    *path, leaf = name.split(".")
    for key in path:
        if section is not None and key not in config:
            config[key] = section()
        config = config[key]
    config[leaf] = value


def leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted name and value of each field, sorted by name."""
    for name in sorted(config.keys()):
        value = config[name]
        if isinstance(value, type(config)):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
