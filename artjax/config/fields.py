"""The table of all fields of a configuration: default, meaning and valid values.

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

    def __str__(self) -> str:
        return ", ".join(str(choice) or "empty" for choice in self.choices)


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
      also: aliases, used in hints for an unknown field.
      excludes: the other field for the same duration. Setting one clears the other.
      resets: fields whose value belongs to the value of this one. Typing another one sets them to their
        defaults, unless they are typed as well.
      item: for a tuple: what makes an item of a value as typed; None = the type of the default's items.
    """

    name: str
    default: Any
    reason: str
    valid: Range | OneOf | NameIn | None = None
    also: tuple[str, ...] = ()
    excludes: str = ""
    resets: tuple[str, ...] = ()
    item: Callable[[Any], Any] | None = None


def _magnitude(name: str, reason: str, high: float) -> Field:
    """An augmentation that is off by default, at 0."""
    valid = Range(0, high, words=f"in [0, {high:g}], 0 for none")
    return Field(f"augment.{name}", 0.0, reason, valid)


def _group(item: Any) -> tuple[Any, ...]:
    """A group of parameters as typed: a pattern, and one or two factors."""
    pattern, *factors = item
    if not isinstance(pattern, str) or not 1 <= len(factors) <= 2:
        raise ValueError
    return pattern, *map(float, factors)


def _as_typed(item: Any) -> Any:
    """An item that `check` judges, whose message says more than that it cannot be read."""
    return item


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
            "Side of the network's square input, in pixels; 0 (or auto) = as the pretrained weights "
            "expect.",
            Range(0, 8192, words="1 to 8,192, or auto with pretrained weights"),
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
            Range(0, 1e6, words="0 to 1,000,000"),
            also=("num_epochs",),
            excludes="steps",
        ),
        Field(
            "batch_size",
            256,
            "Images in a step, over all devices of all processes; 0 (or auto) = a number that fits.",
            Range(0, 2**20, words="1 to 1,048,576, or auto"),
        ),
        Field(
            "seed",
            0,
            "Determines the order of the images, augmentation, dropout and initial weights; with folds, "
            "how the works are cut, too.",
            Range(0),
        ),
        Field(
            "seeds",
            (),
            "Several seeds, as in 0,1,2: each is a run of its own (with folds, a cross-validation); the "
            "score is their mean, whose interval covers the luck of training as well. Empty = one run.",
            item=_as_typed,
        ),
        Field(
            "sampling",
            "shuffled",
            "Order of the works: shuffled = every work once in each epoch; balanced = every class of "
            "the first task equally often, so that works of rare classes return more often.",
            OneOf(("shuffled", "balanced")),
        ),
        Field(
            "early_stop_patience",
            0,
            "Stop when so many validations after the warm-up brought neither a better checkpoint nor a "
            "lower loss; 0 = train to the end.",
            Range(0, words="0 (train to the end) or more validations"),
            also=("patience", "early_stopping"),
        ),
        Field(
            "folds",
            0,
            "Cross-validation with so many folds, for collections too small for one split: every work "
            "is tested once, each fold is a run of its own, or with --mode search a search of its own. "
            "0 = the splits of the collection.",
            Range(0, 100),
        ),
        Field(
            "fold",
            -1,
            "The fold that a run tests. Set by the cross-validation.",
            Range(-1, 99),
        ),
        Field(
            "split_by",
            "",
            "A label, such as artist: all works of the same one are in one split, or one part of the "
            "folds. Without folds, the works are divided anew. Empty = as the collection was built.",
        ),
        Field(
            "accumulate",
            1,
            "Number of micro-batches into which a batch is divided. They are processed one after the "
            "other before an update. More of them need less memory and more time.",
            Range(1),
        ),
        Field(
            "remat",
            False,
            "Recompute activations in the backward pass (rematerialisation): less memory, a third more "
            "arithmetic.",
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
            "Pretrained weights of the trunk: squeezenet1_1 (of the extra `weights`), a file of "
            "safetensors, PyTorch or Keras, the workdir of another run, or hf:OWNER/NAME[@REVISION]. "
            "Empty = train from scratch.",
            also=("weights", "pretrained"),
        ),
        Field(
            "model.fix_norms",
            False,
            "BatchNorm of the trunk uses its stored statistics in training, too. In frozen layers it "
            "always does.",
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
        ),
        Field(
            "model.head_layers",
            (),
            "Widths of hidden layers between the trunk and the heads, as in (512,); with dropout after "
            "each. In a VGG they take the place of its two layers of 4,096.",
            item=int,
        ),
        Field(
            "model.head_norm",
            False,
            "BatchNorm after each of head_layers.",
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
            "preprocessing.preset",
            "",
            "The input by its usual name: sets mean, std and channel_order, and for clip and siglip "
            "crop_share and interpolation. Fields that are set beside it count instead. Empty = as the "
            "pretrained weights expect, or else the model.",
            NameIn("preset"),
            also=("preset",),
        ),
        Field(
            "preprocessing.mean",
            (),
            "Mean of red, green and blue, each in [0, 1]; empty = as the pretrained weights expect, or "
            "else the model.",
            item=float,
        ),
        Field(
            "preprocessing.std",
            (),
            "Standard deviation of red, green and blue, each in (0, 1]; empty = as the pretrained "
            "weights expect, or else the model.",
            item=float,
        ),
        Field(
            "preprocessing.channel_order",
            "",
            "Order of the channels; empty = as the pretrained weights expect, or else the model.",
            OneOf(("", "RGB", "BGR")),
        ),
        Field(
            "preprocessing.crop_share",
            0.0,
            "Side of the central square that evaluation uses, as a share of the largest one; 0 = as the "
            "pretrained weights expect, or else the model.",
            Range(0, 1),
        ),
        Field(
            "preprocessing.interpolation",
            "",
            "Filter of the crops; empty = as the pretrained weights expect, or else the model.",
            OneOf(("", "linear", "cubic")),
        ),
        Field(
            "features.views",
            0,
            "With a frozen trunk: its outputs are computed once, for so many augmented views of each "
            "work, and kept on the disk; a step computes the rest. With lbfgs the first view is what "
            "evaluation sees. 0 = a step computes everything.",
            Range(0, 1000),
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
        Field(
            "augment.policy",
            "none",
            "Transforms that are drawn for each image, after crop and flip, in place of magnitudes of "
            "your own: trivial = one of any strength (TrivialAugment, Müller & Hutter 2021), rand = "
            "policy_transforms of the strength policy_magnitude (RandAugment, Cubuk et al. 2020).",
            OneOf(("none", "trivial", "rand")),
        ),
        Field(
            "augment.policy_transforms",
            2,
            "For the policy rand: transforms of an image (Cubuk et al. 2020, section 4.3).",
            Range(1, 16),
        ),
        Field(
            "augment.policy_magnitude",
            9.0,
            "For the policy rand: strength of the transforms (Cubuk et al. 2020, section 4.3).",
            Range(0, 30),
        ),
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
        Field(
            "optim.name",
            "sgd",
            "The optimizer.",
            NameIn("optimizer"),
            also=("optimizer",),
            resets=("optim.peak_lr",),
        ),
        Field(
            "optim.peak_lr",
            0.0,
            "Learning rate at the end of the warm-up; 0 = the optimizer's own: 0.1 for sgd (a batch "
            "of 256 with BatchNorm), 0.001 for adam and adamw, 0.0001 for lion, 0.005 for lamb.",
            Range(0, words="0 (the optimizer's own) or more"),
            also=("learning_rate", "lr"),
        ),
        Field(
            "optim.momentum",
            0.9,
            "Of sgd; for the others their beta 1; 0 for none.",
            Range(0, 1, high_open=True),
        ),
        Field("optim.nesterov", False, "Nesterov's momentum; lion has a rule of its own."),
        Field(
            "optim.weight_decay",
            5e-4,
            "Weight decay of kernels; biases and BatchNorm have none (VGG paper, section 3.1).",
            Range(0),
        ),
        Field(
            "optim.l2",
            (),
            "For lbfgs and optim.head_solved: L2 penalties that are tried, in features of mean variance "
            "1, as in (0.1,1.0); of several the one with the lowest loss in a cross-validation of "
            "train. Empty = 9 from 0.01 to 100.",
            also=("l2",),
            item=float,
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
            "Schedule of the learning rate after the warm-up. one_cycle rises by itself, in the first "
            "30 % of the run, and has no warm-up before it.",
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
            Range(0, 1e6, words="0 to 1,000,000"),
            excludes="optim.warmup_steps",
        ),
        Field(
            "optim.end_lr_fraction",
            0.0,
            "Final learning rate of cosine, linear and each period of restarts, as a share of peak_lr.",
            Range(0, 1),
        ),
        Field(
            "optim.periods",
            3,
            "For the schedule restarts: how often the learning rate falls from peak_lr to its end.",
            Range(1, 1000),
        ),
        Field(
            "optim.plateau_patience",
            5,
            "For the schedule plateau: the learning rate falls after so many validations without a "
            "lower loss. Validations during the warm-up do not count.",
            Range(1),
        ),
        Field(
            "optim.plateau_factor",
            0.1,
            "For the schedule plateau: factor of the learning rate at each fall (VGG paper, section "
            "3.1).",
            Range(0, 1, low_open=True, high_open=True),
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
            "optim.sam_rho",
            0.0,
            "Radius of SAM, sharpness-aware minimization; 0.05 in Foret et al. (2021), section 3.1; 0 = "
            "off. A step takes twice the time.",
            Range(0, 10, words="in [0, 10], 0 for none"),
            also=("sam",),
        ),
        Field(
            "optim.groups",
            (),
            "Pairs of a regular expression and a factor of the learning rate, for the parameters whose "
            "whole name it matches, as in (('conv[1-4]_.*',0.0),('head_.*',10.0)). 0 freezes them. A "
            "third number is a factor of the weight decay. The first pattern that matches counts.",
            item=_group,
        ),
        Field(
            "optim.layer_decay",
            1.0,
            "Factor of the learning rate from each stage of the trunk to the one before it.",
            Range(0, 1, low_open=True),
        ),
        Field(
            "optim.head_first",
            0.0,
            "Share of the run in which only the heads are trained, before the whole network is.",
            Range(0, 1, high_open=True),
        ),
        Field(
            "optim.head_solved",
            False,
            "Whether the heads start as a linear probe of the pretrained trunk: solved by L-BFGS, as "
            "with optim.name=lbfgs, before the first step.",
        ),
        Field(
            "ema_decay",
            0.0,
            "Decay of the EMA of the parameters; 0 = no EMA. If there is one, evaluation uses it.",
            Range(0, 1, high_open=True),
        ),
    ),
    "Search": (
        Field(
            "search.trials",
            100,
            "Number of trials of --mode search, in all; the first has the configuration's own settings.",
            Range(1, 100_000, words="in [1, 100000]"),
        ),
        Field(
            "search.peak_lr",
            (),
            "Lowest and highest learning rate, drawn log-uniformly, as in (0.0001,0.01); empty = from a "
            "tenth of optim.peak_lr to ten times.",
            item=float,
        ),
        Field(
            "search.weight_decay",
            (),
            "Lowest and highest weight decay, drawn log-uniformly; empty = from a tenth of "
            "optim.weight_decay to ten times.",
            item=float,
        ),
        Field(
            "search.label_smoothing",
            (),
            "Lowest and highest label smoothing, drawn uniformly; empty = optim.label_smoothing.",
            item=float,
        ),
        Field(
            "search.dropout",
            (),
            "Dropout rates from which a trial draws, as in (0,0.2,0.5); empty = model.dropout.",
            item=float,
        ),
        Field(
            "search.width",
            (),
            "Widths of one hidden layer from which a trial draws, 0 for none, as in (0,512); empty = "
            "model.head_layers.",
            item=int,
        ),
        Field(
            "search.halving",
            2,
            "Successive halving: after an eighth, a quarter and half of the steps (for 2), the best of "
            "every 2 trials go on; 1 = all are trained to the end.",
            Range(1, 100),
        ),
        Field(
            "search.members",
            5,
            "Largest number of trials that are tried as an ensemble, and as a soup.",
            Range(1, 100),
        ),
        Field(
            "search.sampler",
            "random",
            "For trials that train the trunk, through Optuna: random search, or TPE, which learns from "
            "earlier trials.",
            OneOf(("random", "tpe")),
        ),
    ),
    "Loss": (
        Field(
            "loss.class_weights",
            "none",
            "Weight of each work in the loss, by its class: balanced = inverse to the works of the "
            "class; effective_number = less extreme (Cui et al. 2019, eq. 3).",
            OneOf(("none", "balanced", "effective_number")),
            also=("class_weights", "class_weight"),
        ),
        Field(
            "loss.effective_beta",
            0.9999,
            "For effective_number: beta; 0 weighs all classes alike, nearly 1 as balanced does.",
            Range(0, 1, high_open=True),
        ),
        Field(
            "loss.focal_gamma",
            0.0,
            "Focusing parameter of the focal loss: works that are recognised already count less; 2 in "
            "Lin et al. (2017), section 5.1; 0 = off.",
            Range(0, 10, words="in [0, 10], 0 for none"),
            also=("focal_gamma", "gamma"),
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
        ),
        Field(
            "eval.mc_dropout",
            0,
            "Passes with dropout on whose probabilities are averaged (Gal & Ghahramani, 2016), so that "
            "their disagreement shows what the network does not know; 0 = one pass without dropout. "
            "Without temperature and thresholds, which are those of the network without it. --mode "
            "evaluate and predict may set it for a finished run. 30 are enough to see a trend.",
            Range(0, 1000, words="in [0, 1000], 0 for none"),
            also=("mc_dropout",),
        ),
        Field(
            "eval.test",
            "at_end",
            "When a training looks at the test split: at_end = once it is finished; never = not at all, "
            "so that choices among runs are made on validation. --mode evaluate looks when asked to.",
            OneOf(("at_end", "never")),
        ),
        Field(
            "eval.error_rate",
            0.05,
            "An answer is sure from the probability on from which, by the validation works, at most "
            "this share is wrong (95 % confidence); below, predict says unsure. --mode evaluate and "
            "predict may set it for a finished run.",
            Range(0, 1, low_open=True, high_open=True, words="above 0 and below 1"),
        ),
        Field(
            "eval.foreign_rate",
            0.05,
            "A picture is unlike anything in train if it is farther from train than all but this share "
            "of the validation works. --mode evaluate and predict may set it for a finished run.",
            Range(0, 1, low_open=True, high_open=True, words="above 0 and below 1"),
        ),
        Field(
            "eval.kept_works",
            20_000,
            "So many works of train, at most, whose embeddings are kept with the run, so that foreign "
            "pictures are told; larger splits are drawn from. 0 = none, which saves a pass over train "
            "at the end of a training.",
            Range(0),
        ),
        Field(
            "eval.cluster_by",
            "",
            "A label of the collection, such as artist, whose works the intervals take to be right or "
            "wrong together, for a score that shall hold for other painters. Empty = only the images of "
            "a work and its near-duplicates. --mode evaluate may set it for a finished run.",
            also=("cluster_by",),
        ),
        Field(
            "eval.report",
            True,
            "Whether an evaluation ends with a page for people, report/index.html. --mode evaluate may "
            "set it for a finished run.",
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
